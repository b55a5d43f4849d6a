"""Calibration: whether the confidence of predictions agrees with their precision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Calibration", "CalibrationBin", "reliability"]

BINS = 10


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions whose confidence is in one tenth of [0, 1].

    Attributes:
        low: Lower edge; it is part of the first bin only.
        high: Upper edge; it is part of the bin.
        count: Number of predictions.
        confidence: Their mean confidence.
        precision: The share of them that are right, from 0 to 1.
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
        scored: Number of predictions with a confidence.
        unscored: Number of predictions without one.
        ece: Expected calibration error (Naeini et al. 2015): the mean distance between confidence
            and precision over the bins, weighted by their predictions.
        bins: The bins that are not empty.
    """

    scored: int
    unscored: int
    ece: float
    bins: tuple[CalibrationBin, ...]


def reliability(predictions: Iterable[tuple[float | None, bool]]) -> Calibration | None:
    """The reliability table of (confidence, right) pairs; ``None`` if no pair has a confidence.

    >>> calibration = reliability([(0.95, True), (0.95, False), (None, True)])
    >>> calibration.scored, calibration.unscored, round(calibration.ece, 2)
    (2, 1, 0.45)
    """
    contents: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    scored = unscored = 0
    for confidence, right in predictions:
        if confidence is None:
            unscored += 1
            continue
        scored += 1
        # Bins are open below and closed above, as in the paper. 0 goes into the first one.
        index = next((n for n in range(BINS) if confidence <= (n + 1) / BINS), BINS - 1)
        contents[index].append((confidence, right))
    if not scored:
        return None
    bins = tuple(
        CalibrationBin(
            index / BINS,
            (index + 1) / BINS,
            len(items),
            sum(confidence for confidence, _ in items) / len(items),
            sum(right for _, right in items) / len(items),
        )
        for index, items in enumerate(contents)
        if items
    )
    ece = sum(bin.count * abs(bin.precision - bin.confidence) for bin in bins) / scored
    return Calibration(scored, unscored, ece, bins)
