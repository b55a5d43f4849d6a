"""Predictions from extractions or files, and their alignment with gold sentences."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from llmner._unicode import normalized
from llmner.corpora import ReadStats, guess_format, read_corpus
from llmner.corpora.hub import is_saved_dataset
from llmner.corpora.jsonl import (
    json_objects,
    row_text_and_id,
    span_of_row,
    text_label_of_row,
    text_label_rows,
)
from llmner.errors import CorpusError, InputError, MismatchError, SpanError, TagError
from llmner.extraction import Extraction
from llmner.extraction.rows import SIMILARITY_DIGITS, is_blank_answer, outcomes_of_row
from llmner.files import dump_json, regular_file, told_of
from llmner.projection import Outcome, canonical_surface
from llmner.scoring._sides import Claims, surfaces
from llmner.spans import Sentence, Span, TextLabel, check_evidence, check_spans
from llmner.tagging import tags_to_spans

__all__ = [
    "Prediction",
    "align",
    "corpus_signature",
    "corpus_source",
    "draw",
    "read_predictions",
    "sample",
]

_T = TypeVar("_T")
UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted spans of one sentence, with what is known about how they came about.

    Attributes:
        text: The sentence's text.
        spans: Predicted spans; sorted and checked when the object is made.
        id: The sentence's id.
        outcomes: The outcome of each mention, if there was a reply.
        status: The status of the reply; ``"unanswered"`` if the engine gave none.
        reply: The raw reply.
        error: Why there is no reply.
        tags: The IOB2 tags from which the spans were read, one per character, if the tags are
            broken; otherwise ``None``.
        labels: The predicted labels of the whole text.

    Raises:
        SpanError: A span is out of range or overlaps another, or a label's evidence is out of
            range.
        TagError: A string is not a tag, or the tags do not give the spans.

    >>> Prediction("Anna met Bob", (Span(9, 12, "PER"), Span(0, 4, "PER"))).spans[0].start
    0
    """

    text: str
    spans: tuple[Span, ...]
    id: str | None = None
    outcomes: tuple[Outcome, ...] = ()
    status: str | None = None
    reply: str | None = None
    error: str | None = None
    tags: tuple[str, ...] | None = None
    labels: tuple[TextLabel, ...] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "spans", check_spans(self.spans, len(self.text)))
            check_evidence(self.labels, len(self.text))
        except SpanError as error:
            raise error.located(id=self.id) from None
        if self.tags is not None and (
            len(self.tags) != len(self.text)
            or tuple(Span(*part) for part in tags_to_spans(self.tags)[0]) != self.spans
        ):
            raise TagError(
                "the tags do not give the spans", id=self.id, hint="expected one tag per character"
            )

    @classmethod
    def of(cls, extraction: Extraction) -> Prediction:
        """The prediction of an extraction."""
        read = extraction.projection.reply
        return cls(
            extraction.sentence.text,
            extraction.spans,
            extraction.sentence.id,
            tuple(
                replace(outcome, similarity=round(outcome.similarity, SIMILARITY_DIGITS))
                for outcome in extraction.projection.outcomes
            ),
            None if read is None else _status(read.status, extraction.reply.error),
            extraction.reply.text,
            extraction.reply.error,
            labels=extraction.labels,
        )

    @classmethod
    def of_row(cls, row: dict[str, Any], path: Path, line: int | None = None) -> Prediction:
        """The prediction in a row that ``extract`` wrote, equal to that of :meth:`of`.

        Raises:
            CorpusError: The row is malformed.
            SpanError: Its spans do not fit its text.
        """
        text, id = row_text_and_id(path, line or 0, row)
        spans = row.get("spans")
        if not isinstance(spans, list):
            raise CorpusError("'spans' is not a list", path=path, line=line, id=id)
        checked = tuple(span_of_row(path, line or 0, id, span) for span in spans)
        labels = row.get("labels") or []
        if not isinstance(labels, list):
            raise CorpusError("'labels' is not a list", path=path, line=line, id=id)
        given = tuple(text_label_of_row(path, line, id, label) for label in labels)
        return cls(text, checked, id, *reply_of(row, path, line), labels=given)

    @property
    def is_blank(self) -> bool:
        """Whether there is a reply that says nothing at all, be it only that there is nothing."""
        if self.reply is None or self.status in (None, UNANSWERED) or self.error is not None:
            return False
        return not self.spans and is_blank_answer(self.text, self.outcomes, [self.reply])

    @property
    def claims(self) -> Claims:
        """The (label, surface) pairs of the reply, or those of the spans if there is no reply."""
        if self.status is None:
            return surfaces(self.text, self.spans)
        return frozenset(
            (o.mention.label if o.span is None else o.span.label, canonical_surface(o.mention.text))
            for o in self.outcomes
        )


def _status(read: str | None, error: str | None) -> str | None:
    """The status of a reply; ``"unanswered"`` after an error, unless a window has an answer."""
    return UNANSWERED if error is not None and read in (None, "empty") else read


