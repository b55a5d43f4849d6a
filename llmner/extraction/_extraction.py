"""The result of asking about one sentence, and the interface of everything that extracts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from llmner._mishaps import Mishap
from llmner._unicode import is_invisible
from llmner.corpora.jsonl import span_rows, text_label_rows
from llmner.engines import Reply
from llmner.errors import InputError
from llmner.extraction._html import extraction_html, shorten
from llmner.extraction.merging import WindowReply
from llmner.extraction.rows import is_blank_answer, projection_row, reply_fields, window_rows
from llmner.projection import Projection
from llmner.replies import ReadReply
from llmner.spans import Sentence, Span, TextLabel

__all__ = ["Extraction", "SpanExtractor", "failed", "lost", "nothing"]


@dataclass(frozen=True, slots=True, repr=False)
class Extraction:
    """What was extracted from one sentence.

    Attributes:
        sentence: The sentence that was asked about, with its gold spans.
        reply: What the engine answered. Of a long text: the replies about all windows, joined by
            line breaks. A tagger's reply is empty: it gives spans directly.
        projection: Spans and outcomes, and how the reply was read.
        windows: The answers about the windows of a long text; empty if the engine was asked about
            the whole text.
        samples: All replies, ``reply`` first, if there was a vote among several. Of a long text the
            windows have them.
        review: Spans that are for review: with a calibration that guarantees a share of right
            spans, those that nothing is guaranteed of. They are not among ``spans``.

    >>> from llmner.projection import project_reply
    >>> text, reply = "손흥민은 춘천에서", "PS: 손흥민"
    >>> extraction = Extraction(Sentence(text), Reply(reply), project_reply(text, reply))
    >>> extraction.spans
    (Span('손흥민', 'PS', start=0, end=3),)
    >>> extraction.row()["status"]
    'repaired'
    """

    sentence: Sentence
    reply: Reply
    projection: Projection
    windows: tuple[WindowReply, ...] = ()
    samples: tuple[Reply, ...] = ()
    review: tuple[Span, ...] = ()

    @property
    def text(self) -> str:
        """The text."""
        return self.sentence.text

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans that were found, each with its surface."""
        return tuple(span.of(self.sentence.text) for span in self.projection.spans)

    @property
    def labels(self) -> tuple[TextLabel, ...]:
        """The labels of the whole text that were found."""
        return self.projection.labels

    @property
    def is_blank(self) -> bool:
        """Whether the engine answered and said nothing at all, be it only that there is nothing."""
        if self.projection.reply is None or self.reply.error is not None:
            return False
        replies = [
            reply.text
            for part in self.windows or (self,)
            if not is_invisible(part.projection.text)
            for reply in part.samples or (part.reply,)
        ]
        outcomes = (*self.projection.outcomes, *self.projection.label_outcomes)
        return is_blank_answer(self.sentence.text, outcomes, replies)

    def row(self) -> dict[str, Any]:
        """One row of the output of ``extract``.

        It is a spans row with outcomes, the raw reply and how it was read. A long text's row also
        has the range, the raw reply and the reading status of each window. A tagger's is a spans
        row and nothing more.
        """
        sentence = {"id": self.sentence.id, "text": self.sentence.text}
        review = {"review": span_rows(self.review)} if self.review else {}
        if self.projection.reply is None:
            labels = text_label_rows(self.labels)
            found = {"spans": span_rows(self.spans), **({"labels": labels} if labels else {})}
            return sentence | found | review
        row = projection_row(
            self.sentence.id, self.projection, self.reply.text, **review, **reply_fields(self)
        )
        return row | {"windows": window_rows(self.windows)} if self.windows else row

    def to_dict(self) -> dict[str, Any]:
        """The same as :meth:`row`: plain data that JSON takes."""
        return self.row()

    def to_pandas(self) -> Any:
        """A data frame with a row for each span: text, label, start, end, score, attributes.

        Raises:
            InputError: pandas is not installed.
        """
        return spans_frame([self])

    def __repr__(self) -> str:
        spans = [repr((span.text, span.label)) for span in self.spans]
        found = ", ".join([*spans, *map(repr, self.labels)])
        error = "" if self.reply.error is None else f", error={shorten(self.reply.error)!r}"
        return f"Extraction({shorten(self.text)!r}, [{found}]{error})"

    def _repr_html_(self) -> str:
        """The text with its entities in colour and what became of every mention, for notebooks."""
        return extraction_html(self)


def spans_frame(extractions: Iterable[Extraction]) -> Any:
    """A data frame with a row for each span of some extractions.

    Args:
        extractions: The extractions, in order; ``sentence`` has the number of each.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas  # type: ignore[import-untyped]
    except ImportError:
        raise InputError("a data frame needs pandas", hint="pip install pandas") from None
    columns = ["sentence", "text", "label", "start", "end", "score", "attributes"]
    rows = [
        (number, span.text, span.label, span.start, span.end, span.score, dict(span.attributes))
        for number, extraction in enumerate(extractions)
        for span in extraction.spans
    ]
    return pandas.DataFrame(rows, columns=columns)


class SpanExtractor(Protocol):
    """Anything that extracts spans, such as an ``Extractor`` or a baseline.

    Runs, evaluations and comparisons need no more than this.

    Attributes:
        batch_size: The number of sentences after which rows are synced to disk.
    """

    batch_size: int

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        """Extract from every sentence, in order."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result."""
        ...


def lost(sentence: Sentence, mishap: Mishap, reply: str = "") -> Extraction:
    """The extraction of a sentence on which something failed unexpectedly.

    Args:
        sentence: The sentence.
        mishap: What failed.
        reply: What was answered, if the engine was asked.
    """
    return Extraction(sentence, failed(Reply(reply), mishap), nothing(sentence.text))


def nothing(text: str) -> Projection:
    """The projection of no answer."""
    return Projection(text, (), (), ReadReply(status="empty"))


def failed(reply: Reply, mishap: Mishap) -> Reply:
    """A reply with an error, for one that could not be used; its text is kept for debugging."""
    text = getattr(reply, "text", "")
    return Reply(text if isinstance(text, str) else "", "error", error=str(mishap))
