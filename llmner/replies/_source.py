"""The text that a reply is about, as evidence of how the reply is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from llmner._budget import UNBOUNDED, Budget
from llmner._unicode import normalized

__all__ = ["SourceText", "fold", "has_words_between"]

_LETTER = re.compile(r"[^\W\d_]")
# So many characters are searched in the time of one step of the budget.
_CHARACTERS_PER_STEP = 2048
# How many surfaces of an answer are looked for, to see whether it is about the text.
_MOST_LOOKED_FOR = 64


class SourceText:
    """A text that is asked whether it has a surface, white space, case and width aside.

    Args:
        text: The text the model was asked about.
        budget: Is charged for every question.

    >>> source = SourceText("Ines flew to New York")
    >>> source.has("new york"), source.has("Bern")
    (True, False)
    """

    __slots__ = ("_budget", "_folded", "text")

    def __init__(self, text: str, budget: Budget = UNBOUNDED) -> None:
        self.text = text
        self._budget = budget
        self._folded: str | None = None

    @property
    def folded(self) -> str:
        """The text as it is searched."""
        if self._folded is None:
            self._folded = fold(self.text)
        return self._folded

    def has(self, surface: str) -> bool:
        """Whether a surface stands in the text; no blank surface does. O(text)."""
        self.spend(surface)
        folded = fold(surface)
        return bool(folded) and folded in self.folded

    def share(self, surfaces: Sequence[str]) -> float:
        """The share of the first surfaces that stand in the text; 0 for none. O(text).

        >>> SourceText("Ines flew to New York").share(["Ines", "Bern"])
        0.5
        """
        some = surfaces[:_MOST_LOOKED_FOR]
        return sum(map(self.has, some)) / len(some) if some else 0.0

    def spend(self, surface: str) -> None:
        """Charge the budget for one search for a surface."""
        self._budget.spend(1 + (len(self.text) + len(surface)) // _CHARACTERS_PER_STEP)


def fold(text: str) -> str:
    """A text in lower case, without white space."""
    if not text.isascii():
        text = normalized("NFKC", text)
    return "".join(text.casefold().split())


def has_words_between(text: str, surfaces: Iterable[tuple[int, str]]) -> bool:
    """Whether a text has letters between its surfaces, each with its offset, in their order.

    >>> has_words_between("Ines flew to Bern.", [(0, "Ines"), (13, "Bern")])
    True
    """
    parts, position = [], 0
    for start, surface in surfaces:
        parts.append(text[position:start])
        position = start + len(surface)
    return _LETTER.search("".join([*parts, text[position:]])) is not None
