"""Plain text, one sentence a line, no labels: what ``extract`` is most often given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmner._files import open_lines
from llmner.corpora._types import CorpusFormat, ReadOptions, check_writable, encode
from llmner.spans import Sentence

__all__ = ["TEXT"]


def _looks_like(lines: list[str]) -> bool:
    # Anything looks like text; a file is only taken for it by its name.
    return False


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    for _, line in open_lines(path):
        if line.strip():
            yield Sentence(line)


def _write(sentence: Sentence, stream: BinaryIO) -> None:
    check_writable(sentence, "plain text")
    stream.write(encode(sentence, sentence.text + "\n"))


TEXT = CorpusFormat("text", _read, _write, _looks_like)
