"""Pairing gold spans with predicted spans by their offsets.

Metrics, the confusion matrix and the causes of errors are built on these pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmner.spans import Span

__all__ = ["overlapping", "pairs"]


def overlapping(gold: Sequence[Span], predicted: Sequence[Span]) -> Iterator[tuple[int, range]]:
    """For each predicted span, the numbers of the gold spans that it overlaps.

    Both sequences must be sorted and without overlaps. Takes O(gold + predicted + overlaps).

    >>> gold = [Span(0, 2, "A"), Span(2, 4, "B")]
    >>> list(overlapping(gold, [Span(1, 3, "A"), Span(5, 6, "A")]))
    [(0, range(0, 2)), (1, range(2, 2))]
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
    """Pair gold and predicted spans one to one.

    Predictions choose in the text's order among the free gold spans that they overlap. The nearest
    one with the same label is taken, or else the first one.

    Returns:
        (number of the gold span, number of the predicted span); ``None`` for no partner.

    >>> pairs([Span(0, 4, "A"), Span(6, 8, "B")], [Span(1, 4, "A")])
    [(0, 0), (1, None)]
    """
    partners: list[tuple[int | None, int | None]] = []
    free = [True] * len(gold)
    for predicted_number, candidates in overlapping(gold, predicted):
        span = predicted[predicted_number]
        partner: int | None = None
        nearest: int | None = None
        for number in candidates:
            if not free[number]:
                continue
            candidate = gold[number]
            if candidate.label == span.label:
                distance = abs(candidate.start - span.start) + abs(candidate.end - span.end)
                if nearest is None or distance < nearest:
                    nearest, partner = distance, number
            elif partner is None:
                partner = number
        if partner is not None:
            free[partner] = False
        partners.append((partner, predicted_number))
    partners += [(number, None) for number, unpaired in enumerate(free) if unpaired]
    return partners
