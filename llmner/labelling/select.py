"""Which sentences to label next: those that would teach most.

A criterion gives each sentence a score and a reason. ``uncertainty``, ``disagreement`` and
``rarity`` score sentences one by one; ``diversity`` chooses sentences that are unlike each other
and unlike those that are labelled; ``mixed`` chooses unlike ones among the most uncertain.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from llmner._mishaps import Mishap, attempt
from llmner.corpora.jsonl import span_rows
from llmner.errors import InputError, UnknownNameError
from llmner.files import read_jsonl
from llmner.labelling.evidence import Evidence
from llmner.spans import Sentence, Span

__all__ = ["CRITERIA", "Criterion", "Picked", "picked_reasons", "select"]

Criterion = Literal["uncertainty", "disagreement", "rarity", "diversity", "mixed", "random"]
"""How sentences are chosen."""
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

NEEDED: Mapping[str, int] = {"uncertainty": 1, "mixed": 1, "disagreement": 2}
"""How many models a criterion needs."""

# Hashed n-grams of characters, as vectors of so many numbers.
_NGRAMS, _WIDTH = (2, 3), 1 << 12
# mixed chooses among so many times as many sentences as are wanted.
_AMONG = 4
# The most uncertain characters of a sentence that count.
_WORST = 5
_HALF = 0.5
_TRIFLE = 1e-6


@dataclass(frozen=True, slots=True)
class Picked:
    """A sentence that is worth a label.

    Attributes:
        number: Its number in the corpus, from 0.
        sentence: The sentence.
        by: The criterion.
        score: By that criterion, in [0, 1]; the higher, the more is to be learnt.
        reason: Why, in a few words for people.
        spans: What the model finds, to begin from.
        labels: The labels of the whole text that it finds.
    """

    number: int
    sentence: Sentence
    by: Criterion
    score: float
    reason: str
    spans: tuple[Span, ...]
    labels: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """A row of spans, with the criterion, the score and the reason."""
        return {
            "id": self.sentence.id,
            "text": self.sentence.text,
            "spans": span_rows(self.spans),
            **({"labels": [{"label": own} for own in self.labels]} if self.labels else {}),
            "by": self.by,
            "score": round(self.score, 6),
            "reason": self.reason,
        }


def select(
    sentences: Sequence[Sentence],
    number: int,
    by: Criterion = "mixed",
    *,
    evidence: Sequence[Sequence[Evidence]] = (),
    labelled: Iterable[Sentence] = (),
    quotas: Mapping[str, int] | None = None,
    seed: int = 42,
) -> list[Picked]:
    """Choose the sentences that are worth a label, the best first.

    Of equal texts one is chosen, and none that is labelled already.

    Args:
        sentences: The sentences to choose from.
        number: How many to choose, at most.
        by: The criterion; the default had the best learning curve on KLUE.
        evidence: For each model what it says of each sentence: one for ``uncertainty`` and
            ``mixed``, two or more for ``disagreement``.
        labelled: What is labelled already, for ``rarity``, ``diversity`` and ``mixed``.
        quotas: At least so many sentences in which a model finds a label, by label, as far as
            there are any.
        seed: Seed of ``random``.

    Raises:
        InputError: There is no such criterion, it lacks models, or a model says something of
            another number of sentences.

    >>> sure, unsure = Evidence((Span(0, 3, "P", 0.9),)), Evidence((Span(0, 3, "P", 0.5),))
    >>> [found] = select([Sentence("Ada"), Sentence("Bob")], 1, evidence=[[sure, unsure]])
    >>> found.sentence.text, found.reason
    ('Bob', 'P Bob is 50 % sure; 100 % of it is unlike all others')
    """
    check_criterion(by, len(evidence))
    if number < 1:
        raise InputError(f"at least one sentence must be chosen, got {number}")
    if any(len(own) != len(sentences) for own in evidence):
        raise InputError("a model says something of another number of sentences")
    known = list(labelled)
    pool = _pool(sentences, known)
    wanted = quotas or {}
    if by in ("diversity", "mixed"):
        doubted: list[_Scored] = []
        if by == "mixed" or (wanted and evidence):
            doubted = _ranked(_scores(sentences, pool, "uncertainty", evidence, known, seed))
        # Quotas are filled from all sentences, and the rest is chosen to be unlike those.
        first = _of_quotas(doubted, number, evidence[0], wanted) if wanted and evidence else []
        scored = _unlike(sentences, pool, number, doubted if by == "mixed" else [], known, first)
        chosen = sorted(scored, key=lambda own: -own[1]) if by == "mixed" else scored
    else:
        scored = _ranked(_scores(sentences, pool, by, evidence, known, seed))
        chosen = _with_quotas(scored, number, evidence, wanted)
    found = evidence[0] if evidence else [Evidence()] * len(sentences)
    return [
        Picked(
            place,
            sentences[place],
            by,
            min(1.0, max(0.0, score)),
            reason,
            found[place].spans,
            _named(found[place]),
        )
        for place, score, reason in chosen
    ]


def picked_reasons(path: Path) -> list[str]:
    """Why each sentence of a file was picked, as its rows of ``select`` say.

    Args:
        path: The file.

    Returns:
        A reason for each row; nothing if they are no rows of ``select``.

    >>> import tempfile
    >>> from llmner.files import write_jsonl
    >>> [picked] = select([Sentence("Bob sings")], 1, "random")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_jsonl(Path(folder) / "picked.jsonl", [picked.row()])
    ...     picked_reasons(Path(folder) / "picked.jsonl")
    ['random: drawn at random']
    """
    rows = attempt(lambda: [row for _, row in read_jsonl(path)])
    if isinstance(rows, Mishap):
        return []
    reasons = [
        f"{row['by']}: {row['reason']}"
        for row in rows
        if row.get("by") in CRITERIA and isinstance(row.get("reason"), str)
    ]
    return reasons if len(reasons) == len(rows) else []


_Scored = tuple[int, float, str]
"""The number of a sentence, its score, and the reason."""


def check_criterion(by: str, models: int) -> Criterion:
    """Make sure that there is such a criterion, and that it has the models that it needs.

    Args:
        by: The criterion.
        models: How many models there are.

    Returns:
        The criterion.

    Raises:
        InputError: There is none, or it needs more.

    >>> check_criterion("rarity", 0)
    'rarity'
    """
    if by not in CRITERIA:
        raise UnknownNameError(f"unknown criterion {by!r}", hint=f"expected {', '.join(CRITERIA)}")
    needed = NEEDED.get(by, 0)
    if models < needed:
        raise InputError(
            f"{by} needs {'two models' if needed == 2 else 'a model'}", hint="name --model"
        )
    return by


def _ranked(scores: Iterable[_Scored]) -> list[_Scored]:
    return sorted(scores, key=lambda own: (-own[1], own[0]))


def _pool(sentences: Sequence[Sentence], known: Sequence[Sentence]) -> list[int]:
    seen = {sentence.text for sentence in known}
    pool = []
    for number, sentence in enumerate(sentences):
        if sentence.text not in seen and sentence.text.strip():
            seen.add(sentence.text)
            pool.append(number)
    return pool


def _scores(
    sentences: Sequence[Sentence],
    pool: Sequence[int],
    by: Criterion,
    evidence: Sequence[Sequence[Evidence]],
    known: Sequence[Sentence],
    seed: int,
) -> list[_Scored]:
    if by == "random":
        # The text decides, so that the same sentences are drawn from a corpus in another order.
        return [
            (number, _drawn(sentences[number].text, seed), "drawn at random") for number in pool
        ]
    if by == "rarity":
        return _rarity(sentences, pool, known)
    if by == "disagreement":
        return [(number, *_disagreement([own[number] for own in evidence])) for number in pool]
    return [(number, *uncertainty(sentences[number].text, evidence[0][number])) for number in pool]


def _drawn(text: str, seed: int) -> float:
    """A number in [0, 1) that a text and a seed decide."""
    held = f"{seed} {text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(held, digest_size=8).digest(), "big") / 2**64


def _named(evidence: Evidence) -> tuple[str, ...]:
    """The labels of the whole text that a model finds."""
    if evidence.given is not None:
        return tuple(sorted(evidence.given))
    return tuple(name for name, share in evidence.labels.items() if share >= _HALF)


def uncertainty(text: str, evidence: Evidence) -> tuple[float, str]:
    """How unsure a model is of a text, in [0, 1], and of what.

    With the probabilities of tags it is the mean, over the least sure characters, of 1 - max p,
    times K / (K - 1) for K tags: what is not named counts as what is. Without them it is how far
    the least sure span is from certainty; of labels of the whole text, how near one is to 0.5.

    >>> uncertainty("a", Evidence((Span(0, 1, "A", 0.75),)))
    (0.25, 'A a is 75 % sure')
    """
    if evidence.marginals is not None and len(evidence.marginals.values):
        values = evidence.marginals.values
        doubts = (1 - values.max(1)) * values.shape[1] / max(1, values.shape[1] - 1)
        worst = np.sort(doubts)[-_WORST:]
        place = int(doubts.argmax())
        tag = evidence.marginals.tags[int(values[place].argmax())]
        char = text[evidence.marginals.places[place]]
        around = _word_at(text, evidence.marginals.places[place])
        sure = f"{float(values[place].max()):.0%}".replace("%", " %")
        return float(worst.mean()), f"{char} in {around} is {tag} with {sure}"
    if evidence.labels:
        label, share = min(evidence.labels.items(), key=lambda own: abs(own[1] - 0.5))
        return 1 - 2 * abs(share - 0.5), f"{label} with {share:.0%}".replace("%", " %")
    scored = [span for span in evidence.spans if span.score is not None]
    if not scored:
        return 0.0, "the model finds nothing, or gives no scores"
    span = min(scored, key=lambda own: own.score or 0.0)
    score = span.score or 0.0
    surface = text[span.start : span.end]
    return 1 - score, f"{span.label} {surface} is {score:.0%} sure".replace("%", " %")


def _word_at(text: str, place: int) -> str:
    start = max((text.rfind(space, 0, place) for space in " \t\n"), default=-1) + 1
    ends = [end for space in " \t\n" if (end := text.find(space, place)) >= 0]
    return text[start : min(ends, default=len(text))][:30]


def _disagreement(said: Sequence[Evidence]) -> tuple[float, str]:
    """1 - F1 of the spans of two models, over all pairs of models."""
    parts, example = [], ""
    for one, other in combinations(said, 2):
        left, right = {*one.spans, *_named(one)}, {*other.spans, *_named(other)}
        total = len(left) + len(right)
        parts.append(1 - 2 * len(left & right) / total if total else 0.0)
        for own in sorted(left ^ right, key=lambda own: (isinstance(own, str), repr(own))):
            shown = f"{own.label} at {own.start}" if isinstance(own, Span) else str(own)
            example = example or f"one finds {shown}, another does not"
    return sum(parts) / len(parts), example or "the models agree"


def _rarity(
    sentences: Sequence[Sentence], pool: Sequence[int], known: Sequence[Sentence]
) -> list[_Scored]:
    """The share of a text's pairs of characters that the labelled sentences lack."""
    seen = Counter(pair for sentence in known for pair in _grams(sentence.text, 2))
    found = []
    for number in pool:
        pairs = list(_grams(sentences[number].text, 2))
        new = [pair for pair in pairs if pair not in seen]
        # Short texts have few pairs, which are rare by chance.
        score = len(new) / (len(pairs) + 4)
        shown = ", ".join(dict.fromkeys(new))[:40]
        reason = f"{len(new)} of {len(pairs)} pairs of characters are new: {shown}"
        found.append((number, score, reason if new else "nothing in it is new"))
    return found


