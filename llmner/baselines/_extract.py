"""A baseline with the interface of an ``Extractor``, so that it can be used in the same ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from llmner._mishaps import Mishap, attempt
from llmner._watching import watcher
from llmner.baselines._encoders import EncoderModel
from llmner.baselines._kinds import KINDS
from llmner.baselines._store import fingerprint, load_baseline, read_baseline_record
from llmner.baselines._syllables import apart, pieces
from llmner.baselines._types import Baseline
from llmner.engines import Reply
from llmner.errors import GenerationError, InputError
from llmner.extraction.confidence import Calibrator, check_min_score
from llmner.extraction.extractor import Extraction, lost
from llmner.projection import LabelOutcome, Projection
from llmner.spans import Mention, Sentence, Span, TextLabel

__all__ = ["BaselineExtractor"]

Found: TypeAlias = tuple[Span | TextLabel, ...]
"""The spans of a text, or its labels."""

Tag = Callable[[Sequence[str]], Sequence[Found | Mishap]]
"""A function that gives what is found in each text, or why the tagger fails at it."""

# The number of a text, and a piece of it: where it begins and ends, and its own part.
_Cut = tuple[int, int, int, int, int]
# Characters that one request has tagged at a time where it shares the tagger.
_SHARED = 4000


class BaselineExtractor:
    """Extracts entities, or labels of whole texts, with a trained baseline.

    Extractions have spans or labels, but no replies and no outcomes of mentions. The model is
    loaded at the first sentence.

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
    [(Span('Anna', 'PER', start=0, end=4, score=0.970),)]
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

    @property
    def about(self) -> str:
        """``"spans"``, or ``"texts"`` if it gives labels of whole texts."""
        return KINDS[self.record["kind"]].about

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
            tag: The spans of each text, as the tagger gives them, or why it fails at it.
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

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[int, Found]]:
        """Tag texts, and yield the spans of each with its number, without scores being looked at.

        An encoder tags a few of similar lengths at a time, so that these are not kept waiting.

        Raises:
            GenerationError: The tagger fails at one of them.
            InputError: A file is broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        tagger = self.load()
        size = tagger.together if isinstance(tagger, EncoderModel) else len(texts)
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        for start in range(0, len(order), max(1, size)):
            part = order[start : start + size]
            spans = attempt(self._together, [texts[number] for number in part])
            if isinstance(spans, Mishap):
                raise GenerationError(f"{self.name} fails: {spans}") from spans.error
            yield from zip(part, spans, strict=True)

    def extract(self, sentences: Iterable[Sentence | str] | Sentence | str) -> Iterator[Extraction]:
        """Extract from every sentence in order, in batches.

        Long texts are tagged in pieces of a thousand characters that overlap, so that they can be
        stopped and hold nobody up. If the tagger fails at a sentence, the reply of its extraction
        has an ``error``, and the other sentences are extracted as usual.

        Raises:
            GenerationError: The tagger fails at any text.
            InputError: A file is broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        given = [sentences] if isinstance(sentences, str | Sentence) else sentences
        items = (item if isinstance(item, Sentence) else Sentence(item) for item in given)
        if self._tag is None:
            self.load()
        watcher().begin()
        while batch := list(islice(items, self.batch_size)):
            tagged = self._tagged([sentence.text for sentence in batch])
            for sentence, spans in zip(batch, tagged, strict=True):
                extraction = (
                    spans
                    if isinstance(spans, Mishap)
                    else attempt(self._extraction, sentence, spans)
                )
                if isinstance(extraction, Mishap):
                    yield lost(sentence, extraction)
                else:
                    yield extraction

    def _tagged(self, texts: Sequence[str]) -> list[Found | Mishap]:
        """What is found in each text, or why the tagger fails at it."""
        if self.about == "texts":
            # What is said of a text is said of all of it.
            return list(self._answers(list(texts)))
        cuts = [(number, *cut) for number, text in enumerate(texts) for cut in pieces(len(text))]
        spans_by_text: list[list[Span]] = [[] for _ in texts]
        failures: dict[int, Mishap] = {}
        for group in self._groups(cuts):
            # A text at which the tagger failed is lost as a whole.
            asked = [cut for cut in group if cut[0] not in failures]
            answers = self._answers([texts[number][low:high] for number, low, high, *_ in asked])
            for (number, low, _, first, last), spans in zip(asked, answers, strict=True):
                if isinstance(spans, Mishap):
                    failures.setdefault(number, spans)
                    continue
                # A span counts if it begins in the piece's own part.
                spans_by_text[number] += [
                    replace(span, start=low + span.start, end=low + span.end) if low else span
                    for span in spans
                    if isinstance(span, Span) and first <= low + span.start < last
                ]
        return [
            failures[number] if number in failures else apart(spans)
            for number, spans in enumerate(spans_by_text)
        ]

    def _groups(self, cuts: Sequence[_Cut]) -> Iterator[list[_Cut]]:
        """Pieces that are tagged together. Who shares the tagger gets few long ones at a time."""
        group: list[_Cut] = []
        characters = 0
        for cut in cuts:
            _, low, high, *_ = cut
            full = len(group) == self.batch_size or (
                self._tag is not None and characters + high - low > _SHARED
            )
            if group and full:
                yield group
                group, characters = [], 0
            group.append(cut)
            characters += high - low
        if group:
            yield group

    def _answers(self, texts: list[str]) -> Sequence[Found | Mishap]:
        """The spans of each of a few short texts, or why the tagger fails at it.

        Raises:
            GenerationError: It fails at any text.
        """
        tag = self._tag or self._tag_here
        answers = tag(texts)
        failures = [answer for answer in answers if isinstance(answer, Mishap)]
        if failures and len(failures) == len(answers) and isinstance(tag(["."])[0], Mishap):
            raise GenerationError(
                f"{self.name} fails whatever it is given: {failures[0]}"
            ) from failures[0].error
        return answers

    def _tag_here(self, texts: Sequence[str]) -> Sequence[Found | Mishap]:
        """If the tagger fails at the texts together, each is tagged alone."""
        spans = attempt(self._together, texts)
        if not isinstance(spans, Mishap):
            return spans
        if len(texts) == 1:
            return [spans]
        results = [attempt(self._together, [text]) for text in texts]
        return [result if isinstance(result, Mishap) else result[0] for result in results]

    def _together(self, texts: Sequence[str]) -> Sequence[Found]:
        """The spans of each text. Whatever the tagger raises is passed on."""
        spans = self.load().tag(texts)
        if len(spans) != len(texts):
            raise ValueError(
                f"the tagger returned spans of {len(spans)} texts instead of {len(texts)}"
            )
        return spans

    def _extraction(self, sentence: Sentence, found: Found) -> Extraction:
        spans = self._scored(item for item in found if isinstance(item, Span))
        labels = tuple(
            LabelOutcome(Mention(item.label, "", item.attributes), "given", item)
            for item in found
            if isinstance(item, TextLabel) and self._is_sure(item)
        )
        projection = Projection(sentence.text, tuple(spans), label_outcomes=labels)
        review: tuple[Span, ...] = ()
        if self.calibrator is not None:
            projection, review = self.calibrator.for_review(projection)
        return Extraction(sentence, Reply(""), projection, review=review)

    def _is_sure(self, item: Span | TextLabel) -> bool:
        return self.min_score is None or item.score is None or item.score >= self.min_score

    def _scored(self, spans: Iterable[Span]) -> Iterator[Span]:
        """The spans with calibrated scores, without those below the lowest score."""
        for span in spans:
            if self.calibrator is not None and span.score is not None:
                span = replace(span, score=self.calibrator(span.score))
            if self._is_sure(span):
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
