"""The scores of one set of predictions.

This module prepares gold and predictions for the metrics, which do the counting (``metrics``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

from llmner.errors import MismatchError
from llmner.scoring._counts import Counts, count
from llmner.scoring._sides import Claims, Labels, Sides, Whole, surfaces
from llmner.scoring.metrics import METRICS, PRF
from llmner.scoring.metrics.klue import KLUE_LABELS, KlueScores, task_labels
from llmner.scoring.metrics.partial import ModeScore
from llmner.scoring.metrics.per_label import LabelScore
from llmner.spans import Span, TextLabel, check_spans
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


TextLabels: TypeAlias = tuple[Sequence[Sequence[TextLabel]], Sequence[Sequence[TextLabel]]]
"""The gold labels of each whole text, and the predicted ones."""


@dataclass(frozen=True, slots=True)
class Scores:
    """All figures of one set of predictions.

    Attributes:
        sentences: Number of sentences.
        gold_spans: Number of gold spans.
        predicted_spans: Number of predicted spans.
        micro: seqeval's default (lenient) micro average.
        strict: seqeval's strict IOB2 micro average. Spans always give valid tags, so it differs
            from ``micro`` only if predictions were read from broken tags.
        macro: Unweighted mean over labels, lenient.
        weighted: Mean over labels, weighted by their gold entities, lenient.
        per_label: Lenient figures of each label that occurs in gold or predictions.
        klue: KLUE's entity F1 and character F1; ``None`` without texts.
        spans: The micro average computed from offsets, without tags.
        partial: SemEval-2013's modes ``strict``, ``exact``, ``partial`` and ``type``.
        text: Figures of (label, surface) pairs. Places are ignored, and a pair counts once per
            sentence. ``None`` without texts.
        others: The results of metrics that have no attribute here, by the metric's name.
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
    text_labels: TextLabels | None = None,
) -> Scores:
    """Score predicted spans against gold spans.

    The figures are seqeval's of IOB2 tags, one per code point, so that they are comparable with
    those of any tagger that is scored per character. The KLUE figures follow
    KLUE-baseline: spaces are dropped, and all sentences are joined with an ``O`` before and after
    each. Entity F1 is the strict IOB2 macro average; character F1 is the macro average over all
    tags with ``zero_division=1``.

    Args:
        gold: Gold spans of each sentence.
        predicted: Predicted spans of each sentence, in the same order.
        texts: The texts of the sentences, for the KLUE figures and for ``Scores.text``.
        labels: The labels over whose tags character F1 is averaged. By default KLUE's six labels if
            gold has no others, else the labels of gold.
        claims: The (label, surface) pairs of each reply, for ``Scores.text``; by default those of
            the predicted spans.
        tags: The IOB2 tags, one per character, of sentences whose predicted spans were read from
            broken tags; ``None`` for the other sentences. Strict IOB2 and KLUE use these tags.
        text_labels: The gold labels of each whole text, and the predicted ones.

    Raises:
        MismatchError: The sequences differ in length, or are empty.
        SpanError: Spans of one sentence overlap, or are outside its text.

    >>> gold = [(Span(0, 4, "PER"), Span(9, 12, "PER"))]
    >>> score(gold, [(Span(0, 4, "PER"),)]).micro
    PRF(precision=1.0, recall=0.5, f1=0.6666666666666666)
    """
    return score_and_count(
        gold,
        predicted,
        texts=texts,
        labels=labels,
        claims=claims,
        tags=tags,
        text_labels=text_labels,
    ).scores


