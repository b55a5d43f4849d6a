"""The scores of one set of predictions: what every metric says of them.

What a metric counts and says is its own (``metrics``); here both sides are made ready for all of
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from llmner.errors import MismatchError
from llmner.scoring._counts import Counts, count
from llmner.scoring._sides import Claims, Labels, Sides, Whole, surfaces
from llmner.scoring.metrics import METRICS, PRF
from llmner.scoring.metrics.klue import KLUE_LABELS, KlueScores, task_labels
from llmner.scoring.metrics.partial import ModeScore
from llmner.scoring.metrics.per_label import LabelScore
from llmner.spans import Span, check_spans
from llmner.tagging import spans_to_tags, tags_to_spans

__all__ = [
    "KLUE_LABELS",
    "PRF",
    "KlueScores",
    "LabelScore",
    "ModeScore",
    "Scored",
    "Scores",
    "score",
    "score_and_count",
]


@dataclass(frozen=True, slots=True)
class Scores:
    """All figures of one set of predictions.

    Attributes:
        sentences: Number of sentences.
        gold_spans: Number of gold spans.
        predicted_spans: Number of predicted spans.
        micro: seqeval's default (lenient) micro average.
        strict: seqeval's strict IOB2 micro average. Spans make valid tags, so it differs from
            ``micro`` only where predictions were read from broken tags.
        macro: Unweighted mean over labels, lenient.
        weighted: Mean over labels weighted by their gold entities, lenient.
        per_label: Lenient figures of each label that occurs in gold or predictions.
        klue: KLUE's pair, or ``None`` where no texts were given.
        spans: The micro average counted from offsets, without tags.
        partial: SemEval-2013's modes ``strict``, ``exact``, ``partial`` and ``type``.
        text: (label, surface) pairs compared a sentence at a time, places ignored and each counted
            once; ``None`` where no texts were given.
        others: What metrics without an attribute of their own say, by the metric's name.
    """

    sentences: int
    gold_spans: int
    predicted_spans: int
    micro: PRF
    strict: PRF
    macro: PRF
    weighted: PRF
    per_label: dict[str, LabelScore]
    klue: KlueScores | None
    spans: PRF
    partial: dict[str, ModeScore]
    text: PRF | None
    others: dict[str, Any] = field(init=False, default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON, each metric's under its name."""
        figures = asdict(self)
        others = figures.pop("others")
        return {**figures, **others}


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores and the counts behind them."""

    scores: Scores
    counts: Counts


def score(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    *,
    texts: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    claims: Sequence[Claims] | None = None,
    tags: Sequence[Sequence[str] | None] | None = None,
) -> Scores:
    """Score predictions against gold, sentence by sentence.

    Spans are written as IOB2 tags, one a code point, and handed to seqeval, so figures are
    comparable with any tagger's that is scored per character. KLUE's pair follows KLUE-baseline:
    characters that are spaces are dropped, all sentences are joined with an ``O`` before and after
    each, entity F1 is the strict IOB2 macro average, character F1 the macro average over all tags
    with ``zero_division=1``.

    Args:
        gold: Gold spans of each sentence.
        predicted: Predicted spans of each sentence, in the same order.
        texts: The sentences, for KLUE's pair and the comparison of texts.
        labels: The label set whose tags character F1 averages over; KLUE's six where those cover
            gold's labels, else gold's labels.
        claims: (label, surface) pairs that replies claimed, for the comparison of texts; by default
            what the predicted spans cover.
        tags: For sentences whose predicted spans were read from broken IOB2 tags these tags, one a
            character, and ``None`` for the others: what strict IOB2 and KLUE make of them.

    Raises:
        MismatchError: The sequences differ in length, or there are none.
        SpanError: Spans of one sentence overlap, or lie outside its text.
    """
    return score_and_count(
        gold, predicted, texts=texts, labels=labels, claims=claims, tags=tags
    ).scores


def score_and_count(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    *,
    texts: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    claims: Sequence[Claims] | None = None,
    tags: Sequence[Sequence[str] | None] | None = None,
    columns: Sequence[str] | None = None,
) -> Scored:
    """As :func:`score`, with the counts of each sentence; ``columns`` are the labels to count, at
    least all that occur.
    """
    if len(gold) != len(predicted) or any(
        x is not None and len(x) != len(gold) for x in (texts, claims, tags)
    ):
        given = f"{len(gold)} gold and {len(predicted)} predicted sentences"
        raise MismatchError(
            given if texts is None else f"{given} for {len(texts)} texts",
            hint="one of each a sentence",
        )
    if not gold:
        raise MismatchError("nothing to score", hint="give at least one sentence")
    lengths = _lengths(gold, predicted, texts)
    rights = [check_spans(spans, length) for spans, length in zip(gold, lengths, strict=True)]
    founds = [check_spans(spans, length) for spans, length in zip(predicted, lengths, strict=True)]
    gold_labels = {span.label for spans in rights for span in spans}
    if columns is None:
        columns = sorted(gold_labels | {span.label for spans in founds for span in spans})
    shared = Labels(tuple(columns), tuple(labels or task_labels(gold_labels)))
    whole = Whole(
        shared,
        tuple(
            _sides(
                shared,
                right,
                found,
                length,
                text=None if texts is None else texts[number],
                claims=None if claims is None else claims[number],
                tags=None if tags is None else tags[number],
            )
            for number, (right, found, length) in enumerate(
                zip(rights, founds, lengths, strict=True)
            )
        ),
    )
    counts = count(whole.sides, shared)
    return Scored(_scores(whole, counts), counts)


def _lengths(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], texts: Sequence[str] | None
) -> list[int]:
    """Each text's length, in code points; without texts, one that has room for the spans."""
    if texts is not None:
        return [len(text) for text in texts]
    return [
        max((span.end for span in (*right, *found)), default=0) + 1
        for right, found in zip(gold, predicted, strict=True)
    ]


