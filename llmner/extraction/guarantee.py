"""A lowest score above which a share of spans is right, with a bound for finite samples.

The method is Learn then Test (Angelopoulos, Bates, Candès, Jordan, Lei 2021, arXiv:2110.01052): for
each candidate, the hypothesis that too few of the spans above it are right is tested by the
binomial tail, which is the Clopper-Pearson bound turned round. Candidates are tested in rising
number of spans, from a few starts that share the error among them; a start's sequence ends at the
first hypothesis that stands. Candidates depend on scores alone, not on what is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llmner._numbers import is_number, is_whole
from llmner.errors import InputError

__all__ = ["Guarantee", "binomial_tail", "guarantee"]

# Where sequences start and how many candidates there are, as shares of all spans.
_STARTS = (0.1, 0.3, 0.5, 0.7, 0.9)
_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What is promised of spans with at least a score.

    Attributes:
        precision: At least this share of them is right.
        confidence: The probability, over the choice of the sentences it was fitted on, that it is.
        min_score: The score.
        kept: How many spans of those sentences have it.
        right: How many of these are right.
        spans: How many spans there were.

    Raises:
        InputError: A share is not in (0, 1), or the counts do not fit each other.
    """

    precision: float
    confidence: float
    min_score: float
    kept: int
    right: int
    spans: int

    def __post_init__(self) -> None:
        for name in ("precision", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} must be between 0 and 1")
        if not (0 <= self.min_score <= 1 and 0 <= self.right <= self.kept <= self.spans):
            raise InputError("a guarantee's numbers do not fit each other")

    def to_dict(self) -> dict[str, Any]:
        """It as JSON has it."""
        return asdict(self)

    @classmethod
    def of_dict(cls, fields: object) -> Guarantee:
        """Read what :meth:`to_dict` gave.

        Raises:
            InputError: It is something else.
        """
        names = {"precision", "confidence", "min_score", "kept", "right", "spans"}
        if not isinstance(fields, dict) or set(fields) != names:
            raise InputError("'guarantee' lacks a field, or has one too many")
        if not all(is_whole(fields[name]) for name in ("kept", "right", "spans")):
            raise InputError("'guarantee' counts with something other than whole numbers")
        if not all(is_number(fields[name]) for name in ("precision", "confidence", "min_score")):
            raise InputError("'guarantee' has something other than numbers")
        return cls(**fields)


def guarantee(
    pairs: Iterable[tuple[float, bool]], precision: float = 0.95, confidence: float = 0.95
) -> Guarantee | None:
    """The lowest score from which on at least a share of spans is right, with a confidence.

    The bound holds for spans that are drawn as those of the pairs were, one independent of the
    other. Those of one sentence are not quite: take sentences from many texts.

    Args:
        pairs: The score of each span of some sentences that the model was not trained on, and
            whether it is right.
        precision: The share, between 0 and 1.
        confidence: The probability that the share is reached, between 0 and 1.

    Returns:
        What is guaranteed; ``None`` if nothing can be, because there are too few spans, or too few
        are right even among the surest.

    Raises:
        InputError: A share is not between 0 and 1.

    >>> sure = [(0.9, True)] * 400 + [(0.2, False)] * 100
    >>> found = guarantee(sure)
    >>> found.min_score, found.kept
    (0.9, 400)
    >>> guarantee([(0.9, True)] * 20) is None
    True
    """
    for name, share in (("precision", precision), ("confidence", confidence)):
        if not 0 < share < 1:
            raise InputError(f"the {name} must be between 0 and 1, got {share:g}")
    ordered = sorted(pairs, key=lambda pair: -pair[0])
    rights = [0]
    for _, right in ordered:
        rights.append(rights[-1] + right)
    sizes = _sizes([score for score, _ in ordered])
    allowed = (1 - confidence) / len(_STARTS)
    most = 0
    for start in _STARTS:
        for size in (size for size in sizes if size >= start * len(ordered)):
            if binomial_tail(rights[size], size, precision) > allowed:
                break
            most = max(most, size)
    if not most:
        return None
    score = ordered[most - 1][0]
    return Guarantee(precision, confidence, score, most, rights[most], len(ordered))


def _sizes(scores: Sequence[float]) -> list[int]:
    """Numbers of spans that a lowest score can keep, about a hundred, in rising order."""
    wanted = {math.ceil(len(scores) * step / _CANDIDATES) for step in range(1, _CANDIDATES + 1)}
    sizes = set()
    for size in wanted - {0}:
        # All spans of one score are kept or none.
        while size < len(scores) and scores[size] == scores[size - 1]:
            size += 1
        sizes.add(size)
    return sorted(sizes)


def binomial_tail(right: int, count: int, share: float) -> float:
    """The probability of at least so many successes, of ``count`` with probability ``share`` each.

    >>> round(binomial_tail(59, 59, 0.95), 4)
    0.0485
    """
    if right <= 0:
        return 1.0
    log_share, log_other = math.log(share), math.log1p(-share)
    terms = (
        math.lgamma(count + 1)
        - math.lgamma(own + 1)
        - math.lgamma(count - own + 1)
        + own * log_share
        + (count - own) * log_other
        for own in range(right, count + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))
