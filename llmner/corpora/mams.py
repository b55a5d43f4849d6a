"""Reviews with aspects in XML: MAMS, and SemEval's ABSA tasks of 2014 to 2016.

::

    <sentence><text>Great food.</text>
      <aspectTerms><aspectTerm from="6" to="10" term="food" polarity="positive"/></aspectTerms>
      <aspectCategories><aspectCategory category="food" polarity="positive"/></aspectCategories>
    </sentence>

A term is a span with the label ``TERM`` and the attribute ``polarity``; a category is a label of
the whole text with the same attribute. SemEval's opinions have both: one with a target is a span
with the attributes ``category`` and ``polarity``, one without (``NULL``) a label of the text. Only
read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from llmner.corpora._format import CorpusFormat, ReadOptions
from llmner.errors import CorpusError, SpanError
from llmner.files import open_bytes
from llmner.spans import Sentence, Span, TextLabel

__all__ = ["FORMATS", "MAMS", "TERM"]

TERM = "TERM"
"""The label of an aspect's term."""

_CHUNK = 1 << 16
_ITEMS = ("aspectTerm", "aspectCategory", "Opinion")
_EXPECTED = 'expected <sentence><text>...</text><aspectTerms><aspectTerm from="0" to="4" .../>'


def _looks_like(lines: list[str]) -> bool:
    head = "\n".join(lines)
    begins = head.lstrip("\ufeff \t\n").startswith("<")
    return begins and "<sentence" in head and any(f"<{item}" in head for item in _ITEMS)


@dataclass(slots=True)
class _Row:
    """A sentence while it is read."""

    line: int
    id: str | None = None
    text: list[str] = field(default_factory=list)
    items: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class _Parser:
    """Gathers sentences as expat reads them."""

    def __init__(self, path: Path) -> None:
        self.rows: list[_Row] = []
        self._path = path
        self._row: _Row | None = None
        self._in_text = False
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse
        self._parser = parser

    def feed(self, chunk: bytes, *, final: bool) -> list[_Row]:
        """The sentences that end in a piece of the file.

        Raises:
            CorpusError: It is no XML, or declares entities.
        """
        try:
            self._parser.Parse(chunk, final)
        except expat.ExpatError as error:
            message = expat.errors.messages[error.code]
            raise CorpusError(
                f"not XML ({message})", path=self._path, line=error.lineno, hint=_EXPECTED
            ) from None
        rows, self.rows = self.rows, []
        return rows

    def _refuse(self, *_: object) -> None:
        # Entities of a document type can grow without end.
        raise CorpusError(
            "declares a document type, which is not read",
            path=self._path,
            line=self._parser.CurrentLineNumber,
            hint="remove <!DOCTYPE ...>",
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sentence":
            self._row = _Row(self._parser.CurrentLineNumber, attributes.get("id"))
        elif self._row is not None and name == "text":
            self._in_text = True
        elif self._row is not None and name in _ITEMS:
            self._row.items.append((name, attributes))

    def _end(self, name: str) -> None:
        if name == "text":
            self._in_text = False
        elif name == "sentence" and self._row is not None:
            self.rows.append(self._row)
            self._row = None

    def _characters(self, text: str) -> None:
        if self._in_text and self._row is not None:
            self._row.text.append(text)


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    parser = _Parser(path)
    with open_bytes(path) as stream:
        chunk = b" "
        while chunk:
            chunk = stream.read(_CHUNK)
            for row in parser.feed(chunk, final=not chunk):
                try:
                    yield _sentence(path, row, options)
                except CorpusError as error:
                    options.bad(error, "".join(row.text))


def _sentence(path: Path, row: _Row, options: ReadOptions) -> Sentence:
    text = "".join(row.text)
    spans: list[Span] = []
    labels: list[TextLabel] = []
    for name, item in row.items:
        term = item.get("term") or item.get("target")
        attributes = {key: item[key] for key in ("category", "polarity") if item.get(key)}
        if name == "aspectCategory" or (name == "Opinion" and term in (None, "NULL")):
            category = attributes.pop("category", None)
            if category is None:
                raise CorpusError(
                    f"an {name} without a category", path=path, line=row.line, id=row.id
                )
            labels.append(TextLabel(category, attributes))
        else:
            spans.append(_span(path, row, text, item, term, attributes))
    kept = options.flat(path, row.line, row.id, text, spans)
    return options.sentence(path, row.line, row.id, text, kept, labels)


def _span(
    path: Path,
    row: _Row,
    text: str,
    item: dict[str, str],
    term: str | None,
    attributes: dict[str, str],
) -> Span:
    try:
        span = Span(int(item["from"]), int(item["to"]), TERM, attributes=attributes)
    except (KeyError, ValueError, SpanError):
        raise CorpusError(
            f"the range of the term {str(term)[:60]!r} is from {item.get('from')!r} to "
            f"{item.get('to')!r}",
            path=path,
            line=row.line,
            id=row.id,
            hint="expected whole numbers, the end behind the start",
        ) from None
    surface = text[span.start : span.end]
    if term is not None and surface.split() != term.split():
        raise CorpusError(
            f"the term {term[:60]!r} is not at [{span.start}, {span.end}), where the text has "
            f"{surface[:60]!r}",
            path=path,
            line=row.line,
            id=row.id,
        )
    return span


MAMS = CorpusFormat("mams", _read, None, _looks_like)
FORMATS = (MAMS,)
