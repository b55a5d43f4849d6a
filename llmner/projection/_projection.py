"""What a projection gives: the spans of a text, and how they came about."""

from __future__ import annotations

from dataclasses import dataclass

from llmner.projection._explain import explain
from llmner.projection._outcome import Outcome
from llmner.replies import ReadReply
from llmner.spans import Span
from llmner.tagging import spans_to_tags

__all__ = ["Projection"]


@dataclass(frozen=True, slots=True)
class Projection:
    """Spans of a text, and what became of every mention.

    Attributes:
        text: The text.
        spans: Sorted by start, lying apart, each covering whole characters.
        outcomes: One for each mention, in the reply's order.
        reply: How the reply was read, where one was given.
    """

    text: str
    spans: tuple[Span, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    reply: ReadReply | None = None

    def tags(self) -> list[str]:
        """IOB2 tags, one a code point of the text."""
        return spans_to_tags(self.spans, len(self.text))

    def explain(self) -> str:
        """The text with its spans marked, and below a line for each mention: what became of it and why.

        For people: the wording may change. Programs read ``outcomes``.
        """
        return explain(self.text, self.spans, self.outcomes, self.reply)
