"""Predictions, from extractions or files, and how they are set beside the gold sentences they are
of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from llmner._unicode import normalized
from llmner.corpora import ReadStats, guess_format, read_corpus
from llmner.corpora.hub import is_saved_dataset
from llmner.corpora.jsonl import row_text_and_id, span_of_row
from llmner.errors import CorpusError, InputError, MismatchError, SpanError, TagError
from llmner.extraction import Extraction
from llmner.extraction.rows import SIMILARITY_DIGITS, outcomes_of_row
from llmner.files import read_jsonl, regular_file, told_of
from llmner.projection import Outcome, canonical_surface
from llmner.scoring._sides import Claims, surfaces
from llmner.spans import Sentence, Span, check_spans
from llmner.tagging import tags_to_spans

__all__ = ["Prediction", "align", "corpus_signature", "draw", "read_predictions", "sample"]

_T = TypeVar("_T")
UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted spans of one sentence, with what is known of how they came about.

    Attributes:
        text: The sentence's text.
        spans: Predicted spans; sorted and checked on creation.
        id: The sentence's id.
        outcomes: What became of each mention, where there was a reply.
        status: How the reply was read; ``"unanswered"`` where the engine gave none.
        reply: The raw reply.
        error: Why there is none.
        tags: The IOB2 tags the spans were read from, one a character, where these are broken.

    Raises:
        SpanError: A span is out of range or overlaps another.
        TagError: Tags that are none, or not those of the spans.
    """

    text: str
    spans: tuple[Span, ...]
    id: str | None = None
    outcomes: tuple[Outcome, ...] = ()
    status: str | None = None
    reply: str | None = None
    error: str | None = None
    tags: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "spans", check_spans(self.spans, len(self.text)))
        except SpanError as error:
            raise error.located(id=self.id) from None
        if self.tags is not None and (
            len(self.tags) != len(self.text)
            or tuple(Span(*part) for part in tags_to_spans(self.tags)[0]) != self.spans
        ):
            raise TagError(
                "the tags are not those of the spans", id=self.id, hint="expected one a character"
            )

    @classmethod
    def of(cls, extraction: Extraction) -> Prediction:
        """The prediction in an extraction."""
        read = extraction.projection.reply
        return cls(
            extraction.sentence.text,
            extraction.spans,
            extraction.sentence.id,
            tuple(
                replace(one, similarity=round(one.similarity, SIMILARITY_DIGITS))
                for one in extraction.projection.outcomes
            ),
            None if read is None else _status(read.status, extraction.reply.error),
            extraction.reply.text,
            extraction.reply.error,
        )

    @classmethod
    def of_row(cls, row: dict[str, Any], path: Path, line: int | None = None) -> Prediction:
        """The prediction in a row that ``extract`` wrote: all that :meth:`of` has.

        Raises:
            CorpusError: The row is broken.
            SpanError: Its spans do not fit its text.
        """
        text, id = row_text_and_id(path, line or 0, row)
        spans = row.get("spans")
        if not isinstance(spans, list):
            raise CorpusError("'spans' is not a list", path=path, line=line, id=id)
        read = tuple(span_of_row(path, line or 0, id, span) for span in spans)
        return cls(text, read, id, *reply_of(row, path, line))

    @property
    def claims(self) -> Claims:
        """(label, surface) pairs as a reader without offsets has them: what the reply says, else
        the spans'.
        """
        if self.status is None:
            return surfaces(self.text, self.spans)
        return frozenset(
            (o.mention.label if o.span is None else o.span.label, canonical_surface(o.mention.text))
            for o in self.outcomes
        )


def _status(read: str | None, error: str | None) -> str | None:
    """How a reply was read; a long text of which some windows have an answer is none without."""
    return UNANSWERED if error is not None and read in (None, "empty") else read


def read_predictions(
    path: Path, format: str | None = None, *, stats: ReadStats | None = None
) -> list[Prediction]:
    """Predictions from any corpus format; rows that ``extract`` wrote keep outcomes, statuses and
    replies.

    Args:
        path: The file.
        format: Its format; guessed where ``None``.
        stats: Counters of the reading, repairs of broken tags among them.

    Raises:
        CorpusError: The file cannot be read or a row is broken.
    """
    stats = stats if stats is not None else ReadStats()
    before = stats.repairs
    with regular_file(path) as real:
        try:
            tags: list[list[str]] = []
            sentences = list(read_corpus(real, format, stats=stats, on_tags=tags.append))
            if not is_saved_dataset(real) and (format or guess_format(real)) == "spans":
                return [
                    Prediction(s.text, s.spans, s.id, *reply_of(row, path, number))
                    for s, (number, row) in zip(sentences, read_jsonl(real), strict=True)
                ]
            if stats.repairs == before or not tags:
                return [Prediction(s.text, s.spans, s.id) for s in sentences]
            return [
                Prediction(s.text, s.spans, s.id, tags=tuple(held) if held != s.tags() else None)
                for s, held in zip(sentences, tags, strict=True)
            ]
        except InputError as error:
            raise told_of(error, real, path) from None


