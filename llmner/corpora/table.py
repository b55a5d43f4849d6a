"""Tables with a token a row and names of the columns in the first line, as CSV or TSV.

One column names the token (``token``, ``word``), one the tag (``tag``, ``ner``, ``label``), and
most have one for the sentence (``sentence_id``), which ends where that changes. Without it, empty
rows part sentences. Tables are only read.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Literal

from llmner.corpora._blocks import Block, finish, guess_joining
from llmner.corpora._columns import TAG_NAMES, TOKEN_NAMES
from llmner.corpora._format import CorpusFormat, ReadOptions
from llmner.corpora._tag_reading import read_tags
from llmner.errors import CorpusError
from llmner.files import open_lines
from llmner.spans import Sentence
from llmner.tagging import OUTSIDE, labels_of, usual_tags

__all__ = ["FORMATS", "TABLE"]

_SENTENCE_NAMES = frozenset(
    "sentence_id sentence_idx sentence_no sentence_num sentence_number sentence sent_id sent_no "
    "sent sentid sentenceid sentence# doc_id document_id 문장번호 문장".split()
)
_DELIMITERS = ",\t;"
# Names of the column of tokens that name nothing else, as "text" and "form" may.
_SURE_NAMES = frozenset("token tokens word words 단어 토큰 글자".split())


@dataclass(frozen=True, slots=True)
class _Header:
    """The columns of a table; ``sentence`` is ``None`` if it has none of sentences.

    It is sure if its column of tokens is called by a name that names nothing else.
    """

    delimiter: str
    width: int
    token: int
    tag: int
    sentence: int | None
    sure: bool


def _header(line: str) -> _Header | None:
    for delimiter in _DELIMITERS:
        names = [name.strip().strip('"').lower().replace(" ", "") for name in line.split(delimiter)]
        token = next((n for n, name in enumerate(names) if name in TOKEN_NAMES), None)
        tag = next((n for n, name in enumerate(names) if name in TAG_NAMES and n != token), None)
        sentence = next((n for n, name in enumerate(names) if name in _SENTENCE_NAMES), None)
        if token is not None and tag is not None and sentence != token:
            return _Header(delimiter, len(names), token, tag, sentence, names[token] in _SURE_NAMES)
    return None


def _looks_like(lines: list[str]) -> bool:
    first = next((line for line in lines if line.strip()), "")
    header = _header(first)
    if header is None or (header.sentence is None and header.delimiter == "\t"):
        return False
    if header.sentence is None and not header.sure:
        return False
    try:
        rows = [row for _, row in _parsed(lines, header) if len(row) == header.width]
    except csv.Error:
        return False
    tags = {row[header.tag].strip() for row in rows} - {""}
    usual = usual_tags(tags | {OUTSIDE}) or usual_tags(tags, bare=True)
    return usual is not None and bool(labels_of(usual.values()))


def _parsed(lines: Iterable[str], header: _Header) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table, without its header, each with the number of its line.

    Raises:
        csv.Error: It is no CSV.
    """
    kept = itertools.dropwhile(lambda line: not line.strip(), lines)
    text = StringIO("".join(f"{line}\n" for line in kept), newline="\n")
    quoting: Literal[0, 3] = csv.QUOTE_NONE if header.delimiter == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(text, delimiter=header.delimiter, quoting=quoting)
    next(reader, None)
    for row in reader:
        yield reader.line_num, row


def _rows(path: Path, header: _Header) -> Iterator[tuple[int, list[str]]]:
    """The rows of the file, without its header."""
    number = 0
    try:
        for number, row in _parsed((line for _, line in open_lines(path)), header):
            yield number, row
    except csv.Error as error:
        raise CorpusError(f"not CSV ({error})", path=path, line=number + 1) from None


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    first = next((line for _, line in open_lines(path) if line.strip()), "")
    header = _header(first)
    if header is None:
        raise CorpusError(
            "does not begin with the names of the columns",
            path=path,
            line=1,
            hint="expected names such as sentence_id, token, tag",
        )
    place: _Header = header

    def blocks() -> Iterator[Block]:
        return _blocks(path, place)

    reading = read_tags(
        lambda: (block.tags for block in blocks()), bare=True, predicted=options.predicted
    )
    joining = guess_joining(block.tokens for block in blocks())
    for block in blocks():
        block.tags = reading.usual(block.tags)
        yield from finish(path, block, reading.scheme, joining, options)


def _blocks(path: Path, header: _Header) -> Iterator[Block]:
    """The sentences of the table, their tags as they are spelled there."""
    block, current = Block(), None
    for number, row in _rows(path, header):
        if not any(cell.strip() for cell in row):
            yield block
            block = Block()
            continue
        if len(row) == header.width and header.sentence is not None:
            name = row[header.sentence].strip() or current
            if name != current:
                yield block
                block, current = Block(id=name), name
        block.lines.append(header.delimiter.join(row))
        if len(row) != header.width or not row[header.token].strip() or not row[header.tag].strip():
            block.fault = block.fault or CorpusError(
                "a row lacks its token or its tag", path=path, line=number, id=block.id
            )
            continue
        block.tokens.append(row[header.token].strip())
        block.tags.append(row[header.tag].strip())
        block.numbers.append(number)
    yield block


TABLE = CorpusFormat("table", _read, None, _looks_like)
FORMATS = (TABLE,)
