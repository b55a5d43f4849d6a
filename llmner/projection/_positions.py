"""Where strings occur in a canonical text; many strings in a long text through an index of letter
pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Final

__all__ = ["INDEX_ABOVE", "MAX_OCCURRENCES", "Positions", "occurrences"]

MAX_OCCURRENCES: Final = 512
# Above so many characters × mentions the index pays.
INDEX_ABOVE: Final = 3_000_000


def occurrences(text: str, needle: str) -> list[int]:
    """Where ``needle`` occurs in ``text``, ascending, overlapping ones too; the first 512."""
    positions: list[int] = []
    at = text.find(needle)
    while at >= 0 and len(positions) < MAX_OCCURRENCES:
        positions.append(at)
        at = text.find(needle, at + 1)
    return positions


class Positions:
    """Occurrences of strings in one text, found through an index of letter pairs.

    Args:
        text: The canonical text.
        wanted: The strings that are looked for, they and their parts. O(text + wanted).
    """

    __slots__ = ("_pairs", "text")

    def __init__(self, text: str, wanted: Sequence[str]) -> None:
        self.text = text
        self._pairs: dict[str, list[int]] = {
            string[at : at + 2]: [] for string in wanted for at in range(len(string) - 1)
        }
        for at, pair in enumerate(map(add, text, text[1:])):
            if pair in self._pairs:
                self._pairs[pair].append(at)

    def of(self, needle: str) -> list[int]:
        """Where ``needle`` occurs, ascending, overlapping ones too; the first 512. Not for an empty
        one.
        """
        if len(needle) > 1:
            lists = [self._pairs.get(needle[at : at + 2]) for at in range(len(needle) - 1)]
            if None not in lists:
                return self._by_rarest_pair(needle, lists)  # type: ignore[arg-type]
        return occurrences(self.text, needle)

    def _by_rarest_pair(self, needle: str, lists: list[list[int]]) -> list[int]:
        shift = min(range(len(lists)), key=lambda n: len(lists[n]))
        positions: list[int] = []
        for at in lists[shift]:
            if at >= shift and self.text.startswith(needle, at - shift):
                positions.append(at - shift)
                if len(positions) >= MAX_OCCURRENCES:
                    break
        return positions
