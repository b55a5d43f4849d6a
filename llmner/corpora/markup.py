r"""Inline markup, one sentence per line: ``<손흥민:PS>은 <춘천:LC>에서``.

An id and a tab may stand before the sentence. Escapes are those of :mod:`llmner.markup`: a tab in
the text is written ``\t``, so a bare tab always ends the id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.errors import CorpusError, SpanError
from llmner.files import open_lines
from llmner.markup import parse_markup, render_markup
from llmner.spans import Sentence

__all__ = ["FORMATS", "MARKUP"]

_MENTION = re.compile(r"<[^<>]+:[^\W\d][\w-]*>")


def _looks_like(lines: list[str]) -> bool:
    return any(_MENTION.search(line) for line in lines)


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    for number, line in open_lines(path):
        if not line.strip():
            continue
        id, _, marked = line.rpartition("\t")
        try:
            try:
                text, spans = parse_markup(marked)
            except SpanError as error:
                raise CorpusError(
                    error.problem, path=path, line=number, id=id or None, hint=error.hint
                ) from None
            sentence = options.sentence(path, number, id or None, text, list(spans))
        except CorpusError as error:
            options.bad(error, line)
            continue
        yield sentence


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "markup", breaks=True, blank=sentence.id is not None)
    marked = render_markup(sentence.text, sentence.spans)
    stream.write(encode(sentence, f"{sentence.id}\t{marked}\n" if sentence.id else f"{marked}\n"))


MARKUP = CorpusFormat("markup", _read, _write, _looks_like)
FORMATS = (MARKUP,)
