"""Stretches of a text that must not overlap. Knows nothing of what stands there."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

__all__ = ["Intervals", "lie_apart"]


class Intervals:
    """Half-open stretches that lie apart, to be asked whether another one overlaps them.

    >>> taken = Intervals([(0, 3)])
    >>> taken.overlap(2, 5), taken.overlap(3, 5)
    (True, False)
    """

    __slots__ = ("_stretches",)

    def __init__(self, stretches: Iterable[tuple[int, int]] = ()) -> None:
        self._stretches: list[tuple[int, int]] = sorted(stretches) if stretches else []

    def __bool__(self) -> bool:
        return bool(self._stretches)

    def add(self, start: int, end: int) -> None:
        """Add a stretch, which must overlap none."""
        insort(self._stretches, (start, end))

    def overlap(self, start: int, end: int) -> bool:
        """Whether one of them overlaps ``[start, end)``. O(log of their number)."""
        at = bisect_left(self._stretches, (start,))
        return any(
            start < other_end and other_start < end
            for other_start, other_end in self._stretches[max(0, at - 1) : at + 1]
        )


def lie_apart(places: Iterable[tuple[int, int, *tuple[object, ...]]]) -> bool:
    """Whether places, which begin with a start and an end and come in text order, do not
    overlap.
    """
    reach = 0
    for place in places:
        if place[0] < reach:
            return False
        reach = place[1]
    return True