def _grams(text: str, size: int) -> Iterable[str]:
    squeezed = " ".join(text.split())
    return (squeezed[place : place + size] for place in range(len(squeezed) - size + 1))


def _vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """(texts, width): hashed n-grams of characters, with logarithms of counts, of length one."""
    rows = np.zeros((len(texts), _WIDTH), np.float32)
    for row, text in zip(rows, texts, strict=True):
        counts = Counter(
            crc32(gram.encode("utf-8", "replace")) % _WIDTH
            for size in _NGRAMS
            for gram in _grams(text, size)
        )
        for column, count in counts.items():
            row[column] = 1 + math.log(count)
        length = float(np.sqrt((row**2).sum()))
        if length:
            row /= length
    return rows


def _unlike(
    sentences: Sequence[Sentence],
    pool: Sequence[int],
    number: int,
    doubted: Sequence[_Scored],
    known: Sequence[Sentence],
    first: Sequence[_Scored],
) -> list[_Scored]:
    """Farthest first: each one is the farthest from all that are labelled or chosen before it.

    Those in ``first`` are chosen before all others. With ``doubted``, the most doubted first, the
    choice is among those at its beginning, and what is doubted more weighs more.
    """
    doubts = {place: (score, reason) for place, score, reason in doubted}
    if doubts:
        pool = [place for place, _, _ in doubted[: _AMONG * number]]
    pool = list(dict.fromkeys([*(own[0] for own in first), *pool]))
    rows = _vectors([sentences[place].text for place in pool])
    unsure = np.array([doubts[place][0] if doubts else 1.0 for place in pool])
    # Whoever has no n-gram is unlike nothing.
    free = rows.any(1)
    # The squared distance to the nearest one that is taken.
    far = np.full(len(pool), 2.0, np.float32)
    for start in range(0, len(known), 256):
        taken = _vectors([sentence.text for sentence in known[start : start + 256]])
        far = np.minimum(far, 2 - 2 * (rows @ taken.T).max(1))
    far[~free] = 0.0
    chosen: list[_Scored] = []
    taken = np.zeros(len(pool), bool)
    for step in range(min(number, len(pool))):
        # Where a model doubts nothing, distance decides alone.
        weights = np.where(taken, -np.inf, far * (unsure + _TRIFLE))
        best = step if step < len(first) else int(weights.argmax())
        taken[best] = True
        place = pool[best]
        distance = max(0.0, float(far[best])) / 2
        reason = f"{distance:.0%} of it is unlike all others".replace("%", " %")
        score = distance
        if doubts:
            score, doubt = doubts[place]
            reason = f"{doubt}; {reason}"
        chosen.append((place, score, reason))
        far = np.minimum(far, 2 - 2 * (rows @ rows[best]))
        far[~free] = 0.0
    return chosen


