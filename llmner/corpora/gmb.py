"""The Kaggle CSV of the Groningen Meaning Bank (``ner_dataset.csv``), one word per row.

The columns are ``Sentence #``, ``Word``, ``POS`` and ``Tag``. The first column has the sentence's
name in its first row, and is empty in the others. The published file is in Latin-1 with some
characters of Windows-1252; UTF-8 is read too. The text of a sentence is its words joined by spaces.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.corpora.words import from_words, word_tags
from llmner.errors import CorpusError, TagError
from llmner.files import open_bytes
from llmner.spans import Sentence

__all__ = ["FORMATS", "GMB_CSV", "HEADER", "names_columns"]

HEADER = ("Sentence #", "Word", "POS", "Tag")
# Written in the first column for a sentence without an id.
_NO_ID = "-"
# Windows-1252 has printable characters where Latin-1 has control characters.
_WINDOWS = {
    point: char
    for point in range(0x80, 0xA0)
    if (char := bytes([point]).decode("cp1252", "replace")) != "\ufffd"
}


def _looks_like(lines: list[str]) -> bool:
    try:
        return bool(lines) and _is_header(next(csv.reader(lines[:1]), []))
    except csv.Error:
        return False


def _is_header(row: list[str]) -> bool:
    return tuple(cell.strip() for cell in row) == HEADER


def names_columns(path: Path) -> bool:
    """Whether a file begins with the names of the columns.

    Reads bytes, because the file may be in Latin-1, unlike files of all other formats.
    """
    with open_bytes(path) as stream:
        line = stream.readline(1000) if stream.seekable() else b""
        if stream.seekable():
            stream.seek(0)
    return _looks_like([line.decode("latin-1").removeprefix("\u00ef\u00bb\u00bf").strip()])


def _decoded(path: Path) -> Iterator[str]:
    """The file's lines with their line ends, decoded as UTF-8 or else as Latin-1."""
    with open_bytes(path) as stream:
        content = stream.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1").translate(_WINDOWS)
    # Split at \n only: the csv module would take a carriage return inside a line for a new row.
    yield from StringIO(text, newline="\n")


def _sentences(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    reader = csv.reader(_decoded(path))
    id: str | None = None
    rows: list[tuple[str, str]] = []
    first = 2
    fault: CorpusError | None = None
    header = False
    try:
        for row in reader:
            if not header:
                if not _is_header(row):
                    raise CorpusError(
                        "does not begin with the names of the columns",
                        path=path,
                        line=1,
                        hint=f"expected {','.join(HEADER)}",
                    )
                header = True
                continue
            if not any(cell.strip() for cell in row):
                continue
            name = row[0].removeprefix("Sentence:").strip()
            # Some copies of the file repeat the sentence's name in each of its rows.
            if name and (name != id or name == _NO_ID):
                yield from _finished(path, first, id, rows, fault, options)
                id, rows, first, fault = name, [], reader.line_num, None
            if len(row) != len(HEADER) or not row[1].strip() or not row[3].strip():
                fault = fault or CorpusError(
                    "a row lacks its word or its tag",
                    path=path,
                    line=reader.line_num,
                    id=id,
                    hint=f"expected {','.join(HEADER)}",
                )
                continue
            rows.append((" ".join(row[1].split()), row[3].strip()))
    except csv.Error as error:
        raise CorpusError(f"not CSV ({error})", path=path, line=reader.line_num) from None
    yield from _finished(path, first, id, rows, fault, options)


def _finished(
    path: Path,
    line: int,
    id: str | None,
    rows: list[tuple[str, str]],
    fault: CorpusError | None,
    options: ReadOptions,
) -> Iterator[Sentence]:
    if not rows and fault is None:
        return
    id = None if id == _NO_ID else id
    raw = "\n".join(f"{word},{tag}" for word, tag in rows)
    try:
        if fault is not None:
            raise fault
        words, tags = [word for word, _ in rows], [tag for _, tag in rows]
        sentence, repairs = from_words(words, tags, id, strict=options.strict)
        sentence = options.sentence(path, line, id, sentence.text, list(sentence.spans))
    except TagError as error:
        tag_line = None if error.line is None else line + error.line - 1
        options.bad(
            CorpusError(error.problem, path=path, line=tag_line, id=id, hint=error.hint), raw
        )
        return
    except CorpusError as error:
        options.bad(error, raw)
        return
    options.repaired(path, line, repairs, id)
    yield sentence


def _entities(sentence: Sentence) -> list[tuple[str, str]]:
    """The (label, surface) pairs of a sentence, with one space between words."""
    return [(span.label, " ".join(sentence.surface(span).split())) for span in sentence.spans]


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "gmb-csv")
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    name = f"Sentence: {sentence.id or _NO_ID}"
    rows = word_tags(sentence)
    read_back, _ = from_words([word for word, _ in rows], [tag for _, tag in rows])
    if _entities(read_back) != _entities(sentence):
        raise CorpusError(
            "an entity that begins or ends inside a word cannot be written as gmb-csv",
            id=sentence.id,
            hint="use another format, such as conll",
        )
    for number, (word, tag) in enumerate(rows):
        writer.writerow(["" if number else name, word, "", tag])
    stream.write(encode(sentence, out.getvalue()))


def _kept(sentence: Sentence) -> Sentence:
    """A sentence as its words give it."""
    rows = word_tags(sentence)
    again, _ = from_words([word for word, _ in rows], [tag for _, tag in rows])
    name = (sentence.id or "").strip()
    return Sentence(again.text, again.spans, None if name in ("", _NO_ID) else name)


_HEADER_LINE = (",".join(HEADER) + "\n").encode()

GMB_CSV = CorpusFormat("gmb-csv", _sentences, _write, _looks_like, header=_HEADER_LINE, kept=_kept)
FORMATS = (GMB_CSV,)
