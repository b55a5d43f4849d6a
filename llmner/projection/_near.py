"""Nearly equal stretches: seeds free of edits, and how far the rest of a mention reaches beside them."""

from __future__ import annotations

from typing import Final

from rapidfuzz.distance import Levenshtein

from llmner.projection._similar import jamo

__all__ = ["compare", "cuts"]

# 0, -1, 1, -2, 2, ...
_ALTERNATING: Final = tuple(n // 2 if n % 2 == 0 else -(n // 2 + 1) for n in range(25))


def cuts(size: int, edits: int) -> list[tuple[int, int]]:
    """The pieces of a mention of which one is free of edits (the pigeonhole principle)."""
    if size == 3:
        return [(0, 2), (1, 3)]
    pieces = edits + 1
    return [(size * n // pieces, size * (n + 1) // pieces) for n in range(pieces)]


def compare(
    text: str,
    mention: str,
    at: int,
    left: int,
    right: int,
    edits: int,
    cutoff: float,
    best: dict[tuple[int, int], float],
) -> None:
    """Enter the nearest stretches around ``text[at:]`` = ``mention[left:right]``: how alike by jamo."""
    whole = len(jamo(mention))
    allowed = int((1 - cutoff) * (whole + 3 * edits) + 1e-9)
    distance, before = _side(mention[:left], text, at, edits, allowed, -1)
    if not before:
        return
    more, after = _side(mention[right:], text, at + right - left, edits, allowed - distance, 1)
    for back in before:
        for ahead in after:
            start, end = at - back, at + right - left + ahead
            alike = 1 - (distance + more) / max(whole, len(jamo(text[start:end])))
            if alike >= cutoff and alike > best.get((start, end), 0.0):
                best[start, end] = alike


def _side(part: str, text: str, edge: int, edits: int, allowed: int, direction: int) -> tuple[int, list[int]]:
    """How far the rest of the mention reaches beside a seed: (edit distance, lengths that have it).

    No length if none is near enough.
    """
    if not part:
        return 0, [0]
    size = len(part)
    if direction > 0:
        free = text.startswith(part, edge)
    else:
        free = edge >= size and text.startswith(part, edge - size)
    if free:
        # Nothing is wrong on this side, and no other length is as near.
        return 0, [size]
    if allowed < 1:
        return 0, []
    letters = jamo(part)
    limit = allowed
    lengths: list[int] = []
    for longer in _ALTERNATING[: 2 * edits + 1]:
        length = size + longer
        if direction > 0:
            stretch = text[edge : edge + length]
        else:
            stretch = text[edge - length : edge] if length <= edge else ""
        if length < 0 or len(stretch) != length or limit < 0:
            continue
        distance = Levenshtein.distance(letters, jamo(stretch), score_cutoff=limit)
        if distance < limit or (distance == limit and not lengths):
            limit, lengths = distance, [length]
        elif distance == limit:
            lengths.append(length)
    return limit, lengths
