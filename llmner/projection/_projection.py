"""What a projection gives: the spans of a text, and how they came about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from llmner.projection._explain import explain
from llmner.projection._outcome import LabelOutcome, Outcome
from llmner.replies import ReadReply
from llmner.spans import Span, TextLabel
from llmner.tagging import spans_to_tags

__all__ = ["Projection"]


@dataclass(frozen=True, slots=True)
class Projection:
    """Spans of a text, and what became of every mention.

    Attributes:
        text: The text.
        spans: Sorted by start, lying apart, each covering whole characters. Those of
            :func:`project` and the like have their surface as ``text``.
        outcomes: One for each mention, in the reply's order.
        reply: How the reply was read, where one was given.
        label_outcomes: One for each label that the reply gives the whole text.
    """

    text: str
    spans: tuple[Span, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    reply: ReadReply | None = None
    label_outcomes: tuple[LabelOutcome, ...] = ()

    @property
    def labels(self) -> tuple[TextLabel, ...]:
        """The labels of the whole text."""
        return tuple(o.label for o in self.label_outcomes if o.label is not None)

    def with_outcomes(self, outcomes: Iterable[Outcome]) -> Projection:
        """The projection with other outcomes, and the spans that they have. O(n log n).

        Spans that no outcome has had stay.

        >>> from llmner import Mention
        >>> exact = Outcome(Mention("PS", "손흥민"), "exact", Span(0, 3, "PS"))
        >>> Projection("손흥민은").with_outcomes([exact]).spans
        (Span(start=0, end=3, label='PS', score=None),)
        """
        outcomes = tuple(outcomes)
        placed = {span for outcome in self.outcomes for span in outcome.places}
        spans = [span for span in self.spans if span not in placed]
        spans += [span for outcome in outcomes for span in outcome.places]
        return replace(self, spans=tuple(sorted(spans)), outcomes=outcomes)

    def with_surfaces(self) -> Projection:
        """The projection whose spans have their surface in the text.

        >>> Projection("손흥민은", (Span(0, 3, "PS"),)).with_surfaces().spans[0].text
        '손흥민'
        """
        return replace(self, spans=tuple(span.of(self.text) for span in self.spans))

    def tags(self) -> list[str]:
        """IOB2 tags, one a code point of the text."""
        return spans_to_tags(self.spans, len(self.text))

    def explain(self) -> str:
        """The text with its spans marked, and below a line for each mention: what became of it and
        why.

        For people: the wording may change. Programs read ``outcomes``.
        """
        return explain(self.text, self.spans, self.outcomes, self.reply)
