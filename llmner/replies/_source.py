"""The text that a reply is about, as evidence of how the reply is meant."""

from __future__ import annotations

from llmner._budget import UNBOUNDED, Budget
from llmner._unicode import normalized

__all__ = ["SourceText"]


# So many characters are searched in the time of one step of the budget.
_CHARACTERS_PER_STEP = 2048


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

    def spend(self, surface: str) -> None:
        """Charge the budget for one search for a surface."""
        self._budget.spend(1 + (len(self.text) + len(surface)) // _CHARACTERS_PER_STEP)


def fold(text: str) -> str:
    """A text in lower case, without white space."""
    if not text.isascii():
        text = normalized("NFKC", text)
    return "".join(text.casefold().split())
