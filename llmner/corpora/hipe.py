"""The tab-separated files of HIPE (historical newspapers): a row a token, with named columns.

The column ``NE-COARSE-LIT`` is read. ``MISC`` says where no space follows, and where a sentence
ends; where it does not, a document is one sentence. Nested names and names by metonymy are left
out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._blocks import Block, finish, join, token_spans, tokens_and_tags
from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.corpora._losses import NESTED, OTHERS
from llmner.corpora._tag_reading import read_tags
from llmner.errors import CorpusError
from llmner.files import open_lines
from llmner.spans import Sentence
from llmner.tagging import OUTSIDE, goes_on

__all__ = ["FORMATS", "HIPE"]

_HEADER = (
    "TOKEN NE-COARSE-LIT NE-COARSE-METO NE-FINE-LIT NE-FINE-METO NE-FINE-COMP NE-NESTED NEL-LIT "
    "NEL-METO MISC"
).split()
_LITERAL = "NE-COARSE-LIT"
# Columns that a sentence has no room for: names in names, by metonymy, finer ones, and links.
_LEFT_OUT = {"NE-NESTED": NESTED} | dict.fromkeys(
    ("NE-COARSE-METO", "NE-FINE-LIT", "NE-FINE-METO", "NE-FINE-COMP", "NEL-LIT", "NEL-METO"), OTHERS
)
_ENDS = frozenset({"EndOfSentence", "PySBDSegment"})


def _looks_like(lines: list[str]) -> bool:
    first = next((line for line in lines if line.strip()), "").split("\t")
    return first[0] == "TOKEN" and _LITERAL in first


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    names: list[str] | None = None
    tags: list[list[str]] = [[]]
    for _, line in open_lines(path):
        columns = line.split("\t")
        if names is None and line.strip():
            names = columns
            if not _looks_like([line]):
                raise CorpusError(
                    "does not begin with the names of the columns",
                    path=path,
                    line=1,
                    hint=f"expected TOKEN and {_LITERAL}",
                )
        elif names is not None and len(columns) == len(names):
            tags[-1].append(columns[names.index(_LITERAL)])
        elif not line.strip():
            tags.append([])
    reading = read_tags(lambda: tags, bare=False, predicted=options.predicted)
    document: str | None = None
    block, sentences, ends = Block(glued=[]), 0, False

    def finished() -> Iterator[Sentence]:
        nonlocal block, ends, sentences
        if block.tokens:
            sentences += 1
            parts = document is not None and (ends or sentences > 1)
            block.id = f"{document}:{sentences}" if parts else document
        yield from finish(path, block, reading.scheme, "spaced", options)
        block, ends = Block(glued=[]), False

    header = False
    for number, line in open_lines(path):
        if not line.strip():
            yield from finished()
            continue
        if not header:
            header = True
            continue
        if line.startswith("# ") and "\t" not in line:
            key, _, value = line.partition("=")
            if key.strip().endswith("document_id"):
                yield from finished()
                document, sentences = value.strip() or None, 0
            continue
        row = dict(zip(names or [], line.split("\t"), strict=False))
        (tag,) = reading.usual([row.get(_LITERAL, "")])
        if ends and not goes_on(block.tags[-1], tag):
            yield from finished()
        block.lines.append(line)
        if _LITERAL not in row or not row["TOKEN"].strip():
            block.fault = block.fault or CorpusError(
                f"{line[:40]!r} is not a row", path=path, line=number, id=document
            )
            continue
        assert block.glued is not None
        misc = set(row.get("MISC", "").split("|"))
        block.tokens.append(row["TOKEN"])
        block.tags.append(tag)
        block.numbers.append(number)
        block.glued.append("NoSpaceAfter" in misc)
        ends = bool(misc & _ENDS)
        for column, kind in _LEFT_OUT.items():
            if row.get(column, "").startswith(("B-", "S-", "Q")):
                example = f"{column} {row[column]} of {row['TOKEN']!r}"
                block.deeper.append((kind, example))
    yield from finished()


def _tokens(sentence: Sentence) -> tuple[list[str], list[bool], list[str]]:
    """The tokens of a sentence, whether no space follows each, and their tags."""
    places, tags = tokens_and_tags(sentence)
    tokens = [sentence.text[start:end] for start, end in places]
    after = [*(start for start, _ in places[1:]), len(sentence.text) + 1][: len(places)]
    glued = [end == start for (_, end), start in zip(places, after, strict=True)]
    return tokens, glued, tags


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "HIPE's TSV")
    tokens, glued, tags = _tokens(sentence)
    lines = [f"# hipe2022:document_id = {sentence.id}\n"] if sentence.id else ["\n"]
    for token, no_space, tag in zip(tokens, glued, tags, strict=True):
        misc = "NoSpaceAfter" if no_space else "_"
        lines.append("\t".join([token, tag, *[OUTSIDE] * 5, "_", "_", misc]) + "\n")
    stream.write(encode(sentence, "".join([*lines, "\n"])))


def _kept(sentence: Sentence) -> Sentence:
    tokens, glued, tags = _tokens(sentence)
    text, places = join(tokens, "spaced", glued)
    return Sentence(text, token_spans(places, tags), (sentence.id or "").strip() or None)


HIPE = CorpusFormat(
    "hipe", _read, _write, _looks_like, ("\t".join(_HEADER) + "\n").encode(), kept=_kept
)
FORMATS = (HIPE,)