def score_and_count(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    *,
    texts: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    claims: Sequence[Claims] | None = None,
    tags: Sequence[Sequence[str] | None] | None = None,
    text_labels: TextLabels | None = None,
    columns: Sequence[str] | None = None,
    text_columns: Sequence[str] | None = None,
) -> Scored:
    """Like :func:`score`, with the counts of each sentence.

    ``columns`` are the labels to count, at least all that occur; ``text_columns`` those of whole
    texts.
    """
    parallel = (texts, claims, tags, *(text_labels or ()))
    if len(gold) != len(predicted) or any(
        sequence is not None and len(sequence) != len(gold) for sequence in parallel
    ):
        numbers = f"{len(gold)} gold and {len(predicted)} predicted sentences"
        raise MismatchError(
            numbers if texts is None else f"{numbers} for {len(texts)} texts",
            hint="give one of each per sentence",
        )
    if not gold:
        raise MismatchError("nothing to score", hint="give at least one sentence")
    lengths = _lengths(gold, predicted, texts)
    checked_gold = [check_spans(spans, length) for spans, length in zip(gold, lengths, strict=True)]
    checked_predicted = [
        check_spans(spans, length) for spans, length in zip(predicted, lengths, strict=True)
    ]
    gold_labels = {span.label for spans in checked_gold for span in spans}
    if columns is None:
        columns = sorted(
            gold_labels | {span.label for spans in checked_predicted for span in spans}
        )
    attributes = {name for spans in checked_gold for span in spans for name in span.attributes}
    gold_texts, predicted_texts = text_labels or ([()] * len(gold), [()] * len(gold))
    if text_columns is None:
        both = (*gold_texts, *predicted_texts)
        text_columns = sorted({label.label for own in both for label in own})
    shared = Labels(
        tuple(columns),
        tuple(labels or task_labels(gold_labels)),
        tuple(sorted(attributes)),
        tuple(text_columns),
    )
    whole = Whole(
        shared,
        tuple(
            _sides(
                shared,
                gold_spans,
                predicted_spans,
                length,
                text=None if texts is None else texts[number],
                claims=None if claims is None else claims[number],
                tags=None if tags is None else tags[number],
                text_labels=(tuple(gold_texts[number]), tuple(predicted_texts[number])),
            )
            for number, (gold_spans, predicted_spans, length) in enumerate(
                zip(checked_gold, checked_predicted, lengths, strict=True)
            )
        ),
    )
    counts = count(whole.sides, shared)
    return Scored(_scores(whole, counts), counts)


def _lengths(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], texts: Sequence[str] | None
) -> list[int]:
    """The length of each text in code points; without texts, a length that the spans fit into."""
    if texts is not None:
        return [len(text) for text in texts]
    return [
        max((span.end for span in (*gold_spans, *predicted_spans)), default=0) + 1
        for gold_spans, predicted_spans in zip(gold, predicted, strict=True)
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
    text_labels: tuple[tuple[TextLabel, ...], tuple[TextLabel, ...]],
) -> Sides:
    """Gold and predictions of one sentence, in the form that metrics take."""
    gold_tags = spans_to_tags(gold, length)
    gold_claims = None if text is None else surfaces(text, gold)
    if predicted == gold and not labels.attributes:
        # Sharing the objects lets metrics see quickly that all is right, as in most sentences.
        predicted, predicted_claims = gold, gold_claims
    else:
        predicted_claims = None
        if text is not None and claims is None:
            predicted_claims = surfaces(text, predicted)
    if text is not None and claims is not None:
        predicted_claims = claims
    strict = predicted
    if tags is not None:
        read_tags = list(tags)
        strict = tuple(Span(*part) for part in tags_to_spans(tags, drop=True)[0])
    else:
        read_tags = gold_tags if predicted is gold else spans_to_tags(predicted, length)
    return Sides(
        labels=labels,
        gold=gold,
        predicted=predicted,
        strict=strict,
        gold_tags=gold_tags,
        read_tags=read_tags,
        text=text,
        gold_claims=gold_claims,
        predicted_claims=predicted_claims,
        gold_labels=text_labels[0],
        predicted_labels=text_labels[1],
    )


def _scores(whole: Whole, counts: Counts) -> Scores:
    """The result of each metric; ``None`` if the sentences lack what it counts."""
    sums = counts.columns(counts.table.sum(0)[None])
    results: dict[str, Any] = {
        metric.name: metric.score(whole, sums[metric.count]) if metric.count in sums else None
        for metric in METRICS
    }
    attributes = {attribute.name for attribute in fields(Scores)}
    scores = Scores(
        sentences=len(whole.sides),
        gold_spans=sum(len(sides.gold) for sides in whole.sides),
        predicted_spans=sum(len(sides.predicted) for sides in whole.sides),
        **{name: result for name, result in results.items() if name in attributes},
    )
    scores.others.update(
        {name: result for name, result in results.items() if name not in attributes}
    )
    return scores
