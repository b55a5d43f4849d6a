"""PubTator: a title, an abstract, and a row for each annotation.

::

    900001|t|Title.
    900001|a|Abstract.
    900001<TAB>0<TAB>5<TAB>Title<TAB>Chemical<TAB>D000001

Offsets count the title, one character between, and the abstract. The text here is both with a space
between. Identifiers of concepts become the attribute ``concept``; relations are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.corpora._losses import RELATIONS
from llmner.errors import CorpusError, SpanError
from llmner.files import open_lines
from llmner.spans import Sentence, Span

__all__ = ["FORMATS", "PUBTATOR"]

_TEXT = re.compile(r"([^|\t]+)\|([ta])\|(.*)", re.DOTALL)
# Written for a sentence without an id.
_NO_ID = "-"
_CONCEPT = "concept"
_NUMBER = re.compile(r"\d{1,9}")


def _looks_like(lines: list[str]) -> bool:
    rows = [line for line in lines if line.strip()]
    if not rows or not _TEXT.fullmatch(rows[0]):
        return False
    # An abstract or an annotation: a title alone may be any three columns.
    sure = any("|a|" in row or row.count("\t") >= 4 for row in rows)
    return sure and all(_TEXT.fullmatch(row) or row.count("\t") >= 3 for row in rows)


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    rows: list[tuple[int, str]] = []
    for number, line in open_lines(path):
        text = _TEXT.fullmatch(line)
        if (text is not None and text[2] == "t" and rows) or (not line.strip() and rows):
            yield from _document(path, rows, options)
            rows = []
        if line.strip():
            rows.append((number, line))
    if rows:
        yield from _document(path, rows, options)


def _document(path: Path, rows: list[tuple[int, str]], options: ReadOptions) -> Iterator[Sentence]:
    parts = [match for _, line in rows if (match := _TEXT.fullmatch(line)) is not None]
    first = rows[0][0]
    try:
        if not parts:
            raise CorpusError(
                "annotations without a text", path=path, line=first, hint="expected ID|t|text"
            )
        id = None if parts[0][1] == _NO_ID else parts[0][1]
        text = " ".join(match[3] for match in parts)
        spans: list[Span] = []
        for number, line in rows:
            if _TEXT.fullmatch(line) is None:
                spans += _spans(path, number, line, id, text, options)
        kept = options.flat(path, first, id, text, spans)
        yield options.sentence(path, first, id, text, kept)
    except CorpusError as error:
        options.bad(error, "\n".join(line for _, line in rows))


def _spans(
    path: Path, number: int, line: str, id: str | None, text: str, options: ReadOptions
) -> list[Span]:
    columns = line.split("\t")
    if len(columns) < 5 or not all(map(_NUMBER.fullmatch, columns[1:3])):
        options.lost(RELATIONS, line[:60], path, number, id)
        return []
    start, end = int(columns[1]), int(columns[2])
    if text[start:end].split() != columns[3].split():
        raise CorpusError(
            f"[{start}, {end}) {columns[4]} should be {columns[3][:40]!r}, "
            f"but {text[start:end][:40]!r} stands there",
            path=path,
            line=number,
            id=id,
        )
    try:
        # The identifier of the concept.
        known = {_CONCEPT: columns[5]} if len(columns) > 5 and columns[5].strip() else {}
        return [Span(start, end, columns[4], attributes=known)]
    except SpanError as error:
        raise CorpusError(error.problem, path=path, line=number, id=id, hint=error.hint) from None


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "PubTator")
    id = sentence.id or _NO_ID
    if "|" in id or sentence.id == _NO_ID:
        raise CorpusError(f"the id {id!r} cannot be written as PubTator", id=id)
    lines = [f"{id}|t|{sentence.text}\n"]
    for span in sentence.spans:
        surface = " ".join(sentence.surface(span).split("\t"))
        concept = _concept(span)
        lines.append(f"{id}\t{span.start}\t{span.end}\t{surface}\t{span.label}\t{concept}\n")
    stream.write(encode(sentence, "".join([*lines, "\n"])))


def _concept(span: Span) -> str:
    value = span.attributes.get(_CONCEPT)
    return value if isinstance(value, str) and re.fullmatch(r"\S[^\t\r\n]*\S|\S", value) else ""


def _kept(sentence: Sentence) -> Sentence:
    """Of attributes, concepts are kept."""
    spans = tuple(
        Span(s.start, s.end, s.label, attributes={_CONCEPT: _concept(s)} if _concept(s) else {})
        for s in sentence.spans
    )
    return Sentence(sentence.text, spans, sentence.id)


PUBTATOR = CorpusFormat("pubtator", _read, _write, _looks_like, kept=_kept)
FORMATS = (PUBTATOR,)
