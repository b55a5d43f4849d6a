"""Which gold spans and which predicted spans belong together: overlaps, and partners one to one.

Straight from offsets, without tags. What is made of the partners is for metrics and causes to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmner.spans import Span

__all__ = ["overlapping", "pairs"]


def overlapping(gold: Sequence[Span], predicted: Sequence[Span]) -> Iterator[tuple[int, range]]:
    """For each predicted span the numbers of the gold spans it overlaps. Both sorted, each lying
    apart.

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
    """(number of the gold span, number of the predicted span) one to one, ``None`` where one has no
    partner.

    A prediction takes, of the free gold spans it overlaps, the one of its label whose edges are
    nearest, else the first. Predictions choose in the text's order.
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
