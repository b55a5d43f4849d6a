"""A baseline behind the interface of an ``Extractor``: what evaluates, compares and keeps runs is
the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt
from llmner.baselines._store import fingerprint, load_baseline, read_baseline_record
from llmner.baselines._types import Baseline
from llmner.engines import Reply
from llmner.errors import GenerationError, InputError
from llmner.extraction.confidence import Calibrator, check_min_score
from llmner.extraction.extractor import Extraction, lost
from llmner.projection import Projection
from llmner.spans import Sentence, Span

__all__ = ["BaselineExtractor"]


class BaselineExtractor:
    """Extracts with a tagger that ``llmner train-baseline`` left in a folder.

    There are no replies and no outcomes: a tagger gives spans. Nothing is loaded before the first
    sentence.

    Args:
        folder: The folder.
        batch_size: Sentences tagged together.
        min_score: Drop spans with a lower score.
        calibrator: Turns scores into shares of right spans, before ``min_score`` looks at them.
        device: For encoders: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda:0"``, ...
        trust_remote_code: For encoders: run Python code that comes with the model.
        name: What signatures call it; the folder's name by default.

    Raises:
        InputError: The folder holds no baseline, or ``min_score`` is not in [0, 1].
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
            raise InputError(f"batch size {batch_size} is not positive")
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

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that the tagger gives."""
        return tuple(map(str, self.record.get("labels", ())))

    @cached_property
    def _weights(self) -> str:
        # Hundreds of megabytes, of which several ask.
        return fingerprint(self.folder)

    def load(self) -> Baseline:
        """The tagger; loaded when it is first asked for.

        Raises:
            InputError: A file is broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        if self._baseline is None:
            self._baseline = load_baseline(
                self.folder, device=self.device, trust_remote_code=self.trust_remote_code
            )
        return self._baseline

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        """Extract from every sentence, in order, a batch at a time.

        A sentence that the tagger fails at has an extraction whose reply has an ``error``, and ends
        nothing.

        Raises:
            GenerationError: The tagger fails whatever it is given.
            InputError: A file is broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        asked = (item if isinstance(item, Sentence) else Sentence(item) for item in sentences)
        tagger = self.load()
        while batch := list(islice(asked, self.batch_size)):
            for sentence, spans in zip(
                batch, self._tagged(tagger, [s.text for s in batch]), strict=True
            ):
                found = (
                    spans
                    if isinstance(spans, Mishap)
                    else attempt(self._extraction, sentence, spans)
                )
                yield lost(sentence, found) if isinstance(found, Mishap) else found

    def _tagged(self, tagger: Baseline, texts: list[str]) -> list[tuple[Span, ...]] | list[Any]:
        """Spans of each text; where the tagger fails at a batch, of each alone, or what went
        wrong.
        """

        def tag(some: list[str]) -> list[tuple[Span, ...]]:
            found = tagger.tag(some)
            if len(found) != len(some):
                raise ValueError(
                    f"the tagger gave spans of {len(found)} texts instead of {len(some)}"
                )
            return found

        found = attempt(tag, texts)
        if not isinstance(found, Mishap):
            return found
        if isinstance(attempt(tag, ["."]), Mishap):
            raise GenerationError(
                f"{self.name} fails whatever it is given: {found}"
            ) from found.error
        alone = [attempt(tag, [text]) for text in texts]
        return [each if isinstance(each, Mishap) else each[0] for each in alone]

    def _extraction(self, sentence: Sentence, spans: Iterable[Span]) -> Extraction:
        return Extraction(sentence, Reply(""), Projection(sentence.text, tuple(self._sure(spans))))

    def _sure(self, spans: Iterable[Span]) -> Iterator[Span]:
        for span in spans:
            if self.calibrator is not None and span.score is not None:
                span = replace(span, score=self.calibrator(span.score))
            if self.min_score is None or span.score is None or span.score >= self.min_score:
                yield span

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result: the tagger's kind and a hash of its files,
        version.
        """
        from llmner import __version__

        config = self.record.get("config") or {}
        chosen = {
            "min_score": self.min_score,
            "calibration": None if self.calibrator is None else self.calibrator.hash,
        }
        return {
            "engine": "baseline",
            "model": self.name,
            "kind": self.record["kind"],
            "weights": self._weights,
            # How texts are tagged, which the files of weights do not say.
            **{
                key: config[key]
                for key in ("outside_penalty", "max_length", "stride")
                if key in config
            },
            **{name: value for name, value in chosen.items() if value is not None},
            "llmner": __version__,
        }
