"""CoNLL columns: a token and its tag per line, and an empty line between sentences.

Columns are separated by tabs or spaces. The first is the token, the last is the tag, and others are
ignored. Tags may be IOB1, IOB2, BIOES or BILOU; the scheme is guessed from the whole file.

Files are written in IOB2 with ``# id`` and ``# text`` comments. The ``# text`` comment keeps the
spacing, which tokens alone would lose; if a file has it, it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.errors import CorpusError, TagError
from llmner.files import open_lines
from llmner.spans import Sentence, Span
from llmner.tagging import (
    OUTSIDE,
    Scheme,
    begin_tag,
    goes_on,
    guess_scheme,
    inside_tag,
    looks_like_tag,
    split_tag,
    tags_to_spans,
)

__all__ = ["CONLL", "FORMATS"]

_COMMENT = re.compile(r"#+ *(\w+) *= ?(.*)", re.DOTALL)
_TOKEN = re.compile(r"\S+")


def _columns(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _is_row(line: str) -> bool:
    columns = _columns(line)
    return len(columns) >= 2 and bool(columns[0].strip()) and looks_like_tag(columns[-1])


def _looks_like(lines: list[str]) -> bool:
    rows = [line for line in lines if line.strip() and not _COMMENT.fullmatch(line)]
    return bool(rows) and all(_is_row(line) for line in rows[:20])


def _tags(path: Path) -> Iterator[str]:
    for _, line in open_lines(path):
        if not line.strip():
            yield OUTSIDE
        elif not _COMMENT.fullmatch(line) and _is_row(line):
            yield _columns(line)[-1]


class _Block:
    """The lines of one sentence."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tokens: list[str] = []
        self.tags: list[str] = []
        self.numbers: list[int] = []
        self.id: str | None = None
        self.text: str | None = None
        self.fault: CorpusError | None = None


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    # Guessed from the whole file: a single sentence may look like either scheme.
    scheme = guess_scheme(_tags(path))
    block = _Block()
    for number, line in open_lines(path):
        if not line.strip():
            if (sentence := _finish(path, block, scheme, options)) is not None:
                yield sentence
            block = _Block()
            continue
        block.lines.append(line)
        comment = _COMMENT.fullmatch(line)
        if comment is not None:
            if comment[1] in ("id", "sent_id"):
                block.id = comment[2].strip() or None
            elif comment[1] == "text":
                block.text = comment[2]
            continue
        if line.startswith("-DOCSTART-"):
            continue
        columns = _columns(line)
        if len(columns) < 2 or not columns[0].strip():
            block.fault = block.fault or CorpusError(
                f"{line[:40]!r} has no tag column",
                path=path,
                line=number,
                hint="expected token<TAB>tag",
            )
        block.tokens.append(columns[0])
        block.tags.append(columns[-1])
        block.numbers.append(number)
    if (sentence := _finish(path, block, scheme, options)) is not None:
        yield sentence


def _finish(path: Path, block: _Block, scheme: Scheme, options: ReadOptions) -> Sentence | None:
    if not block.tokens and block.fault is None:
        return None
    first = block.numbers[0]
    try:
        if block.fault is not None:
            raise block.fault
        spans, repairs = tags_to_spans(block.tags, scheme=scheme, strict=options.strict)
        text, starts = _locate_tokens(path, block)
        moved = [
            Span(
                starts[span.start],
                starts[span.end - 1] + len(block.tokens[span.end - 1]),
                span.label,
            )
            for span in spans
        ]
        sentence = options.sentence(path, first, block.id, text, moved)
    except TagError as error:
        line = None if error.line is None else block.numbers[error.line - 1]
        options.bad(
            CorpusError(error.problem, path=path, line=line, id=block.id, hint=error.hint),
            "\n".join(block.lines),
        )
        return None
    except CorpusError as error:
        options.bad(error, "\n".join(block.lines))
        return None
    options.repaired(path, first, repairs, block.id)
    if options.on_tags is not None and scheme == "iob2":
        options.on_tags(_character_tags(block, starts, len(text)))
    return sentence


def _character_tags(block: _Block, starts: list[int], length: int) -> list[str]:
    """The tokens' tags, one per character; an entity goes on between its tokens."""
    tags = [OUTSIDE] * length
    previous = OUTSIDE
    end = 0
    for token, start, tag in zip(block.tokens, starts, block.tags, strict=True):
        inside = inside_tag(tag)
        if goes_on(previous, tag):
            tags[end:start] = [inside] * (start - end)
        end = start + len(token)
        tags[start:end] = [tag, *[inside] * (len(token) - 1)]
        previous = tag
    return tags


def _locate_tokens(path: Path, block: _Block) -> tuple[str, list[int]]:
    """The text, and the offset at which each token begins in it."""
    starts: list[int] = []
    end = 0
    if block.text is None:
        for token in block.tokens:
            starts.append(end)
            end += len(token) + 1
        return " ".join(block.tokens), starts
    for token, number in zip(block.tokens, block.numbers, strict=True):
        start = block.text.find(token, end)
        if start < 0 or block.text[end:start].strip():
            raise CorpusError(
                f"token {token[:40]!r} is not the next one in the # text comment",
                path=path,
                line=number,
                id=block.id,
                hint="correct the # text comment or remove it",
            )
        starts.append(start)
        end = start + len(token)
    return block.text, starts


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "CoNLL")
    lines = [f"# id = {sentence.id}\n"] if sentence.id else []
    lines.append(f"# text = {sentence.text}\n")
    edges = sorted(
        {
            0,
            len(sentence.text),
            *(edge for span in sentence.spans for edge in (span.start, span.end)),
        }
    )
    tags = sentence.tags()
    for start, end in pairwise(edges):
        # If a span begins with a space, its first token gets the B- tag.
        opening = split_tag(tags[start])[0] == "B"
        for token in _TOKEN.finditer(sentence.text, start, end):
            tag = tags[token.start()]
            if tag != OUTSIDE:
                tag = begin_tag(tag) if opening else inside_tag(tag)
                opening = False
            lines.append(f"{token[0]}\t{tag}\n")
    lines.append("\n")
    stream.write(encode(sentence, "".join(lines)))


CONLL = CorpusFormat("conll", _read, _write, _looks_like)
FORMATS = (CONLL,)
