"""The text that a reply is about, as evidence of how the reply is meant."""

from __future__ import annotations

from llmner._unicode import normalized

__all__ = ["SourceText"]


class SourceText:
    """A text that is asked whether it has a surface, white space, case and width aside.

    Args:
        text: The text the model was asked about.

    >>> source = SourceText("Ines flew to New York")
    >>> source.has("new york"), source.has("Bern")
    (True, False)
    """

    __slots__ = ("_folded", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._folded: str | None = None

    @property
    def folded(self) -> str:
        """The text as it is searched."""
        if self._folded is None:
            self._folded = fold(self.text)
        return self._folded

    def has(self, surface: str) -> bool:
        """Whether a surface stands in the text; no blank surface does. O(text)."""
        folded = fold(surface)
        return bool(folded) and folded in self.folded


def fold(text: str) -> str:
    """A text in lower case, without white space."""
    if not text.isascii():
        text = normalized("NFKC", text)
    return "".join(text.casefold().split())
