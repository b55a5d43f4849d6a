"""Several runs side by side: their names, and each compared with the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmner.scoring._comparison import Comparison, compare
from llmner.scoring._evaluate import Evaluation

__all__ = ["compare_with_first", "run_names"]


def run_names(paths: Sequence[str]) -> list[str]:
    """A short name for each run: its file's stem, or the whole path if two stems are equal.

    >>> run_names(["build/a.jsonl", "build/b.jsonl"])
    ['a', 'b']
    >>> run_names(["one/a.jsonl", "two/a.jsonl"])
    ['one/a.jsonl', 'two/a.jsonl']
    """
    stems = [Path(path).stem for path in paths]
    counts = Counter(stems)
    names = [path if counts[stem] > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    repeated = Counter(names)
    return [
        name if repeated[name] == 1 else f"{name} ({number})"
        for number, name in enumerate(names, 1)
    ]


def compare_with_first(
    runs: Mapping[str, Evaluation], *, resamples: int = 1000, seed: int = 42
) -> dict[str, Comparison]:
    """Compare every run with the first one.

    Args:
        runs: Runs on the same sentences, by name.
        resamples: Bootstrap resamples for the intervals; 0 for none.
        seed: The seed of resamples and shuffles.

    Returns:
        The comparison of each other run with the first, by the other's name.
    """
    names = list(runs)
    return {
        name: compare(runs[names[0]], runs[name], resamples=resamples, seed=seed)
        for name in names[1:]
    }
