"""Whether confidences mean what they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Calibration", "CalibrationBin", "reliability"]

BINS = 10


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions whose confidence lies in one tenth of [0, 1].

    Attributes:
        low: Lower edge; the first bin holds it, the others do not.
        high: Upper edge.
        count: Predictions in it.
        confidence: Their mean confidence.
        precision: The share of them that is right.
    """

    low: float
    high: float
    count: int
    confidence: float
    precision: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence against precision.

    Attributes:
        scored: Predictions that carry a confidence.
        unscored: Predictions that do not.
        ece: Expected calibration error (Naeini et al. 2015): the mean distance of confidence and
            precision over the bins, weighted by their predictions.
        bins: The bins that hold predictions.
    """

    scored: int
    unscored: int
    ece: float
    bins: tuple[CalibrationBin, ...]


def reliability(predictions: Iterable[tuple[float | None, bool]]) -> Calibration | None:
    """The reliability table of (confidence, right) pairs, or ``None`` where none has a
    confidence.
    """
    held: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    scored = unscored = 0
    for confidence, right in predictions:
        if confidence is None:
            unscored += 1
            continue
        scored += 1
        # Bins are open below and closed above, as in the paper; 0 falls into the first.
        at = next((n for n in range(BINS) if confidence <= (n + 1) / BINS), BINS - 1)
        held[at].append((confidence, right))
    if not scored:
        return None
    bins = tuple(
        CalibrationBin(
            at / BINS,
            (at + 1) / BINS,
            len(items),
            sum(confidence for confidence, _ in items) / len(items),
            sum(right for _, right in items) / len(items),
        )
        for at, items in enumerate(held)
        if items
    )
    ece = sum(bin.count * abs(bin.precision - bin.confidence) for bin in bins) / scored
    return Calibration(scored, unscored, ece, bins)