def _with_quotas(
    scored: Sequence[_Scored],
    number: int,
    evidence: Sequence[Sequence[Evidence]],
    quotas: Mapping[str, int],
) -> list[_Scored]:
    """The best ones, with as many of each label as the quotas want, in the order of scores."""
    first = _of_quotas(scored, number, evidence[0], quotas) if quotas and evidence else []
    chosen = {own[0]: own for own in first}
    for own in scored:
        if len(chosen) >= number:
            break
        chosen.setdefault(own[0], own)
    order = {own[0]: rank for rank, own in enumerate(scored)}
    return sorted(chosen.values(), key=lambda own: order[own[0]])


def _of_quotas(
    scored: Sequence[_Scored],
    number: int,
    evidence: Sequence[Evidence],
    quotas: Mapping[str, int],
) -> list[_Scored]:
    """The best ones in which a model finds each label, as many as the quotas want."""
    found = {
        place: {*(span.label for span in evidence[place].spans), *_named(evidence[place])}
        for place, _, _ in scored
    }
    chosen: dict[int, _Scored] = {}
    for label, wanted in quotas.items():
        have = sum(label in found[place] for place in chosen)
        for own in scored:
            if have >= wanted or len(chosen) >= number:
                break
            if own[0] not in chosen and label in found[own[0]]:
                chosen[own[0]] = own
                have += 1
    return list(chosen.values())