def read_predictions(
    path: Path, format: str | None = None, *, stats: ReadStats | None = None
) -> list[Prediction]:
    """Read predictions from a file in any corpus format.

    Rows that ``extract`` wrote keep their outcomes, statuses and replies.

    Args:
        path: The file.
        format: Its format; ``None`` guesses it.
        stats: Counters to update, including repairs of broken tags.

    Raises:
        CorpusError: The file cannot be read, or a row is malformed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "predictions.txt"
    ...     _ = path.write_text("<Anna:PER> sings")
    ...     read_predictions(path)[0].spans[0].label
    'PER'
    """
    stats = stats if stats is not None else ReadStats()
    before = stats.repairs
    with regular_file(path) as real:
        try:
            tags: list[list[str]] = []
            if format is None and not is_saved_dataset(real):
                format = guess_format(real)
            sentences = list(
                read_corpus(real, format, stats=stats, on_tags=tags.append, predicted=True)
            )
            if format == "spans":
                return [
                    Prediction(s.text, s.spans, s.id, *reply_of(row, path, number), labels=s.labels)
                    for s, (number, row) in zip(sentences, json_objects(real), strict=True)
                ]
            if stats.repairs == before or not tags:
                return [Prediction(s.text, s.spans, s.id, labels=s.labels) for s in sentences]
            return [
                Prediction(s.text, s.spans, s.id, tags=tuple(read) if read != s.tags() else None)
                for s, read in zip(sentences, tags, strict=True)
            ]
        except InputError as error:
            raise told_of(error, real, path) from None


def reply_of(
    row: dict[str, Any], path: Path, line: int | None
) -> tuple[tuple[Outcome, ...], str | None, str | None, str | None]:
    """The outcomes, status, raw reply and error of a row, as far as it has them.

    Raises:
        CorpusError: The outcomes are malformed.
    """
    status, reply, error = (
        value if isinstance(value := row.get(key), str) else None
        for key in ("status", "reply", "error")
    )
    return outcomes_of_row(row, path, line), _status(status, error), reply, error


def sample(sentences: Sequence[_T], limit: int | None, seed: int) -> list[_T]:
    """Draw a random sample, the same that ``datasets`` draws.

    That is ``shuffle(seed=seed).select(range(limit))``. With ``limit=None``, all items are returned
    in their own order. A limit above their number returns all of them, shuffled.

    >>> sample(["a", "b", "c", "d"], 2, seed=42)
    ['d', 'c']
    """
    if limit is None:
        return list(sentences)
    from numpy.random import default_rng

    order = default_rng(seed).permutation(len(sentences))
    return [sentences[int(number)] for number in order[:limit]]


def align(
    gold: Sequence[Sentence],
    predictions: Sequence[Prediction],
    *,
    complete: bool = True,
    path: str | Path | None = None,
    stats: ReadStats | None = None,
) -> list[Prediction | None]:
    """Find the prediction of each gold sentence.

    They are matched by id if all sentences and all predictions have different ids, otherwise by
    their order. If that fails, but every prediction is for a text that a gold sentence has, they
    are matched by text.

    Args:
        gold: The sentences to be scored.
        predictions: The predictions.
        complete: Whether every sentence must have a prediction. If not, ``None`` is returned for a
            sentence without one; this works only with ids on both sides.
        path: The file of the predictions, for errors.
        stats: Gets a note if they were matched by text.

    Raises:
        MismatchError: A sentence has no prediction, a prediction has no sentence, or their texts
            differ.

    >>> gold = [Sentence("a", id="1"), Sentence("b", id="2")]
    >>> aligned = align(gold, [Prediction("b", (), id="2"), Prediction("a", (), id="1")])
    >>> [prediction.text for prediction in aligned]
    ['a', 'b']
    """
    try:
        return _align_by_id(gold, predictions, complete=complete, path=path)
    except MismatchError:
        aligned = _align_by_text(gold, predictions, complete=complete)
        if aligned is None:
            raise
        if stats is not None:
            stats.note(f"{path}: its ids are not those of the gold sentences; joined by text")
        return aligned


def _align_by_text(
    gold: Sequence[Sentence], predictions: Sequence[Prediction], *, complete: bool
) -> list[Prediction | None] | None:
    """The predictions of sentences by their texts; ``None`` if some find no partner.

    Equal texts are matched in their order.
    """
    by_text: dict[str, deque[Prediction]] = {}
    for prediction in predictions:
        by_text.setdefault(prediction.text, deque()).append(prediction)
    aligned = [
        by_text[sentence.text].popleft() if by_text.get(sentence.text) else None
        for sentence in gold
    ]
    left = sum(map(len, by_text.values()))
    return None if left or (complete and None in aligned) else aligned


