"""Sentences that kill the process that reads them: found by halving, and set aside.

A process that dies says nothing. So before each batch it is written down which one it is. The
process that comes after sees it there, and asks about half of it; and so on, until the sentence is
alone. One that kills a process twice while it is alone gets a row with an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt
from llmner.engines import Reply
from llmner.extraction import Extraction, SpanExtractor
from llmner.extraction.extractor import nothing
from llmner.files import dump_json
from llmner.spans import Sentence

__all__ = ["GuardedExtractor"]

_DEATHS = 2


@dataclass(frozen=True, slots=True)
class _Trial:
    """A batch that is being asked about.

    Attributes:
        first: What tells its first sentence from others.
        size: Its sentences.
        deaths: How often a process died of the first sentence alone.
    """

    first: str
    size: int
    deaths: int = 0


class GuardedExtractor:
    """An extractor that goes on after sentences that kill it.

    Args:
        extractor: The extractor.
        path: The file in which is written down what is being asked about.

    Attributes:
        batch_size: The sentences of a batch.
    """

    def __init__(self, extractor: SpanExtractor, path: Path) -> None:
        self.extractor = extractor
        self.path = path
        self.batch_size = max(1, extractor.batch_size)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result."""
        return self.extractor.describe()

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        """Extract from every sentence, in order. A culprit has an extraction with an error."""
        waiting = [Sentence(own) if isinstance(own, str) else own for own in sentences]
        place = deaths = suspects = 0
        last = self._read()
        if waiting and last is not None and last.first == _mark(waiting[0]):
            # It is still there, so the process that wrote it died.
            deaths = last.deaths + (last.size == 1)
            if deaths >= _DEATHS:
                yield _given_up(waiting[0])
                place, deaths = 1, 0
            else:
                # Of these sentences one is the culprit.
                suspects = last.size
        while place < len(waiting):
            size = max(1, suspects // 2) if suspects else self.batch_size
            batch = waiting[place : place + size]
            self._write(_Trial(_mark(batch[0]), len(batch), deaths))
            yield from self.extractor.extract(iter(batch))
            place += len(batch)
            suspects, deaths = max(0, suspects - len(batch)), 0
        self.path.unlink(missing_ok=True)

    def _read(self) -> _Trial | None:
        trial = attempt(lambda: _Trial(**json.loads(self.path.read_text("utf-8"))))
        return None if isinstance(trial, Mishap) else trial

    def _write(self, trial: _Trial) -> None:
        part = self.path.with_name(f"{self.path.name}.new")
        with part.open("wb") as stream:
            stream.write(dump_json(asdict(trial)))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(self.path)


def _mark(sentence: Sentence) -> str:
    return f"{sentence.id}\n{sentence.text[:200]}"


def _given_up(sentence: Sentence) -> Extraction:
    why = f"the process that read this sentence died {_DEATHS} times; it was set aside"
    return Extraction(sentence, Reply("", "error", error=why), nothing(sentence.text))
