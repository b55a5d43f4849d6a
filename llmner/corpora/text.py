"""Plain text without labels: one sentence per line, or the whole file as one text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmner.corpora._format import CorpusFormat, ReadOptions, check_writable, encode
from llmner.files import open_lines
from llmner.spans import Sentence

__all__ = ["DOCUMENT", "FORMATS", "TEXT"]


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    for _, line in open_lines(path):
        if line.strip():
            yield Sentence(line)


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "plain text")
    stream.write(encode(sentence, sentence.text + "\n"))


TEXT = CorpusFormat("text", _read, _write, None, kept=lambda sentence: Sentence(sentence.text))


def _read_document(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    text = "\n".join(line for _, line in open_lines(path))
    if text.strip():
        yield Sentence(text)


DOCUMENT = CorpusFormat("document", _read_document, None, None)
FORMATS = (TEXT, DOCUMENT)