def _align_by_id(
    gold: Sequence[Sentence],
    predictions: Sequence[Prediction],
    *,
    complete: bool,
    path: str | Path | None,
) -> list[Prediction | None]:
    gold_ids = {sentence.id for sentence in gold}
    by_ids = {prediction.id: prediction for prediction in predictions}
    unique = None not in gold_ids and len(gold_ids) == len(gold) and len(by_ids) == len(predictions)
    aligned: list[Prediction | None]
    if unique and None not in by_ids:
        without = [sentence.id for sentence in gold if sentence.id not in by_ids]
        if complete and without:
            raise MismatchError(
                f"no prediction for {len(without)} of {len(gold)} gold sentences",
                path=path,
                id=without[0],
                hint="ids must match; score the others with --partial",
            )
        unmatched = [prediction.id for prediction in predictions if prediction.id not in gold_ids]
        if unmatched:
            raise MismatchError(
                "a prediction for no gold sentence",
                path=path,
                id=unmatched[0],
                hint="ids must match",
            )
        aligned = [by_ids.get(sentence.id) for sentence in gold]
    else:
        if len(gold) != len(predictions):
            raise MismatchError(
                f"{len(predictions)} predictions for {len(gold)} gold sentences",
                path=path,
                hint="give both sides ids, or the same number of rows in the same order",
            )
        aligned = list(predictions)
    for sentence, prediction in zip(gold, aligned, strict=True):
        if prediction is not None and sentence.text != prediction.text:
            if normalized("NFKC", sentence.text) == normalized("NFKC", prediction.text):
                hint = (
                    "these are two versions of one corpus (KLUE v1.1 is v1 after NFKC); use the "
                    "same version"
                )
            elif not unique:
                hint = (
                    "ids are missing or repeated, so rows are matched by their order; gold and "
                    "predictions must be of one corpus version and in the same order"
                )
            else:
                hint = "gold and predictions must be of one corpus version"
            raise MismatchError(
                f"the prediction is for another text ({prediction.text[:30]!r}, "
                f"gold has {sentence.text[:30]!r})",
                path=path,
                id=sentence.id,
                hint=hint,
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
    """Draw the sentences to score with :func:`sample`, and return their numbers from 0.

    Args:
        corpus: All gold sentences.
        has: For each run, a function that says whether it has a prediction for a sentence, given
            its number.
        limit: Size of the sample; ``None`` for all sentences.
        seed: Seed of the sample.
        partial: Draw only from the sentences for which every run has a prediction.
        names: The names of the runs, for errors.

    Raises:
        MismatchError: A sentence of the sample has no prediction, or with ``partial``, no sentence
            has one.

    >>> corpus = [Sentence("a"), Sentence("b"), Sentence("c")]
    >>> draw(corpus, [lambda number: number != 1], partial=True)
    [0, 2]
    """
    if not partial:
        drawn = sample(range(len(corpus)), limit, seed)
        for run_number, run_has in enumerate(has):
            missing = [number for number in drawn if not run_has(number)]
            if missing:
                raise MismatchError(
                    f"{len(missing)} of {len(drawn)} sentences have no prediction",
                    path=names[run_number] if names else None,
                    id=corpus[missing[0]].id,
                    hint="predict the rest, or score only those that have one with --partial",
                )
        return drawn
    numbers = [n for n in range(len(corpus)) if all(run_has(n) for run_has in has)]
    if not numbers:
        raise MismatchError(
            "no sentence has a prediction in every run",
            path=", ".join(names) or None,
            hint="ids must match those of the gold sentences",
        )
    return sample(numbers, limit, seed)


def _rest(sentence: Sentence) -> list[dict[str, Any]]:
    """The attributes of spans and the labels of the whole text; most sentences have none."""
    attributes = [dict(span.attributes) for span in sentence.spans if span.attributes]
    return [*attributes, *text_label_rows(sentence.labels)]


def corpus_source(name: str, sentences: Iterable[Sentence]) -> str:
    """What the record of a run calls its input.

    >>> corpus_source("toy", [Sentence("Anna sings")])
    'toy (1 sentences, 4ab14af04cf3)'
    """
    signature = corpus_signature(name, sentences)
    return f"{signature['name']} ({signature['sentences']} sentences, {signature['sha256']})"


def corpus_signature(name: str, sentences: Iterable[Sentence]) -> dict[str, Any]:
    """The corpus's name, its size, a hash of its sentences, and whether all texts are in NFKC.

    ``nfkc`` distinguishes KLUE v1.1 (true) from v1 (false).

    >>> corpus_signature("toy", [Sentence("Anna sings")])
    {'name': 'toy', 'sentences': 1, 'sha256': '4ab14af04cf3', 'nfkc': True}
    """
    digest = hashlib.sha256()
    count = 0
    normal = True
    for sentence in sentences:
        count += 1
        normal = normal and sentence.text == normalized("NFKC", sentence.text)
        spans = ";".join(f"{span.start},{span.end},{span.label}" for span in sentence.spans)
        said = "".join(f"\0{dump_json(row).decode()}" for row in _rest(sentence))
        digest.update(f"{sentence.text}\0{spans}{said}\n".encode("utf-8", "surrogatepass"))
    return {"name": name, "sentences": count, "sha256": digest.hexdigest()[:12], "nfkc": normal}
