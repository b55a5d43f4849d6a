"""Bootstrap intervals of figures, and the paired comparison of two runs.

Whole sentences are resampled, because the entities of one sentence are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmner.errors import InputError, MismatchError
from llmner.scoring._counts import Counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Difference", "Interval", "compare_counts", "intervals"]

Interval = tuple[float, float]

LEVEL = 0.95
# Resamples are drawn for this many (resample, sentence) cells at a time: 40 MB.
_CELLS = 5_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two runs on the same sentences.

    Attributes:
        a: The first run's figure.
        b: The second run's figure.
        difference: ``b - a``.
        interval: 95 % bootstrap interval of the difference, with the same sentences drawn for both
            runs. ``None`` without resamples.
        p: The probability of a difference at least as large if the two runs' results on each
            sentence are swapped at random (two-sided approximate randomisation).
    """

    a: float
    b: float
    difference: float
    interval: Interval | None
    p: float


def _chunks(resamples: int, sentences: int) -> Iterator[int]:
    step = max(1, _CELLS // max(1, sentences))
    for start in range(0, resamples, step):
        yield min(step, resamples - start)


def _resampled(tables: list[NDArray[Any]], resamples: int, seed: int) -> list[NDArray[Any]]:
    """Sums of each table over the same resamples of its rows: (resamples, columns) each."""
    import numpy as np

    rng = np.random.default_rng(seed)
    size = len(tables[0])
    parts: list[list[NDArray[Any]]] = [[] for _ in tables]
    for rows in _chunks(resamples, size):
        drawn = rng.integers(size, size=(rows, size))
        # How often each sentence was drawn, for all resamples in one bincount.
        drawn += np.arange(rows)[:, None] * size
        weights = (
            np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)
        )
        for part, table in zip(parts, tables, strict=True):
            part.append(weights @ table)
    return [np.concatenate(part) for part in parts]


def _percentiles(values: NDArray[Any]) -> Interval | None:
    """The interval over the resamples that have the figure; ``None`` if none has it."""
    import numpy as np

    values = values[~np.isnan(values)]
    if not len(values):
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)


def intervals(counts: Counts, *, resamples: int = 1000, seed: int = 42) -> dict[str, Interval]:
    """95 % percentile bootstrap interval (Efron 1979) of every figure, by the figure's name.

    Resamples in which a label does not occur are left out of the label's interval. The same seed
    gives the same intervals. Time grows with resamples times sentences; memory is bounded, because
    resamples are drawn in chunks.

    Raises:
        InputError: ``resamples`` is less than 1.
    """
    if resamples < 1:
        raise InputError(f"resamples must be at least 1, got {resamples}", hint="1,000 is usual")
    (sums,) = _resampled([counts.table], resamples, seed)
    all_figures = {name: _percentiles(values) for name, values in counts.figures(sums).items()}
    return {name: interval for name, interval in all_figures.items() if interval is not None}


def compare_counts(
    a: Counts, b: Counts, *, resamples: int = 1000, shuffles: int = 10_000, seed: int = 42
) -> dict[str, Difference]:
    """The difference of every figure between two runs on the same sentences, with paired tests.

    The interval is a paired bootstrap (Koehn 2004). The p-value is from approximate randomisation
    (Noreen 1989; Yeh 2000): (1 + shuffles with a difference at least as large) / (1 + shuffles).

    Args:
        a: The first run's counts.
        b: The second run's counts.
        resamples: Bootstrap resamples for the interval; 0 for no interval.
        shuffles: Shuffles for the p-value.
        seed: Seed of both.

    Raises:
        InputError: ``resamples`` is negative, or ``shuffles`` is less than 1.
        MismatchError: The counts are of different sentences or label sets.
    """
    import numpy as np

    if resamples < 0 or shuffles < 1:
        raise InputError(
            f"resamples must not be negative and shuffles must be at least 1, got {resamples} and "
            f"{shuffles}",
            hint="1,000 and 10,000 are usual",
        )
    if a.labels != b.labels or a.blocks != b.blocks or a.table.shape != b.table.shape:
        raise MismatchError(
            "the counts are of different corpora", hint="count both runs with the same labels"
        )
    figures = a.figures(a.table.sum(0)[None]), b.figures(b.table.sum(0)[None])
    resampled = None
    if resamples:
        sums_a, sums_b = _resampled([a.table, b.table], resamples, seed)
        resampled = a.figures(sums_a), b.figures(sums_b)

    # Swapping a sentence's results moves the difference of its counts from one run to the other.
    rng = np.random.default_rng(seed)
    surplus = a.table - b.table
    chunks = []
    for rows in _chunks(shuffles, len(surplus)):
        swapped = rng.integers(2, size=(rows, len(surplus))).astype(np.float64)
        chunks.append(swapped @ surplus)
    moved = np.concatenate(chunks)
    shuffled = a.figures(a.table.sum(0) - moved), b.figures(b.table.sum(0) + moved)

    differences = {}
    for name in figures[0]:
        first, second = float(figures[0][name][0]), float(figures[1][name][0])
        if np.isnan(first) or np.isnan(second):
            continue  # The label does not occur in one of the runs.
        # A shuffle in which the label does not occur in one of the runs counts as no difference.
        distances = np.nan_to_num(np.abs(shuffled[1][name] - shuffled[0][name]))
        # The tolerance is for equal figures that rounding makes unequal.
        extreme = distances >= abs(second - first) - 1e-12
        differences[name] = Difference(
            first,
            second,
            second - first,
            None if resampled is None else _percentiles(resampled[1][name] - resampled[0][name]),
            (1 + int(extreme.sum())) / (1 + shuffles),
        )
    return differences
