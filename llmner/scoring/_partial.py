"""Partial credit: SemEval-2013 task 9's four ways to compare, straight from offsets.

Written here and held against nervaluate by a test: its ends are inclusive, it guesses the form of its input
from the first element, and an overlap counts only from one per cent of the gold entity on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmner.spans import Span

__all__ = ["MODES", "mode_counts", "pairs"]

MODES = ("strict", "exact", "partial", "type")
"""``strict``: same place, same label. ``exact``: same place. ``partial``: an overlap counts half.
``type``: an overlap with the same label."""

_CORRECT, _INCORRECT, _PARTIAL, _MISSED, _SPURIOUS = range(5)


def overlapping(gold: Sequence[Span], predicted: Sequence[Span]) -> Iterator[tuple[int, range]]:
    """For each predicted span the numbers of the gold spans it overlaps. Both sorted, each lying apart.

    O(gold + predicted + overlaps).
    """
    first = 0
    for number, span in enumerate(predicted):
        while first < len(gold) and gold[first].end <= span.start:
            first += 1
        after = first
        while after < len(gold) and gold[after].start < span.end:
            after += 1
        yield number, range(first, after)


def pairs(gold: Sequence[Span], predicted: Sequence[Span]) -> list[tuple[int | None, int | None]]:
    """(number of the gold span, number of the predicted span) one to one, ``None`` where one has no partner.

    A prediction takes, of the free gold spans it overlaps, the one of its label whose edges are nearest,
    else the first. Predictions choose in the text's order.
    """
    found: list[tuple[int | None, int | None]] = []
    free = [True] * len(gold)
    for number, touched in overlapping(gold, predicted):
        span = predicted[number]
        partner: int | None = None
        nearest: int | None = None
        for at in touched:
            if not free[at]:
                continue
            if gold[at].label == span.label:
                distance = abs(gold[at].start - span.start) + abs(gold[at].end - span.end)
                if nearest is None or distance < nearest:
                    nearest, partner = distance, at
            elif partner is None:
                partner = at
        if partner is not None:
            free[partner] = False
        found.append((partner, number))
    found += [(at, None) for at, unpaired in enumerate(free) if unpaired]
    return found


def mode_counts(gold: Sequence[Span], predicted: Sequence[Span]) -> list[list[int]]:
    """A row for each of :data:`MODES`: correct, incorrect, partial, missed, spurious."""
    if tuple(gold) == tuple(predicted):
        return [[len(gold), 0, 0, 0, 0] for _ in MODES]
    rows = [[0] * 5 for _ in MODES]
    strict, exact, partial, typed = rows
    # Which overlaps count decides nothing about which gold spans are left over: the first free one is taken
    # unless one stands at the very place, and then no other prediction can reach that one.
    free = [True] * len(gold)
    for number, touched in overlapping(gold, predicted):
        span = predicted[number]
        open_ones = [at for at in touched if free[at]]
        same = next((at for at in open_ones if (gold[at].start, gold[at].end) == (span.start, span.end)), None)
        if not open_ones:
            for row in (strict, exact, partial):
                row[_SPURIOUS] += 1
            continue
        if same is None:
            strict[_INCORRECT] += 1
            exact[_INCORRECT] += 1
            partial[_PARTIAL] += 1
            free[open_ones[0]] = False
            continue
        strict[_CORRECT if gold[same].label == span.label else _INCORRECT] += 1
        exact[_CORRECT] += 1
        partial[_CORRECT] += 1
        free[same] = False
    for row in (strict, exact, partial):
        row[_MISSED] = sum(free)
    for at, found in pairs(gold, predicted):
        if found is None:
            typed[_MISSED] += 1
        elif at is None:
            typed[_SPURIOUS] += 1
        else:
            typed[_CORRECT if gold[at].label == predicted[found].label else _INCORRECT] += 1
    return rows
