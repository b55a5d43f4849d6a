"""What every reader shares: its options, its counters, and what to do with a row that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from llmner.errors import CorpusError, InputError, SpanError
from llmner.spans import Sentence, Span

__all__ = ["BadRow", "CorpusFormat", "ReadOptions", "ReadStats", "check_writable", "encode"]


@dataclass(slots=True)
class ReadStats:
    """Counts of one reading, filled in as it goes.

    Attributes:
        sentences: Sentences given out.
        spans: Gold spans in them.
        repairs: Tags that had to be repaired (an ``I-X`` that continued nothing, ...).
        first_repair: Where and what the first of them was.
        skipped: Bad rows or sentences passed over.
    """

    sentences: int = 0
    spans: int = 0
    repairs: int = 0
    first_repair: str | None = None
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row or sentence that was passed over: what was wrong, and its lines as they stood."""

    error: InputError
    raw: str


@dataclass(slots=True)
class ReadOptions:
    """How to read.

    Attributes:
        strict: Broken tag sequences are errors instead of being repaired and counted.
        labels: The only labels allowed; ``None`` allows any.
        on_bad: Called with each bad row, which is then skipped; ``None`` raises its error.
        stats: Counters to fill in.
        on_tags: Called with the IOB2 tags of each sentence as they stand in the file, one a
            character.
        split: Which part of a file to read, for formats that know some.
    """

    strict: bool = False
    labels: Collection[str] | None = None
    on_bad: Callable[[BadRow], None] | None = None
    stats: ReadStats = field(default_factory=ReadStats)
    on_tags: Callable[[list[str]], None] | None = None
    split: str | None = None

    def repaired(self, path: Path, line: int, repairs: list[str], id: str | None = None) -> None:
        """Count the repairs of one sentence."""
        if repairs and self.stats.first_repair is None:
            self.stats.first_repair = str(
                CorpusError(repairs[0], path=path, line=line, id=id or None)
            )
        self.stats.repairs += len(repairs)

    def bad(self, error: InputError, raw: str) -> None:
        """Pass over a bad row, or raise its error."""
        if self.on_bad is None:
            raise error
        self.stats.skipped += 1
        self.on_bad(BadRow(error, raw))

    def sentence(
        self, path: Path, line: int, id: str | None, text: str, spans: list[Span]
    ) -> Sentence:
        """A checked sentence.

        Raises:
            CorpusError: Spans out of range or overlapping, or a label that is not allowed.
        """
        if self.labels is not None:
            for span in spans:
                if span.label not in self.labels:
                    raise CorpusError(
                        f"unknown label {span.label!r}",
                        path=path,
                        line=line,
                        id=id,
                        hint=f"expected one of {', '.join(self.labels)}",
                    )
        try:
            return Sentence(text, tuple(spans), id)
        except SpanError as error:
            raise CorpusError(error.problem, path=path, line=line, id=id, hint=error.hint) from None


@dataclass(frozen=True, slots=True)
class CorpusFormat:
    """A way of keeping labelled sentences in a file.

    Attributes:
        name: Its name on the command line.
        read: Streams sentences from a path.
        write: Streams sentences to a binary stream, one call a sentence.
        header: Bytes that open a file.
        looks_like: Whether the first lines of a file look like this format.
        splits: Whether a part of a file can be asked for.
    """

    name: str
    read: Callable[[Path, ReadOptions], Iterator[Sentence]]
    write: Callable[[Sentence, BinaryIO], None]
    looks_like: Callable[[list[str]], bool]
    header: bytes = b""
    splits: bool = False


_BREAKS = re.compile(r"[\n\r]")


def check_writable(
    sentence: Sentence, format: str, *, breaks: bool = False, blank: bool = False
) -> None:
    """Make sure that a sentence written in a line-based format can be read back.

    Args:
        sentence: The sentence.
        format: What the format is called.
        breaks: Whether the format can hold line breaks in a text.
        blank: Whether the format can hold a text of nothing but white space.

    Raises:
        CorpusError: A line break in text, id or label, a tab in the id, or an empty text.
    """
    problem = None
    if not breaks and _BREAKS.search(sentence.text):
        problem = "a text with a line break"
    elif not sentence.text or (not blank and not sentence.text.strip()):
        problem = "an empty text"
    elif sentence.id is not None and re.search(r"[\n\r\t]", sentence.id):
        problem = "an id with a line break or a tab"
    elif any(re.search(r"\s", span.label) for span in sentence.spans):
        problem = "a label with white space"
    if problem is not None:
        raise CorpusError(
            f"{problem} cannot be written as {format}", id=sentence.id, hint="use the spans format"
        )


def encode(sentence: Sentence, text: str) -> bytes:
    """UTF-8.

    Raises:
        CorpusError: The text holds half a surrogate pair, which UTF-8 lacks.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CorpusError(
            "half a surrogate pair cannot be written as UTF-8",
            id=sentence.id,
            hint="use the spans format",
        ) from None
