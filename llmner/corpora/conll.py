"""CoNLL columns: a token and its tag per line, and an empty line between sentences.

Columns are separated by tabs or spaces. One column has the token, one the tag; others are ignored.
Files of other tools are read, too: with a first column that counts the tokens (GermEval, UNER),
with names of the columns in the first line, with comments, with tags in IOB1, IOB2, BIOES, BILOU or
BMES, spelled ``B-PER``, ``B_PER`` or ``PER-B``, or as bare labels. Tokens of Chinese and Japanese
are joined without spaces.

Files are written in IOB2 with ``# id`` and ``# text`` comments. The ``# text`` comment keeps the
spacing, which tokens alone would lose; if a file has it, it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._blocks import (
    Block,
    finish,
    rejoined,
    tokenized,
    tokens_and_tags,
)
from llmner.corpora._columns import (
    Layout,
    columns_of,
    comment_of,
    guess_layout,
    has_tag_column,
)
from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.corpora._losses import NESTED
from llmner.errors import CorpusError
from llmner.files import open_lines
from llmner.spans import Sentence
from llmner.tagging import OUTSIDE, looks_like_tag, spans_to_tags, tags_to_spans

__all__ = ["BMES", "CONLL", "FORMATS", "GERMEVAL"]

_MARKER = "-DOCSTART-"


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    return _sentences(path, options, _layout(path, options))


def _layout(path: Path, options: ReadOptions, fixed: Layout | None = None) -> Layout:
    return guess_layout(
        lambda: (line for _, line in open_lines(path)), predicted=options.predicted, fixed=fixed
    )


def _sentences(path: Path, options: ReadOptions, layout: Layout) -> Iterator[Sentence]:
    block = Block()
    header = layout.header
    for number, line in open_lines(path):
        if not line.strip():
            yield from finish(path, block, layout.reading.scheme, layout.joining, options)
            block = Block()
            continue
        block.lines.append(line)
        if (comment := comment_of(line, layout)) is not None:
            if comment.name in ("id", "sent_id"):
                block.id = comment.value.strip() or None
            elif comment.name == "text":
                block.text = comment.value
            elif comment.name == "klue":
                block.id, _, marked = comment.value.partition("\t")
                block.marked = marked
        elif header:
            header = False
        elif not _is_marker(line, block, layout):
            _add_row(path, number, line, block, layout)
    yield from finish(path, block, layout.reading.scheme, layout.joining, options)


def _is_marker(line: str, block: Block, layout: Layout) -> bool:
    """Whether a line says that a document begins, and is no token that looks so."""
    columns = columns_of(line)
    if columns[0] != _MARKER or block.tokens or (block.text or "").lstrip().startswith(_MARKER):
        return False
    return layout.reading.usual(columns[-1:]) == [OUTSIDE] or len(columns) != layout.width


def _add_row(path: Path, number: int, line: str, block: Block, layout: Layout) -> None:
    columns = columns_of(line)
    place = min(layout.token, len(columns) - 1)
    if len(columns) < 2 or not columns[place].strip() or layout.tag >= len(columns):
        block.fault = block.fault or CorpusError(
            f"{line[:40]!r} has no tag column",
            path=path,
            line=number,
            id=block.id,
            hint="expected token<TAB>tag",
        )
        return
    token = columns[place]
    if layout.indexed and not columns[layout.tag].strip("_") and "-" in columns[0]:
        return  # The line of a contracted word, whose parts follow with their tags.
    block.tokens.append(token.partition(":")[2] if layout.language else token)
    # Nested names may stand in one cell: the first is the outermost.
    tag, *inner = columns[layout.tag].split("|")
    if inner and not all(map(looks_like_tag, (tag, *inner))):
        tag, inner = columns[layout.tag], []
    block.tags += layout.reading.usual([*block.tags[-1:], tag])[-1:]
    block.deeper += [
        (NESTED, f"{part} of {token!r}") for part in inner if part[:2] in ("B-", "S-", "U-")
    ]
    block.numbers.append(number)
    if layout.inner is not None and layout.inner < len(columns):
        block.inner += layout.reading.usual([*block.inner[-1:], columns[layout.inner]])[-1:]


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "CoNLL")
    lines = [f"# id = {sentence.id}\n"] if sentence.id else []
    lines.append(f"# text = {sentence.text}\n")
    places, tags = tokens_and_tags(sentence)
    lines += [
        f"{sentence.text[start:end]}\t{tag}\n"
        for (start, end), tag in zip(places, tags, strict=True)
    ]
    lines.append("\n")
    stream.write(encode(sentence, "".join(lines)))


def _write_germeval(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "GermEval")
    lines = [f"#\t{sentence.id}\n"] if sentence.id else ["#\n"]
    places, tags = tokens_and_tags(sentence)
    lines += [
        f"{number}\t{sentence.text[start:end]}\t{tag}\t{OUTSIDE}\n"
        for number, ((start, end), tag) in enumerate(zip(places, tags, strict=True), 1)
    ]
    stream.write(encode(sentence, "".join([*lines, "\n"])))


def _read_germeval(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    fixed = Layout(token=1, tag=2, width=4, inner=3, indexed=True)
    return _sentences(path, options, replace(_layout(path, options, fixed), joining="spaced"))


def _write_bmes(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "BMES")
    places, tags = tokens_and_tags(sentence, characters=True)
    spans = tags_to_spans(tags)[0]
    letters = spans_to_tags(spans, len(tags), scheme="bioes")
    lines = [
        f"{sentence.text[start:end]} {tag.replace('I-', 'M-', 1) if tag[0] == 'I' else tag}\n"
        for (start, end), tag in zip(places, letters, strict=True)
    ]
    stream.write(encode(sentence, "".join([*lines, "\n"])))


def _read_bmes(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    layout = _layout(path, options)
    return _sentences(path, options, replace(layout, joining="unspaced"))


CONLL = CorpusFormat("conll", _read, _write, has_tag_column, kept=tokenized)
GERMEVAL = CorpusFormat("germeval", _read_germeval, _write_germeval, None, kept=rejoined)
BMES = CorpusFormat(
    "bmes",
    _read_bmes,
    _write_bmes,
    None,
    kept=partial(rejoined, joining="unspaced", characters=True),
)
FORMATS = (CONLL, GERMEVAL, BMES)
