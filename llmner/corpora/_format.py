"""What a corpus format is, and what all formats share: options, counters, checks of sentences."""

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
    """Counters that :func:`read_corpus` updates while it reads.

    Attributes:
        sentences: Number of sentences read.
        spans: Number of gold spans in them.
        repairs: Number of tags that were repaired (an ``I-X`` that continues nothing, ...).
        first_repair: The first repair: file, line, and what was wrong.
        skipped: Number of bad rows or sentences that were skipped.
    """

    sentences: int = 0
    spans: int = 0
    repairs: int = 0
    first_repair: str | None = None
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row or sentence that was skipped.

    Attributes:
        error: What is wrong with it, with file and line.
        raw: Its lines, unchanged.
    """

    error: InputError
    raw: str


@dataclass(slots=True)
class ReadOptions:
    """How to read.

    Attributes:
        strict: Raise an error for a broken tag sequence instead of repairing it.
        labels: The only labels allowed; ``None`` allows all.
        on_bad: Called with each bad row, which is then skipped; ``None`` raises its error.
        stats: Counters to update.
        on_tags: Called with the IOB2 tags of each sentence, one per character, as they are in the
            file.
        split: The part of the file to read, for formats that have splits.
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
        """Skip a bad row and report it to ``on_bad``, or raise its error."""
        if self.on_bad is None:
            raise error
        self.stats.skipped += 1
        self.on_bad(BadRow(error, raw))

    def sentence(
        self, path: Path, line: int, id: str | None, text: str, spans: list[Span]
    ) -> Sentence:
        """Make a sentence and check it.

        Args:
            path: The file, for errors.
            line: The line of the sentence, for errors.
            id: Its id.
            text: Its text.
            spans: Its spans.

        Raises:
            CorpusError: Spans are out of range or overlap, or a label is not allowed.
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
    """A file format of labelled sentences.

    Attributes:
        name: Its name on the command line.
        read: Reads the sentences of a file, one at a time.
        write: Writes one sentence to a binary stream.
        looks_like: Whether a file is in this format, given its first lines (200 at most).
        header: Bytes at the beginning of every file.
        splits: Whether ``ReadOptions.split`` can ask for a part of a file.

    >>> from llmner.corpora import CORPUS_FORMATS
    >>> CORPUS_FORMATS["conll"].looks_like(["Anna\\tB-PER", "sings\\tO"])
    True
    """

    name: str
    read: Callable[[Path, ReadOptions], Iterator[Sentence]]
    write: Callable[[Sentence, BinaryIO], None]
    looks_like: Callable[[list[str]], bool]
    header: bytes = b""
    splits: bool = False


_LINE_BREAK = re.compile(r"[\n\r]")


def check_writable(
    sentence: Sentence, format: str, *, breaks: bool = False, blank: bool = False
) -> None:
    """Check that a sentence written in a line-based format can be read back.

    Args:
        sentence: The sentence.
        format: The format's name in the error message.
        breaks: Whether a text may have line breaks.
        blank: Whether a text may be nothing but white space.

    Raises:
        CorpusError: The text, the id or a label has a line break, the id has a tab, or the text is
            empty.
    """
    problem = None
    if not breaks and _LINE_BREAK.search(sentence.text):
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
    """The text in UTF-8; ``sentence`` is named in the error.

    Raises:
        CorpusError: The text has an unpaired surrogate, which UTF-8 cannot encode.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CorpusError(
            "an unpaired surrogate cannot be written as UTF-8",
            id=sentence.id,
            hint="use the spans format",
        ) from None
