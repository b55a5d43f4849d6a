"""Nearly equal stretches: seeds free of edits, and how far the rest of a mention reaches beside
them.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

from rapidfuzz.distance import Levenshtein

from llmner.projection._similar import jamo

__all__ = ["Letters", "compare", "cuts"]

# 0, -1, 1, -2, 2, ...
_ALTERNATING: Final = tuple(n // 2 if n % 2 == 0 else -(n // 2 + 1) for n in range(25))


class _Sizes(dict[str, int]):
    """Character → how many jamo it is: a syllable two or three, everything else one."""

    def __missing__(self, char: str) -> int:
        size = len(jamo(char))
        if len(self) < 50_000:
            self[char] = size
        return size


_size_of: Final = _Sizes().__getitem__


class Letters:
    """The jamo of a text, stretch by stretch. Made in O(text); a stretch then costs its length.

    Args:
        text: A canonical text.
    """

    __slots__ = ("_ends", "_jamo", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._jamo = jamo(text)
        self._ends = list(accumulate(map(_size_of, text), initial=0))

    def between(self, start: int, end: int) -> str:
        """The jamo of ``text[start:end]``, offsets within the text."""
        return self._jamo[self._ends[start] : self._ends[end]]

    def count(self, start: int, end: int) -> int:
        """How many jamo ``text[start:end]`` has."""
        return self._ends[end] - self._ends[start]


def cuts(size: int, edits: int) -> list[tuple[int, int]]:
    """The pieces of a mention of which one is free of edits (the pigeonhole principle)."""
    if size == 3:
        return [(0, 2), (1, 3)]
    pieces = edits + 1
    return [(size * n // pieces, size * (n + 1) // pieces) for n in range(pieces)]


def compare(
    text: str,
    mention: Letters,
    at: int,
    left: int,
    right: int,
    edits: int,
    cutoff: float,
    best: dict[tuple[int, int], float],
) -> None:
    """Enter the nearest stretches around ``text[at:]`` = ``mention[left:right]``: how alike by
    jamo.
    """
    size = len(mention.text)
    # No stretch that is compared begins before this or goes on after it.
    begin = max(0, at - left - edits)
    window = Letters(text[begin : at - left + size + edits])
    at -= begin
    whole = mention.count(0, size)
    allowed = int((1 - cutoff) * (whole + 3 * edits) + 1e-9)
    distance, before = _side(mention, 0, left, window, at, edits, allowed, -1)
    if not before:
        return
    more, after = _side(
        mention, right, size, window, at + right - left, edits, allowed - distance, 1
    )
    for back in before:
        for ahead in after:
            start, end = at - back, at + right - left + ahead
            alike = 1 - (distance + more) / max(whole, window.count(start, end))
            place = begin + start, begin + end
            if alike >= cutoff and alike > best.get(place, 0.0):
                best[place] = alike


def _side(
    mention: Letters,
    begin: int,
    stop: int,
    text: Letters,
    edge: int,
    edits: int,
    allowed: int,
    direction: int,
) -> tuple[int, list[int]]:
    """How far ``mention[begin:stop]`` reaches beside a seed: (edit distance, lengths that have it).

    No length if none is near enough.
    """
    size = stop - begin
    if not size:
        return 0, [0]
    part = mention.text[begin:stop]
    if direction > 0:
        free = text.text.startswith(part, edge)
    else:
        free = edge >= size and text.text.startswith(part, edge - size)
    if free:
        # Nothing is wrong on this side, and no other length is as near.
        return 0, [size]
    if allowed < 1:
        return 0, []
    letters = mention.between(begin, stop)
    limit = allowed
    lengths: list[int] = []
    for longer in _ALTERNATING[: 2 * edits + 1]:
        length = size + longer
        start, end = (edge, edge + length) if direction > 0 else (edge - length, edge)
        if length < 0 or start < 0 or end > len(text.text) or limit < 0:
            continue
        distance = Levenshtein.distance(letters, text.between(start, end), score_cutoff=limit)
        if distance < limit or (distance == limit and not lengths):
            limit, lengths = distance, [length]
        elif distance == limit:
            lengths.append(length)
    return limit, lengths
