"""How sure a figure is: bootstrap intervals over sentences, and the paired comparison of two runs.

Sentences are what is drawn: entities of one sentence stand and fall together.
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
# Draws are made for this many (resample, sentence) cells at a time: 40 MB.
_CELLS = 5_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two runs on the same sentences.

    Attributes:
        a: The first run's figure.
        b: The second run's.
        difference: ``b - a``.
        interval: 95 % bootstrap interval of the difference, the same sentences drawn for both runs;
            ``None`` where nothing was drawn.
        p: How often a difference at least as large comes about when the two runs' results on a
            sentence are swapped by chance (two-sided approximate randomisation).
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
    """Sums of each table over the same resamples of its rows: a (resamples, columns) array a
    table.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    size = len(tables[0])
    parts: list[list[NDArray[Any]]] = [[] for _ in tables]
    for rows in _chunks(resamples, size):
        drawn = rng.integers(size, size=(rows, size))
        # How often each sentence was drawn, all resamples in one count.
        drawn += np.arange(rows)[:, None] * size
        weights = (
            np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)
        )
        for part, table in zip(parts, tables, strict=True):
            part.append(weights @ table)
    return [np.concatenate(part) for part in parts]


def _percentiles(values: NDArray[Any]) -> Interval | None:
    """The interval of the resamples that have the figure at all, if any has."""
    import numpy as np

    known = values[~np.isnan(values)]
    if not len(known):
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(known, (tail, 100 - tail))
    return float(low), float(high)


def intervals(counts: Counts, *, resamples: int = 1000, seed: int = 42) -> dict[str, Interval]:
    """95 % percentile bootstrap interval of every figure (Efron 1979), by the figure's name.

    Resamples in which a label does not occur say nothing of the label, and are left out of its
    interval. The same seed gives the same intervals. Time and memory grow with resamples times
    sentences; memory is bounded by drawing in parts.

    Raises:
        InputError: Fewer than one resample.
    """
    if resamples < 1:
        raise InputError(f"{resamples} resamples are none", hint="give at least 1; 1,000 is usual")
    (sums,) = _resampled([counts.table], resamples, seed)
    found = {name: _percentiles(values) for name, values in counts.figures(sums).items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def compare_counts(
    a: Counts, b: Counts, *, resamples: int = 1000, shuffles: int = 10_000, seed: int = 42
) -> dict[str, Difference]:
    """Every figure of two runs on the same sentences, with the paired tests of their difference.

    The interval is a paired bootstrap (Koehn 2004); ``p`` is from approximate randomisation (Noreen
    1989; Yeh 2000): ``(1 + shuffles at least as far apart) / (1 + shuffles)``.

    Args:
        a: The first run's counts.
        b: The second run's.
        resamples: Draws for the interval; 0 for none.
        shuffles: Shuffles for ``p``.
        seed: Seed of both.

    Raises:
        InputError: A negative number of resamples, or no shuffle.
        MismatchError: The counts are of different sentences or label sets.
    """
    import numpy as np

    if resamples < 0 or shuffles < 1:
        raise InputError(
            f"{resamples} resamples and {shuffles} shuffles", hint="1,000 and 10,000 are usual"
        )
    if a.labels != b.labels or a.blocks != b.blocks or a.table.shape != b.table.shape:
        raise MismatchError(
            "counts of different corpora", hint="count both runs with the same labels"
        )
    whole = a.figures(a.table.sum(0)[None]), b.figures(b.table.sum(0)[None])
    drawn = None
    if resamples:
        drawn_a, drawn_b = _resampled([a.table, b.table], resamples, seed)
        drawn = a.figures(drawn_a), b.figures(drawn_b)

    rng = np.random.default_rng(seed)
    apart = a.table - b.table
    moved = []
    for rows in _chunks(shuffles, len(apart)):
        swapped = rng.integers(2, size=(rows, len(apart))).astype(np.float64)
        moved.append(swapped @ apart)
    moving = np.concatenate(moved)
    shuffled = a.figures(a.table.sum(0) - moving), b.figures(b.table.sum(0) + moving)

    found = {}
    for name in whole[0]:
        first, second = float(whole[0][name][0]), float(whole[1][name][0])
        if np.isnan(first) or np.isnan(second):
            continue  # a label that one of them has nothing of
        # Rounding must not tell two equal figures apart; where a shuffle has nothing of a label, it
        # has no difference either.
        apart_by = np.nan_to_num(np.abs(shuffled[1][name] - shuffled[0][name]))
        extreme = apart_by >= abs(second - first) - 1e-12
        found[name] = Difference(
            first,
            second,
            second - first,
            None if drawn is None else _percentiles(drawn[1][name] - drawn[0][name]),
            (1 + int(extreme.sum())) / (1 + shuffles),
        )
    return found
