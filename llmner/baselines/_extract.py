"""A baseline with the interface of an ``Extractor``, so that it can be used in the same ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt
from llmner._watching import watcher
from llmner.baselines._store import fingerprint, load_baseline, read_baseline_record
from llmner.baselines._types import Baseline
from llmner.engines import Reply
from llmner.errors import GenerationError, InputError
from llmner.extraction.confidence import Calibrator, check_min_score
from llmner.extraction.extractor import Extraction, lost
from llmner.projection import Projection
from llmner.spans import Sentence, Span

__all__ = ["BaselineExtractor"]

Tag = Callable[[list[str]], list[tuple[Span, ...]]]
"""A function that gives the spans of each text."""


class BaselineExtractor:
    """Extracts entities with a trained baseline.

    Extractions have spans, but no replies and no outcomes. The model is loaded at the first
    sentence.

    Args:
        folder: The baseline's folder.
        batch_size: Number of sentences tagged together.
        min_score: Drop spans with a lower score.
        calibrator: Turns scores into probabilities that spans are right, before ``min_score`` is
            applied.
        device: For encoders: ``"auto"`` (CUDA if available), ``"cpu"``, ``"cuda:0"``, ...
        trust_remote_code: For encoders: run Python code that comes with the model.
        name: Its name in signatures; by default the folder's name.

    Raises:
        InputError: The folder contains no baseline, ``batch_size`` is less than 1, or ``min_score``
            is not in [0, 1].

    >>> extractor = BaselineExtractor(Path("build/crf"), min_score=0.5)  # doctest: +SKIP
    >>> [extraction.spans for extraction in extractor.extract(["Anna sings"])]  # doctest: +SKIP
    [(Span(start=0, end=4, label='PER', score=0.97),)]
    """

    def __init__(
        self,
        folder: Path,
        *,
        batch_size: int = 64,
        min_score: float | None = None,
        calibrator: Calibrator | None = None,
        device: str = "auto",
        trust_remote_code: bool = False,
        name: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        check_min_score(min_score)
        self.folder = folder
        self.batch_size = batch_size
        self.min_score = min_score
        self.calibrator = calibrator
        self.device = device
        self.trust_remote_code = trust_remote_code
        self.name = name or folder.resolve().name
        self.record = read_baseline_record(folder)
        self._baseline: Baseline | None = None
        self._tag: Tag | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the tagger can predict."""
        return tuple(map(str, self.record.get("labels", ())))

    @cached_property
    def _weights(self) -> str:
        # Cached, because hashing hundreds of megabytes takes time.
        return fingerprint(self.folder)

    def load(self) -> Baseline:
        """The tagger, which is loaded at the first call.

        Raises:
            InputError: A file is broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        if self._baseline is None:
            self._baseline = load_baseline(
                self.folder, device=self.device, trust_remote_code=self.trust_remote_code
            )
        return self._baseline

    def through(
        self,
        tag: Tag,
        *,
        min_score: float | None = None,
    ) -> BaselineExtractor:
        """The same extractor, with texts tagged by a function that asks its tagger elsewhere.

        Args:
            tag: The spans of each text, as the tagger gives them.
            min_score: Drop spans with a lower score; by default as this extractor does.

        Raises:
            InputError: ``min_score`` is not in [0, 1].
        """
        check_min_score(min_score)
        other = copy(self)
        other._tag = tag
        if min_score is not None:
            other.min_score = min_score
        return other

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[int, tuple[Span, ...]]]:
        """Tag texts, and yield the spans of each with its number, without scores being looked at.

        Raises:
            GenerationError: The tagger fails at one of them.
            InputError: A file is broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        spans = attempt(self.load().tag, texts)
        if isinstance(spans, Mishap):
            raise GenerationError(f"{self.name} fails: {spans}") from spans.error
        yield from enumerate(spans)

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        """Extract from every sentence in order, in batches.

        If the tagger fails at a sentence, the reply of its extraction has an ``error``, and the
        other sentences are extracted as usual.

        Raises:
            GenerationError: The tagger fails at any text.
            InputError: A file is broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        items = (item if isinstance(item, Sentence) else Sentence(item) for item in sentences)
        tag = self._tag or self.load().tag
        watcher().begin()
        while batch := list(islice(items, self.batch_size)):
            for sentence, spans in zip(
                batch, self._tagged(tag, [s.text for s in batch]), strict=True
            ):
                extraction = (
                    spans
                    if isinstance(spans, Mishap)
                    else attempt(self._extraction, sentence, spans)
                )
                if isinstance(extraction, Mishap):
                    yield lost(sentence, extraction)
                else:
                    yield extraction

    def _tagged(self, tag_all: Tag, texts: list[str]) -> list[tuple[Span, ...]] | list[Any]:
        """The spans of each text.

        If the tagger fails at the batch, each text is tagged alone, and a text at which it fails
        has the failure instead of spans.
        """

        def tag(batch: list[str]) -> list[tuple[Span, ...]]:
            spans = tag_all(batch)
            if len(spans) != len(batch):
                raise ValueError(
                    f"the tagger returned spans of {len(spans)} texts instead of {len(batch)}"
                )
            return spans

        spans = attempt(tag, texts)
        if not isinstance(spans, Mishap):
            return spans
        if isinstance(attempt(tag, ["."]), Mishap):
            raise GenerationError(
                f"{self.name} fails whatever it is given: {spans}"
            ) from spans.error
        results = [attempt(tag, [text]) for text in texts]
        return [result if isinstance(result, Mishap) else result[0] for result in results]

    def _extraction(self, sentence: Sentence, spans: Iterable[Span]) -> Extraction:
        return Extraction(
            sentence, Reply(""), Projection(sentence.text, tuple(self._scored(spans)))
        )

    def _scored(self, spans: Iterable[Span]) -> Iterator[Span]:
        """The spans with calibrated scores, without those below the lowest score."""
        for span in spans:
            if self.calibrator is not None and span.score is not None:
                span = replace(span, score=self.calibrator(span.score))
            if self.min_score is None or span.score is None or span.score >= self.min_score:
                yield span

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result: kind, hash of the files, options and version."""
        from llmner import __version__

        config = self.record.get("config") or {}
        options = {
            "min_score": self.min_score,
            "calibration": None if self.calibrator is None else self.calibrator.hash,
        }
        return {
            "engine": "baseline",
            "model": self.name,
            "kind": self.record["kind"],
            "weights": self._weights,
            # Options of tagging that are not in the hashed files.
            **{
                key: config[key]
                for key in ("outside_penalty", "max_length", "stride")
                if key in config
            },
            **{name: value for name, value in options.items() if value is not None},
            "llmner": __version__,
        }
