r"""The corpora of Korean Language Processing contests (KLP 2016, KMOU): a text, its markup, its
rows.

::

    ; 민준이 춘천에 산다.
    $<민준:PS>이 <춘천:LC>에 산다.
    1\t민준\tNNP\tB_PS
    ...

KMOU's corpora have the same in comments: ``## 1``, ``## text``, ``## <markup:PS>``, and a row of
``_`` for each space. The rows are morphemes, which do not spell the text (``살`` and ``ㄴ다`` for
``산다``). So the
text and the markup are read, and the rows never.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._blocks import tokens_and_tags
from llmner.corpora._format import CorpusFormat, ReadOptions, bare, check_writable, encode
from llmner.errors import CorpusError
from llmner.files import open_lines
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, split_tag

__all__ = ["FORMATS", "KLP"]

_MENTION = re.compile(r"<([^<>]+):([A-Za-z][\w-]*)>")
_ROW = re.compile(r"\d+\t[^\t]*\t[^\t]*\t\S+")


def _looks_like(lines: list[str]) -> bool:
    return _is_klp(lines) or _is_kmou(lines)


def _is_kmou(lines: list[str]) -> bool:
    rows = [line for line in lines if line.strip() and not line.startswith("## ")]
    comments = [line for line in lines if line.startswith("## ")]
    return (
        bool(rows)
        and all(row.count("\t") == 3 for row in rows)
        and any(_MENTION.search(line) for line in comments)
        and any(line[3:].strip().isdecimal() for line in comments)
    )


def _is_klp(lines: list[str]) -> bool:
    kinds = {"; ": False, "$": False}
    for line in lines:
        for start in kinds:
            if line.startswith(start):
                kinds[start] = True
                break
        else:
            if line.strip() and not _ROW.match(line):
                return False
    return all(kinds.values()) and any(
        _MENTION.search(line) if line.startswith("$") else _ROW.match(line) for line in lines
    )


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    lines: list[tuple[int, str]] = []
    for number, line in open_lines(path):
        if line.strip():
            # Some files have no empty line between two sentences.
            begins = line.startswith("; ") or (
                line.startswith("## ") and line[3:].strip().isdecimal()
            )
            if begins and lines:
                yield from _finished(path, lines, options)
                lines = []
            lines.append((number, line))
            continue
        yield from _finished(path, lines, options)
        lines = []
    yield from _finished(path, lines, options)


def _finished(path: Path, lines: list[tuple[int, str]], options: ReadOptions) -> Iterator[Sentence]:
    if not lines:
        return
    comments = [(number, line[3:].strip()) for number, line in lines if line.startswith("## ")]
    texts = [(number, line[1:].strip()) for number, line in lines if line.startswith(";")]
    marked = [(number, line[1:].strip()) for number, line in lines if line.startswith("$")]
    if len(comments) >= 3:
        texts, marked = comments[-2:-1], comments[-1:]
    try:
        if len(texts) != 1 or len(marked) != 1:
            raise CorpusError(
                "a sentence has not one text and one markup",
                path=path,
                line=lines[0][0],
                hint="expected a line '; text' and a line '$<markup:PS>'",
            )
        yield _sentence(path, texts[0][1], *marked[0], options)
    except CorpusError as error:
        options.bad(error, "\n".join(line for _, line in lines))


def _sentence(path: Path, text: str, number: int, marked: str, options: ReadOptions) -> Sentence:
    """The sentence of a marked text.

    Brackets that are no mentions belong to the text, so each mention is sought where it stands.
    """
    plain, spans, end = "", [], 0
    for match in _MENTION.finditer(marked):
        plain += marked[end : match.start()]
        spans.append(Span(len(plain), len(plain) + len(match[1]), match[2]))
        plain += match[1]
        end = match.end()
    plain += marked[end:]
    if "".join(plain.split()) != "".join(text.split()):
        raise CorpusError(
            "the markup is of another text than the line before it",
            path=path,
            line=number,
            hint="expected '; text' and '$<markup:PS>' of the same sentence",
        )
    return options.sentence(path, number, None, plain, spans)


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "KLP")
    if sentence.text != sentence.text.strip() or _MENTION.search(sentence.text):
        raise CorpusError(
            "a text with white space at its edges or with <markup:PS> cannot be written as KLP",
            id=sentence.id,
            hint="use the spans format",
        )
    marked, end = "", 0
    for span in sentence.spans:
        surface = sentence.surface(span)
        mention = f"<{surface}:{span.label}>"
        match = _MENTION.fullmatch(mention)
        if match is None or (match[1], match[2]) != (surface, span.label):
            raise CorpusError(
                f"the entity {mention[:60]!r} cannot be written as KLP",
                id=sentence.id,
                hint="use the spans format",
            )
        marked += sentence.text[end : span.start] + mention
        end = span.end
    marked += sentence.text[end:]
    places, tags = tokens_and_tags(sentence)
    lines = [f"; {sentence.text}\n", f"${marked}\n"]
    word, last = 0, -1
    for (start, stop), tag in zip(places, tags, strict=True):
        word += start != last
        prefix, label = split_tag(tag)
        shown = tag if tag == OUTSIDE else f"B_{label}" if prefix == "B" else "I"
        lines.append(f"{word}\t{sentence.text[start:stop]}\t_\t{shown}\n")
        last = stop
    stream.write(encode(sentence, "".join([*lines, "\n"])))


KLP = CorpusFormat("klp", _read, _write, _looks_like, kept=partial(bare, id=False))
FORMATS = (KLP,)
