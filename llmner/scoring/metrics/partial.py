"""Partial credit: the four modes of SemEval-2013 task 9, computed from offsets.

The nervaluate package is not used: its ends are inclusive, it guesses the form of its input from
the first element, and it ignores overlaps below one per cent of the gold entity. A test compares
both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

from llmner.scoring._pairing import overlapping, pairs
from llmner.scoring._sides import Sides, Whole
from llmner.scoring.metrics._metric import PRF, Figures, Metric, Number, named, prf, ratios
from llmner.spans import Span

__all__ = ["MODES", "ModeScore", "Tally", "tallies"]

MODES = ("strict", "exact", "partial", "type")
"""``strict``: same place, same label. ``exact``: same place. ``partial``: an overlap counts half.
``type``: an overlap with the same label."""


@dataclass(frozen=True, slots=True)
class ModeScore(PRF):
    """The figures of one mode of SemEval-2013, and the counts behind them.

    Attributes:
        correct: Number of predictions that are right in this mode.
        incorrect: Number of predictions that overlap a gold entity and are wrong.
        partial: Number of overlaps that count half (mode ``partial`` only).
        missed: Number of gold entities that no prediction is paired with.
        spurious: Number of predictions that overlap no gold entity that is still free.
    """

    correct: int
    incorrect: int
    partial: int
    missed: int
    spurious: int


@dataclass(slots=True)
class Tally:
    """The counts of one mode; :class:`ModeScore` explains them."""

    correct: int = 0
    incorrect: int = 0
    partial: int = 0
    missed: int = 0
    spurious: int = 0


class _Columns(NamedTuple):
    """Counts by mode, in the order of :data:`MODES`."""

    correct: Number
    incorrect: Number
    partial: Number
    missed: Number
    spurious: Number


def tallies(gold: Sequence[Span], predicted: Sequence[Span]) -> tuple[Tally, Tally, Tally, Tally]:
    """The counts of each of :data:`MODES`.

    >>> strict, exact, partial, typed = tallies([Span(0, 4, "PER")], [Span(0, 4, "LOC")])
    >>> strict.incorrect, exact.correct
    (1, 1)
    """
    if tuple(gold) == tuple(predicted):
        right = len(gold)
        return Tally(right), Tally(right), Tally(right), Tally(right)
    strict, exact, partial, typed = Tally(), Tally(), Tally(), Tally()
    # A prediction takes the gold span at exactly its place, or else the first free one it overlaps.
    # No other prediction can overlap the gold span at its place, so strict, exact and partial mode
    # leave the same gold spans free.
    free = [True] * len(gold)
    for predicted_number, numbers in overlapping(gold, predicted):
        span = predicted[predicted_number]
        candidates = [number for number in numbers if free[number]]
        same = next(
            (
                number
                for number in candidates
                if (gold[number].start, gold[number].end) == (span.start, span.end)
            ),
            None,
        )
        if not candidates:
            for tally in (strict, exact, partial):
                tally.spurious += 1
            continue
        if same is None:
            strict.incorrect += 1
            exact.incorrect += 1
            partial.partial += 1
            free[candidates[0]] = False
            continue
        if gold[same].label == span.label:
            strict.correct += 1
        else:
            strict.incorrect += 1
        exact.correct += 1
        partial.correct += 1
        free[same] = False
    for tally in (strict, exact, partial):
        tally.missed = sum(free)
    _tally_types(typed, gold, predicted)
    return strict, exact, partial, typed


def _tally_types(typed: Tally, gold: Sequence[Span], predicted: Sequence[Span]) -> None:
    for gold_number, predicted_number in pairs(gold, predicted):
        if predicted_number is None:
            typed.missed += 1
        elif gold_number is None:
            typed.spurious += 1
        elif gold[gold_number].label == predicted[predicted_number].label:
            typed.correct += 1
        else:
            typed.incorrect += 1


def _count(sides: Sides) -> _Columns:
    modes = tallies(sides.gold, sides.predicted)
    return _Columns(
        [tally.correct for tally in modes],
        [tally.incorrect for tally in modes],
        [tally.partial for tally in modes],
        [tally.missed for tally in modes],
        [tally.spurious for tally in modes],
    )


def _modes(sums: _Columns) -> Iterator[tuple[str, _Columns]]:
    """The columns of each mode, with one number per sum."""
    for number, mode in enumerate(MODES):
        yield mode, _Columns(*(column[:, number] for column in sums))


def _ratios(counts: _Columns) -> tuple[Number, Number, Number]:
    paired = counts.correct + counts.incorrect + counts.partial
    right = counts.correct + counts.partial / 2
    return ratios(right, paired + counts.missed, paired + counts.spurious)


def _figures(sums: _Columns, labels: Sequence[str]) -> Figures:
    figures: Figures = {}
    for mode, counts in _modes(sums):
        figures |= named(f"partial.{mode}", _ratios(counts))
    return figures


def _quote(whole: Whole, sums: _Columns) -> dict[str, ModeScore]:
    return {
        mode: ModeScore(*astuple(prf(_ratios(counts))), *(int(count[0]) for count in counts))
        for mode, counts in _modes(sums)
    }


METRIC = Metric(
    "partial",
    _count,
    _figures,
    {
        # The strict mode has no title, because it equals the micro average.
        "partial.exact.f1": ("SemEval exact", "the place is right, whatever the label"),
        "partial.partial.f1": ("SemEval partial", "an overlap counts half, whatever the label"),
        "partial.type.f1": ("SemEval type", "an overlap with the right label counts"),
    },
    _quote,
)
