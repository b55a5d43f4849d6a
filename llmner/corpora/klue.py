r"""The TSV of KLUE-NER v1 and v1.1: a comment line, then one row per character.

The comment has the sentence's id and its text with inline annotations.

::

    ## klue-ner-v1_dev_00001-nsmc\t<박찬욱:PS> 감독
    박\tB-PS
    찬\tI-PS
    ...

Only the rows are read. The annotations in the comments are broken in places in the published files,
and are never parsed. A space is a row like any other, and an entity may begin with one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._format import CorpusFormat, ReadOptions, bare, check_writable, encode
from llmner.errors import CorpusError, TagError
from llmner.files import open_lines
from llmner.markup import render_markup
from llmner.spans import Sentence, Span
from llmner.tagging import tags_to_spans

__all__ = ["FORMATS", "KLUE_TSV"]

HEADER = (
    "## 토큰, 레이블 구분자 : \\t\n"
    "## 토큰 구분자 : \\n\n"
    "## 문장 구분자 : \\n\\n\n"
    "## 주석 : ##\n"
    "## 컬럼명 : CHAR\tNE_TAG\n"
)
_HEADER_LINE = re.compile(r"## [^\t:]{1,40} : ")
# A row whose character is missing had a space there, before some program trimmed the line.
_ROW = re.compile(r"(?:.?\t)?(?:O|[BI]-\S+)", re.DOTALL)


_LOST_SPACE = "a row without its character, read as a space that was trimmed"


def _looks_like(lines: list[str]) -> bool:
    comments = [line for line in lines if line.startswith("## ")]
    rows = [line for line in lines if line and not line.startswith("## ")]
    characters = sum(row[1:2] == "\t" for row in rows)
    return (
        2 * characters > len(rows)
        and all(_ROW.fullmatch(row) for row in rows[:20])
        # Other files have a character a row, too, but no rows of spaces.
        and (bool(comments) or any(row.startswith(" \t") for row in rows))
    )


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    id: str | None = None
    comment = ""
    chars: list[str] = []
    tags: list[str] = []
    rows: list[str] = []
    spaces: list[int] = []
    fault: CorpusError | None = None
    first = 0

    def finish() -> Sentence | None:
        nonlocal fault, id, comment
        try:
            if fault is not None:
                raise fault
            if spaces and options.strict:
                raise CorpusError(
                    "a row has no character", path=path, line=spaces[0], id=id, hint=_LOST_SPACE
                )
            spans, repairs = tags_to_spans(tags, strict=options.strict)
            sentence = options.sentence(
                path, first, id, "".join(chars), [Span(*part) for part in spans]
            )
        except TagError as error:
            line = None if error.line is None else first + error.line - 1
            options.bad(
                CorpusError(error.problem, path=path, line=line, id=id, hint=error.hint),
                "\n".join([comment, *rows]),
            )
            return None
        except CorpusError as error:
            options.bad(error, "\n".join([comment, *rows]))
            return None
        finally:
            id, comment, fault = None, "", None
        repairs = [*(f"line {line}: {_LOST_SPACE}" for line in spaces), *repairs]
        options.repaired(path, first, repairs, sentence.id)
        if options.on_tags is not None:
            options.on_tags(list(tags))
        return sentence

    def clear() -> None:
        chars.clear()
        tags.clear()
        rows.clear()
        spaces.clear()

    for number, line in open_lines(path):
        if not line:
            if rows:
                if (sentence := finish()) is not None:
                    yield sentence
                clear()
            continue
        if line.startswith("## "):
            if rows:
                # The empty line after the sentence is missing.
                if (sentence := finish()) is not None:
                    yield sentence
                clear()
            if not _HEADER_LINE.match(line):
                comment = line
                id = line[3:].partition("\t")[0].strip() or None
            continue
        if not rows:
            first = number
        rows.append(line)
        char, tab, tag = line.rpartition("\t")
        if not char and _ROW.fullmatch(line):
            char, tab = " ", "\t"
            spaces.append(number)
        if (not tab or len(char) != 1) and fault is None:
            fault = CorpusError(
                f"{line[:40]!r} is not a row" if not tab else f"{char[:40]!r} is not one character",
                path=path,
                line=number,
                id=id,
                hint="expected character<TAB>tag",
            )
        chars.append(char)
        tags.append(tag)
    if rows and (sentence := finish()) is not None:
        yield sentence


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "KLUE TSV", blank=True)
    lines = [f"## {sentence.id or ''}\t{render_markup(sentence.text, sentence.spans)}\n"]
    lines += [f"{char}\t{tag}\n" for char, tag in zip(sentence.text, sentence.tags(), strict=True)]
    lines.append("\n")
    stream.write(encode(sentence, "".join(lines)))


def _kept(sentence: Sentence) -> Sentence:
    return bare(sentence, id=bool((sentence.id or "").strip()))


KLUE_TSV = CorpusFormat("klue-tsv", _read, _write, _looks_like, HEADER.encode(), kept=_kept)
FORMATS = (KLUE_TSV,)
