"""What a corpus format is, and what all formats share: options, counters, checks of sentences."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from llmner._intervals import Intervals
from llmner.corpora._losses import NESTED, Losses, shown_span
from llmner.errors import CorpusError, InputError, SpanError
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "BROKEN",
    "ODD_VALUES",
    "BadRow",
    "CorpusFormat",
    "ReadOptions",
    "ReadStats",
    "bare",
    "check_writable",
    "encode",
    "outermost",
]


@dataclass(slots=True)
class ReadStats:
    """Counters that :func:`read_corpus` updates while it reads.

    Attributes:
        sentences: Number of sentences read.
        spans: Number of gold spans in them.
        labels: Number of labels of whole texts.
        repairs: Number of tags that were repaired (an ``I-X`` that continues nothing, ...).
        first_repair: The first repair: file, line, and what was wrong.
        skipped: Number of bad rows or sentences that were skipped.
        losses: What the file has and a :class:`Sentence` cannot hold.
        notes: What else a user should know of how the file was read.
    """

    sentences: int = 0
    spans: int = 0
    labels: int = 0
    repairs: int = 0
    first_repair: str | None = None
    skipped: int = 0
    losses: Losses = field(default_factory=Losses)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)


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
        predicted: Whether the file has the predictions of a tagger, for guessing its scheme.
    """

    strict: bool = False
    labels: Collection[str] | None = None
    on_bad: Callable[[BadRow], None] | None = None
    stats: ReadStats = field(default_factory=ReadStats)
    on_tags: Callable[[list[str]], None] | None = None
    split: str | None = None
    predicted: bool = False

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

    def lost(
        self, kind: str, example: str, path: Path, line: int | None, id: str | None = None
    ) -> None:
        """Count something that a sentence cannot hold; with ``strict`` it is an error."""
        losses = Losses(strict=True) if self.strict else self.stats.losses
        losses.add(kind, example, path=path, line=line, id=id)

    def sentence(
        self,
        path: Path,
        line: int | None,
        id: str | None,
        text: str,
        spans: list[Span],
        labels: Iterable[TextLabel] = (),
    ) -> Sentence:
        """Make a sentence and check it.

        Args:
            path: The file, for errors.
            line: The line of the sentence, for errors.
            id: Its id.
            text: Its text.
            spans: Its spans.
            labels: The labels of the whole text.

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
            return Sentence(text, tuple(spans), id, tuple(labels))
        except SpanError as error:
            raise CorpusError(error.problem, path=path, line=line, id=id, hint=error.hint) from None

    def flat(
        self, path: Path, line: int | None, id: str | None, text: str, spans: list[Span]
    ) -> list[Span]:
        """The spans of a format that allows nested ones, with only the outermost left.

        The others are counted as lost.
        """
        unique = list(dict.fromkeys(spans))
        outer = outermost(unique)
        kept, ends = set(outer), [span.end for span in outer]
        for span in unique if len(outer) < len(unique) else ():
            if span not in kept:
                # The first of the kept ones that ends behind its start.
                keeper = outer[min(bisect_right(ends, span.start), len(outer) - 1)]
                shown = f"{shown_span(text, span)} in [{keeper.start}, {keeper.end}) {keeper.label}"
                self.lost(NESTED, shown, path, line, id)
        return outer


def outermost(spans: list[Span]) -> list[Span]:
    """The longest of the spans that overlap each other, in the order of the text.

    >>> [span.end for span in outermost([Span(0, 8, "LOC"), Span(0, 13, "LOC")])]
    [13]
    """
    taken = Intervals()
    chosen: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start - span.end, span.start)):
        if not taken.overlap(span.start, span.end):
            taken.add(span.start, span.end)
            chosen.append(span)
    return sorted(chosen)


def bare(
    sentence: Sentence, *, id: bool = True, scores: bool = False, attributes: bool = False
) -> Sentence:
    """A sentence without what most formats have no room for: scores, attributes, text labels.

    Args:
        sentence: The sentence.
        id: Whether it keeps its id.
        scores: Whether its spans keep their scores.
        attributes: Whether its spans keep their attributes.

    >>> bare(Sentence("Anna", (Span(0, 4, "PER", 0.9),), "1"), id=False)
    Sentence(text='Anna', spans=(Span(start=0, end=4, label='PER', score=None),), id=None)
    """
    spans = tuple(
        Span(
            span.start,
            span.end,
            span.label,
            span.score if scores else None,
            span.attributes if attributes else {},
        )
        for span in sentence.spans
    )
    return Sentence(sentence.text, spans, sentence.id if id else None)


@dataclass(frozen=True, slots=True)
class CorpusFormat:
    """A file format of labelled sentences.

    A format needs ``name`` and ``read``. One that is never guessed has neither ``looks_like`` nor
    ``looks_like_rows``.

    Attributes:
        name: Its name on the command line.
        read: Reads the sentences of a file, one at a time.
        write: Writes one sentence to a binary stream; ``None`` if the format is only read, or if
            ``write_whole`` writes it.
        looks_like: Whether a file is in this format, given its first 200 rows, the comments before
            them, and later lines that look labelled.
        header: Bytes at the beginning of every file.
        splits: Whether ``ReadOptions.split`` can ask for a part of a file.
        between: Bytes between two sentences.
        footer: Bytes at the end of every file.
        looks_like_rows: For formats in JSON: whether these rows are in it.
        suffixes: Endings of the names of its files, for files that cannot be looked at as lines,
            and for folders that hold such files.
        write_whole: Writes all sentences to a binary stream, for files that are no sequence of
            sentences.
        write_path: Writes all sentences to a path, for formats of several files; counts what
            depends on the path, if counts are given.
        kept: What the format keeps of a sentence; ``None`` if it keeps everything. What it does not
            keep is told.

    >>> from llmner.corpora import CORPUS_FORMATS
    >>> CORPUS_FORMATS["conll"].looks_like(["Anna\\tB-PER", "sings\\tO"])
    True
    """

    name: str
    read: Callable[[Path, ReadOptions], Iterator[Sentence]]
    write: Callable[[Sentence, BinaryIO], None] | None
    looks_like: Callable[[list[str]], bool] | None
    header: bytes = b""
    splits: bool = False
    between: bytes = b""
    footer: bytes = b""
    looks_like_rows: Callable[[list[Any]], bool] | None = None
    suffixes: tuple[str, ...] = ()
    write_whole: Callable[[Iterable[Sentence], BinaryIO], None] | None = None
    write_path: Callable[[Iterable[Sentence], Path, Losses | None], None] | None = None
    kept: Callable[[Sentence], Sentence] | None = None

    @property
    def writable(self) -> bool:
        """Whether it can be written."""
        return any((self.write, self.write_whole, self.write_path))


BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RecursionError,
)
"""What ``datasets``, pyarrow and spaCy raise for broken files."""

ODD_VALUES = (TypeError, AttributeError, LookupError, ValueError, OverflowError)
"""What parsing a row raises for values of types that nobody expects."""

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
    if any("|" in span.label for span in sentence.spans):
        problem = "a label with |"
    elif sentence.text.startswith("\ufeff"):
        problem = "a text that begins with a byte-order mark"
    elif not breaks and _LINE_BREAK.search(sentence.text):
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
