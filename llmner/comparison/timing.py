"""What a model costs: its speed in sentences per second, its parameters and its bytes."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from llmner.baselines._extract import BaselineExtractor
from llmner.baselines._store import size_on_disk
from llmner.errors import InputError
from llmner.extraction import Extraction, Extractor, SpanExtractor
from llmner.files import dump_json, parse_json, read_text, whole_file
from llmner.spans import Sentence

__all__ = ["Timed", "size_of", "speed"]


class Timed:
    """An extractor that measures its own time, without loading and without the caller's time.

    Args:
        extractor: The extractor.
        on_sentence: Called after each sentence.
    """

    def __init__(
        self, extractor: Extractor | BaselineExtractor, on_sentence: Callable[[], None]
    ) -> None:
        self.extractor: Extractor | BaselineExtractor | None = extractor
        self.batch_size = extractor.batch_size
        self.sentences = 0
        self.seconds = 0.0
        self._described = extractor.describe()
        self._on_sentence = on_sentence

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        """Extract from sentences, and count sentences and seconds."""
        assert self.extractor is not None
        _load(self.extractor)
        extractions = self.extractor.extract(sentences)
        while True:
            started = time.perf_counter()
            extraction = next(extractions, None)
            self.seconds += time.perf_counter() - started
            if extraction is None:
                return
            self.sentences += 1
            self._on_sentence()
            yield extraction

    def describe(self) -> dict[str, Any]:
        """The extractor's own description."""
        return self._described

    def release(self) -> None:
        """Free the model's memory for the next model."""
        self.extractor = None
        gc.collect()
        if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _load(extractor: Extractor | BaselineExtractor) -> None:
    (extractor.engine if isinstance(extractor, Extractor) else extractor).load()


def speed(timed: Timed, rows: Path | None, *, restart: bool) -> dict[str, Any]:
    """Sentences per second, over this call and earlier calls that made the kept rows.

    The totals are in a file beside the rows.
    """
    sentences, seconds = timed.sentences, timed.seconds
    if rows is not None:
        path = rows.with_name(f"{rows.name}.speed.json")
        if restart:
            path.unlink(missing_ok=True)
        try:
            before = parse_json(read_text(path))
            sentences, seconds = (
                sentences + int(before["sentences"]),
                seconds + float(before["seconds"]),
            )
        except (InputError, ValueError, LookupError, TypeError):
            pass
        if timed.sentences:
            with whole_file(path) as stream:
                stream.write(
                    dump_json({"sentences": sentences, "seconds": round(seconds, 3)}) + b"\n"
                )
    if not sentences or not seconds:
        return {}
    return {"sentences_a_second": sentences / seconds, "timed_sentences": sentences}


def size_of(extractor: SpanExtractor | None) -> dict[str, Any]:
    """The number of parameters and bytes of a model that runs in this process."""
    if isinstance(extractor, BaselineExtractor):
        return {
            "parameters": extractor.load().parameters(),
            "bytes": size_on_disk(extractor.folder),
        }
    return (extractor.engine.model_size() or {}) if isinstance(extractor, Extractor) else {}