def reply_of(
    row: dict[str, Any], path: Path, line: int | None
) -> tuple[tuple[Outcome, ...], str | None, str | None, str | None]:
    """Outcomes, reading status, raw reply and its lack's reason of a row, as far as it has them.

    Raises:
        CorpusError: Outcomes that are none.
    """
    status, reply, error = (
        value if isinstance(value := row.get(key), str) else None
        for key in ("status", "reply", "error")
    )
    return outcomes_of_row(row, path, line), _status(status, error), reply, error


def sample(sentences: Sequence[_T], limit: int | None, seed: int) -> list[_T]:
    """The rows ``datasets`` draws with ``shuffle(seed=seed).select(range(limit))``.

    With ``limit=None`` all of them in their own order; a limit over their number draws all,
    shuffled.
    """
    if limit is None:
        return list(sentences)
    from numpy.random import default_rng

    order = default_rng(seed).permutation(len(sentences))
    return [sentences[int(at)] for at in order[:limit]]


def align(
    gold: Sequence[Sentence],
    predictions: Sequence[Prediction],
    *,
    complete: bool = True,
    path: str | Path | None = None,
) -> list[Prediction | None]:
    """The prediction of each gold sentence, by id where all have ids of their own, else by place.

    Args:
        gold: The sentences to be scored.
        predictions: The predictions.
        complete: Every sentence must have a prediction; else those without one get ``None``, which
            takes ids on both sides.
        path: The predictions' file, for errors.

    Raises:
        MismatchError: A sentence without prediction, a prediction without sentence, another text.
    """
    gold_ids = {sentence.id for sentence in gold}
    found = {prediction.id: prediction for prediction in predictions}
    by_id = None not in gold_ids and len(gold_ids) == len(gold) and len(found) == len(predictions)
    aligned: list[Prediction | None]
    if by_id and None not in found:
        for sentence in gold:
            if complete and sentence.id not in found:
                raise MismatchError(
                    "no prediction for this gold sentence",
                    path=path,
                    id=sentence.id,
                    hint="ids must match",
                )
        for prediction in predictions:
            if prediction.id not in gold_ids:
                raise MismatchError(
                    "a prediction for no gold sentence",
                    path=path,
                    id=prediction.id,
                    hint="ids must match",
                )
        aligned = [found.get(sentence.id) for sentence in gold]
    else:
        if len(gold) != len(predictions):
            raise MismatchError(
                f"{len(predictions)} predictions for {len(gold)} gold sentences",
                path=path,
                hint="give both sides ids, or the same number of rows in the same order",
            )
        aligned = list(predictions)
    for sentence, given in zip(gold, aligned, strict=True):
        if given is not None and sentence.text != given.text:
            alike = normalized("NFKC", sentence.text) == normalized("NFKC", given.text)
            raise MismatchError(
                f"predicted on another text ({given.text[:30]!r}, gold has {sentence.text[:30]!r})",
                path=path,
                id=sentence.id,
                hint="these are two versions of one corpus (KLUE v1.1 is v1 after NFKC); use the "
                "same"
                if alike
                else "ids are missing or repeat, so rows are matched by place; gold and "
                "predictions must be of "
                "one corpus version and in one order"
                if not by_id
                else "gold and predictions must be of one corpus version",
            )
    return aligned


def draw(
    corpus: Sequence[Sentence],
    has: Sequence[Callable[[int], bool]],
    *,
    limit: int | None = None,
    seed: int = 42,
    partial: bool = False,
    names: Sequence[str] = (),
) -> list[int]:
    """The places in the corpus of the sentences to score, as :func:`sample` draws them.

    Args:
        corpus: All gold sentences.
        has: For each run, whether it has a prediction for the sentence at a place.
        limit: Size of the sample.
        seed: Its seed.
        partial: Pass over sentences that some run has no prediction for, before the sample is
            drawn.
        names: What the runs are called, for errors.

    Raises:
        MismatchError: A sentence of the sample has no prediction; under ``partial``, none has one.
    """
    if not partial:
        drawn = sample(range(len(corpus)), limit, seed)
        for number, run in enumerate(has):
            missing = [at for at in drawn if not run(at)]
            if missing:
                raise MismatchError(
                    f"{len(missing)} of {len(drawn)} sentences have no prediction",
                    path=names[number] if names else None,
                    id=corpus[missing[0]].id,
                    hint="predict the rest, or score only those that have one with --partial",
                )
        return drawn
    places = [at for at in range(len(corpus)) if all(run(at) for run in has)]
    if not places:
        raise MismatchError(
            "no sentence has a prediction in every run",
            path=", ".join(names) or None,
            hint="ids must match the gold's",
        )
    return sample(places, limit, seed)


def corpus_signature(name: str, sentences: Iterable[Sentence]) -> dict[str, Any]:
    """Name, size and a hash of texts and spans; ``nfkc`` tells KLUE v1.1 (true) from v1."""
    digest = hashlib.sha256()
    count = 0
    normal = True
    for sentence in sentences:
        count += 1
        normal = normal and sentence.text == normalized("NFKC", sentence.text)
        spans = ";".join(f"{span.start},{span.end},{span.label}" for span in sentence.spans)
        digest.update(f"{sentence.text}\0{spans}\n".encode("utf-8", "surrogatepass"))
    return {"name": name, "sentences": count, "sha256": digest.hexdigest()[:12], "nfkc": normal}
