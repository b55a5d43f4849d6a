r"""Inline markup, one sentence per line: ``<손흥민:PS>은 <춘천:LC>에서``.

An id and a tab may stand before the sentence. Escapes are those of :mod:`llmner.markup`: a tab in
the text is written ``\t``, so a bare tab always ends the id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._columns import KNOWN_LABELS
from llmner.corpora._format import CorpusFormat, ReadOptions, bare, check_writable, encode
from llmner.errors import CorpusError, SpanError
from llmner.files import open_lines
from llmner.markup import parse_markup, render_markup
from llmner.spans import Sentence

__all__ = ["FORMATS", "MARKUP", "are_known", "markup_labels"]

# Angle brackets behind a Latin word are those of a type in a program: vector<pair:T>.
_MENTION = re.compile(r"(?<![A-Za-z0-9_])<(?P<surface>[^<>]+):(?P<label>[^\W\d][\w.-]*)>")
_CODE = re.compile(r"[A-Z][A-Z0-9_.-]+")
_LABELLED_SHARE = 0.5


def markup_labels(texts: Iterable[str]) -> set[str]:
    """The labels that stand in angle brackets in some texts, or what looks like them.

    >>> markup_labels(["<Anna:PER> sings", "at <14:30>"])
    {'PER'}
    """
    return {match["label"] for text in texts for match in _MENTION.finditer(text)}


def are_known(labels: Iterable[str]) -> bool:
    """Whether all labels are those of a well-known scheme, or finer ones.

    >>> are_known({"PS", "LOC-city"}), are_known({"photo"})
    (True, False)
    """
    return all(re.split("[_.-]", label)[0].upper() in KNOWN_LABELS for label in labels)


def _looks_like(lines: list[str]) -> bool:
    """Whether angle brackets hold entities here, and no remarks such as ``<photo:AP>``.

    They do if their labels are those of a well-known scheme, or if most lines have some, and all
    labels are codes in capitals.
    """
    rows = [line for line in lines if line.strip()]
    labels = markup_labels(rows)
    if not labels:
        return False
    if are_known(labels):
        return True
    labelled = sum(bool(_MENTION.search(line)) for line in rows)
    return all(map(_CODE.fullmatch, labels)) and labelled >= max(2, _LABELLED_SHARE * len(rows))


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


MARKUP = CorpusFormat("markup", _read, _write, _looks_like, suffixes=(".markup",), kept=bare)
FORMATS = (MARKUP,)
