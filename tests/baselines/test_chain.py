"""The linear chain against every path there is."""

from __future__ import annotations

import itertools
import math

import pytest

torch = pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')

from llmner.baselines._chain import LinearChain  # noqa: E402
from llmner.tagging import follows  # noqa: E402

TAGS = ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "E-B"]


def chain() -> LinearChain:
    torch.manual_seed(1)
    held = LinearChain(TAGS)
    for weights in held.parameters():
        torch.nn.init.normal_(weights)
    return held.double().requires_grad_(False)


def paths(held: LinearChain, scores: list[list[float]]) -> dict[tuple[int, ...], float]:
    """The score of each path that BIOES allows."""
    found = {}
    for path in itertools.product(range(len(TAGS)), repeat=len(scores)):
        names = [None, *(TAGS[tag] for tag in path), None]
        if not all(follows(one, other) for one, other in itertools.pairwise(names)):
            continue
        total = float(held.first[path[0]]) + float(held.last[path[-1]])
        total += sum(row[tag] for row, tag in zip(scores, path, strict=True))
        total += sum(float(held.between[one, other]) for one, other in itertools.pairwise(path))
        found[path] = total
    return found


def test_what_bioes_allows() -> None:
    assert follows(None, "O")
    assert follows("B-A", "E-A")
    assert follows("E-A", "B-A")
    assert not follows("B-A", "B-A")
    assert not follows("B-A", "E-B")
    assert not follows("O", "I-A")
    assert not follows("B-A", None)
    assert not follows(None, "E-A")


def test_likelihood_marginals_and_best_path_are_those_of_all_paths() -> None:
    held = chain()
    lengths = [1, 4, 3]
    torch.manual_seed(2)
    scores = torch.randn(3, 4, len(TAGS), dtype=torch.double)
    mask = torch.arange(4)[None] < torch.tensor(lengths)[:, None]
    decoded = held.decode(scores, mask)
    marginals = held.marginals(scores, mask)
    for row, length in enumerate(lengths):
        every = paths(held, scores[row, :length].tolist())
        whole = math.log(sum(math.exp(value) for value in every.values()))
        best = max(every, key=every.__getitem__)
        assert tuple(decoded[row]) == best
        tags = torch.zeros(3, 4, dtype=torch.long)
        tags[row, :length] = torch.tensor(best)
        assert float(held.loss(scores, tags, mask)[row]) == pytest.approx(
            whole - every[best], abs=1e-6
        )
        for at in range(length):
            for tag in range(len(TAGS)):
                share = sum(
                    math.exp(value - whole) for path, value in every.items() if path[at] == tag
                )
                assert float(marginals[row, at, tag]) == pytest.approx(share, abs=1e-6)


def test_padding_changes_nothing() -> None:
    held = chain()
    scores = torch.randn(1, 3, len(TAGS), dtype=torch.double)
    padded = torch.cat([scores, torch.randn(1, 5, len(TAGS), dtype=torch.double)], 1)
    short, long = torch.ones(1, 3, dtype=torch.bool), torch.arange(8)[None] < 3
    assert held.decode(scores, short) == held.decode(padded, long)
    assert torch.allclose(held.marginals(scores, short), held.marginals(padded, long)[:, :3])
    tags = torch.zeros(1, 8, dtype=torch.long)
    assert torch.allclose(held.loss(scores, tags[:, :3], short), held.loss(padded, tags, long))
