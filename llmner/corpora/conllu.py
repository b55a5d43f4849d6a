r"""CoNLL-U with names in its last column: ``NER=B-PER|SpaceAfter=No``.

The text is that of the ``# text`` comment, or the words, with spaces where ``SpaceAfter=No`` does
not forbid them. A contracted word (``1-2``) is one token; empty nodes (``3.1``) are none. The key
of the names is the one whose values are tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._blocks import Block, finish, tokenized, tokens_and_tags
from llmner.corpora._columns import Layout, comment_of
from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.corpora._losses import ENTITIES
from llmner.corpora._tag_reading import read_tags
from llmner.errors import CorpusError
from llmner.files import open_lines
from llmner.spans import Sentence
from llmner.tagging import OUTSIDE, usual_tags

__all__ = ["CONLLU", "FORMATS"]

_COLUMNS = 10
_ID = re.compile(r"\d{1,9}(?:[-.]\d{1,9})?")
# Words in one contracted word.
_LONGEST_WORD = 20
_LAYOUT = Layout(width=_COLUMNS, indexed=True)
# Keys whose values may be labels without a prefix; words outside of names lack the key.
_NAMES = ("ner", "ne", "name", "named_entity", "namedentity", "entity", "bio")


def _rows(lines: Iterable[str]) -> Iterator[list[str]]:
    for line in lines:
        columns = line.split("\t")
        if len(columns) == _COLUMNS and _ID.fullmatch(columns[0]):
            yield columns


def _looks_like(lines: list[str]) -> bool:
    rows = [line for line in lines if line.strip() and not line.startswith("#")]
    return bool(rows) and len(list(_rows(rows))) == len(rows) and _key(lambda: lines) is not None


def _misc(columns: Sequence[str]) -> dict[str, str]:
    pairs = (part.partition("=") for part in columns[-1].split("|"))
    return {key: value for key, _, value in pairs}


def _key(lines: Callable[[], Iterable[str]]) -> str | None:
    """The key of the names in the last column."""
    values: dict[str, set[str]] = {}
    for columns in _rows(lines()):
        for key, value in _misc(columns).items():
            values.setdefault(key, set()).add(value)
    ranked = sorted(values, key=lambda key: (key.lower() not in _NAMES, key))
    fitting = [
        key
        for key in ranked
        if usual_tags(values[key] | {OUTSIDE}, bare=key.lower() in _NAMES) is not None
    ]
    naming = (key for key in fitting if values[key] - {OUTSIDE, "_", "-", "o"})
    return next(naming, next((key for key in fitting if key.lower() in _NAMES), None))


def _tags_of(path: Path, key: str) -> Iterator[list[str]]:
    """The tags of each sentence."""
    tags: list[str] = []
    for _, line in open_lines(path):
        if not line.strip():
            yield tags
            tags = []
        tags += [_misc(columns).get(key, OUTSIDE) for columns in _rows([line])]
    yield tags


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    key = _key(lambda: (line for _, line in open_lines(path))) or ""
    reading = read_tags(
        lambda: _tags_of(path, key),
        bare=key.lower() in _NAMES,
        predicted=options.predicted,
    )
    block, inside = Block(glued=[]), 0
    for number, line in open_lines(path):
        if not line.strip():
            yield from finish(path, block, reading.scheme, "spaced", options)
            block, inside = Block(glued=[]), 0
            continue
        block.lines.append(line)
        columns = line.split("\t")
        if line.startswith("#") and len(columns) != _COLUMNS:
            comment = comment_of(line, _LAYOUT)
            if comment is not None and comment.name == "sent_id":
                block.id = comment.value.strip() or None
            elif comment is not None and comment.name == "text":
                block.text = comment.value
            continue
        if len(columns) != _COLUMNS or not _ID.fullmatch(columns[0]):
            block.fault = block.fault or CorpusError(
                f"{line[:40]!r} is no row of ten columns", path=path, line=number, id=block.id
            )
            continue
        if "." in columns[0]:
            continue
        misc = _misc(columns)
        (tag,) = reading.usual([misc.get(key, OUTSIDE)])
        if inside:
            # A part of a contracted word: the whole word has the first name of its parts.
            inside -= 1
            if block.tags[-1] == OUTSIDE:
                block.tags[-1] = tag
            elif tag.startswith(("B-", "S-")):
                block.deeper.append((ENTITIES, f"{tag} of {columns[1]!r}"))
            continue
        if "-" in columns[0]:
            first, last = map(int, columns[0].split("-"))
            inside = last - first + 1
            if not 1 < inside < _LONGEST_WORD:
                block.fault = block.fault or CorpusError(
                    f"{columns[0]} is no range of words", path=path, line=number, id=block.id
                )
                inside = 0
        assert block.glued is not None
        block.tokens.append(columns[1])
        block.tags.append(tag)
        block.numbers.append(number)
        block.glued.append(misc.get("SpaceAfter") == "No")
    yield from finish(path, block, reading.scheme, "spaced", options)


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "CoNLL-U")
    lines = [f"# sent_id = {sentence.id}\n"] if sentence.id else []
    lines.append(f"# text = {sentence.text}\n")
    places, tags = tokens_and_tags(sentence)
    ends = [*(start for start, _ in places[1:]), len(sentence.text)][: len(places)]
    for number, ((start, end), tag, after) in enumerate(zip(places, tags, ends, strict=True), 1):
        glued = "" if after > end else "|SpaceAfter=No"
        form = sentence.text[start:end]
        lines.append("\t".join([str(number), form, *"_" * 7, f"NER={tag}{glued}\n"]))
    stream.write(encode(sentence, "".join([*lines, "\n"])))


CONLLU = CorpusFormat("conllu", _read, _write, _looks_like, kept=tokenized)
FORMATS = (CONLLU,)
