"""A sentence a line, its words and its tags: ``손흥민은 춘천에<TAB>PER_B LOC_B``.

NAVER's NER challenge had its corpus so, and models trained on it still do. The prefix stands behind
the label. An entity is a whole word: particles belong to it, as the corpus has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._blocks import Block, finish, rejoined, tokens_and_tags
from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.corpora._tag_reading import read_tags
from llmner.errors import CorpusError
from llmner.files import open_lines
from llmner.spans import Sentence
from llmner.tagging import OUTSIDE, split_tag, usual_tags

__all__ = ["FORMATS", "NAVER"]

_EXPECTED = "expected words<TAB>tags, as many tags as words"


def _looks_like(lines: list[str]) -> bool:
    rows = [line for line in lines if line.strip()][:20]
    parts = [_parts(row) for row in rows]
    # With a single word everywhere, this is a token a line.
    return (
        bool(rows)
        and all(part is not None for part in parts)
        and any(part is not None and len(part[0]) > 1 for part in parts)
    )


def _parts(line: str) -> tuple[list[str], list[str]] | None:
    """The words and the tags of a line, if there are as many tags as words."""
    words, tab, tags = line.rstrip().rpartition("\t")
    tag_list = tags.split()
    if not tab or "\t" in words or len(words.split()) != len(tag_list) or not tag_list:
        return None
    return (words.split(), tag_list) if usual_tags([*tag_list, OUTSIDE]) else None


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    reading = read_tags(
        lambda: (line.rpartition("\t")[2].split() for _, line in open_lines(path)),
        bare=False,
        predicted=options.predicted,
    )
    for number, line in open_lines(path):
        if not line.strip():
            continue
        block = Block(lines=[line])
        parts = _parts(line)
        if parts is None:
            block.fault = CorpusError(
                f"{line[:40]!r} is not a row", path=path, line=number, hint=_EXPECTED
            )
        else:
            words, tags = parts
            block.tokens, block.numbers = words, [number] * len(words)
            block.tags = reading.usual(tags)
        yield from finish(path, block, reading.scheme, "spaced", options)


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "NAVER's TSV")
    places, tags = tokens_and_tags(sentence)
    words = " ".join(sentence.text[start:end] for start, end in places)
    marks = [tag if tag == OUTSIDE else "_".join(reversed(split_tag(tag))) for tag in tags]
    names = usual_tags({*marks, OUTSIDE}) or {}
    if [names.get(mark) for mark in marks] != tags:
        raise CorpusError(
            "a label that looks like a tag cannot be written as NAVER's TSV",
            id=sentence.id,
            hint="rename the label, or use another format, such as conll",
        )
    stream.write(encode(sentence, f"{words}\t{' '.join(marks)}\n"))


NAVER = CorpusFormat("naver", _read, _write, _looks_like, kept=rejoined)
FORMATS = (NAVER,)
