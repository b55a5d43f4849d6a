"""Partial credit: SemEval-2013 task 9's four ways to compare, straight from offsets.

Written here and held against nervaluate by a test: its ends are inclusive, it guesses the form of
its input from the first element, and an overlap counts only from one per cent of the gold entity
on.
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
    """Figures of one of SemEval-2013's modes, with the counts they come from.

    Attributes:
        correct: Predictions that are right in this mode.
        incorrect: Predictions that overlap a gold entity and are wrong.
        partial: Overlaps that count half (mode ``partial`` only).
        missed: Gold entities no prediction overlaps.
        spurious: Predictions that overlap no gold entity that is free.
    """

    correct: int
    incorrect: int
    partial: int
    missed: int
    spurious: int


@dataclass(slots=True)
class Tally:
    """Counts of one mode, as :class:`ModeScore` has them."""

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
    """A tally for each of :data:`MODES`."""
    if tuple(gold) == tuple(predicted):
        right = len(gold)
        return Tally(right), Tally(right), Tally(right), Tally(right)
    strict, exact, partial, typed = Tally(), Tally(), Tally(), Tally()
    # Which overlaps count decides nothing about which gold spans are left over: the first free one
    # is taken unless one stands at the very place, and then no other prediction can reach that one.
    free = [True] * len(gold)
    for number, touched in overlapping(gold, predicted):
        span = predicted[number]
        open_ones = [at for at in touched if free[at]]
        same = next(
            (at for at in open_ones if (gold[at].start, gold[at].end) == (span.start, span.end)),
            None,
        )
        if not open_ones:
            for tally in (strict, exact, partial):
                tally.spurious += 1
            continue
        if same is None:
            strict.incorrect += 1
            exact.incorrect += 1
            partial.partial += 1
            free[open_ones[0]] = False
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
    for right, found in pairs(gold, predicted):
        if found is None:
            typed.missed += 1
        elif right is None:
            typed.spurious += 1
        elif gold[right].label == predicted[found].label:
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
    """Each mode with its own columns, one number a sum."""
    for number, mode in enumerate(MODES):
        yield mode, _Columns(*(column[:, number] for column in sums))


def _ratios(one: _Columns) -> tuple[Number, Number, Number]:
    common = one.correct + one.incorrect + one.partial
    return ratios(one.correct + one.partial / 2, common + one.missed, common + one.spurious)


def _figures(sums: _Columns, labels: Sequence[str]) -> Figures:
    figures: Figures = {}
    for mode, one in _modes(sums):
        figures |= named(f"partial.{mode}", _ratios(one))
    return figures


def _quote(whole: Whole, sums: _Columns) -> dict[str, ModeScore]:
    return {
        mode: ModeScore(*astuple(prf(_ratios(one))), *(int(count[0]) for count in one))
        for mode, one in _modes(sums)
    }


METRIC = Metric(
    "partial",
    _count,
    _figures,
    {
        # Its strict mode is the micro average again.
        "partial.exact.f1": ("SemEval exact", "the place is right, whatever the label"),
        "partial.partial.f1": ("SemEval partial", "an overlap counts half, whatever the label"),
        "partial.type.f1": ("SemEval type", "an overlap with the right label counts"),
    },
    _quote,
)