def _sides(
    labels: Labels,
    gold: tuple[Span, ...],
    predicted: tuple[Span, ...],
    length: int,
    *,
    text: str | None,
    claims: Claims | None,
    tags: Sequence[str] | None,
) -> Sides:
    """Both sides of one sentence, as metrics are given them."""
    gold_tags = spans_to_tags(gold, length)
    gold_claims = None if text is None else surfaces(text, gold)
    if predicted == gold:
        # Most sentences of a good model: one object for both sides, which metrics see at a glance.
        predicted, predicted_tags, predicted_claims = gold, gold_tags, gold_claims
    else:
        predicted_tags = spans_to_tags(predicted, length)
        wanted = text is not None and claims is None
        predicted_claims = surfaces(text or "", predicted) if wanted else None
    if text is not None and claims is not None:
        predicted_claims = claims
    strict = predicted
    if tags is not None:
        strict = tuple(Span(*part) for part in tags_to_spans(tags, drop=True)[0])
    return Sides(
        labels=labels,
        gold=gold,
        predicted=predicted,
        strict=strict,
        gold_tags=gold_tags,
        predicted_tags=predicted_tags,
        read_tags=predicted_tags if tags is None else list(tags),
        text=text,
        gold_claims=gold_claims,
        predicted_claims=predicted_claims,
    )


def _scores(whole: Whole, counts: Counts) -> Scores:
    """What each metric says; ``None`` for one that lacks what it counts."""
    sums = counts.columns(counts.table.sum(0)[None])
    said: dict[str, Any] = {
        metric.name: metric.score(whole, sums[metric.count]) if metric.count in sums else None
        for metric in METRICS
    }
    own = {attribute.name for attribute in fields(Scores)}
    scores = Scores(
        sentences=len(whole.sides),
        gold_spans=sum(len(one.gold) for one in whole.sides),
        predicted_spans=sum(len(one.predicted) for one in whole.sides),
        **{name: value for name, value in said.items() if name in own},
    )
    scores.others.update({name: value for name, value in said.items() if name not in own})
    return scores
