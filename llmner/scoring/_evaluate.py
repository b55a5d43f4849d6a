"""An evaluation: all figures with intervals, the causes of errors, and a signature of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from llmner.corpora.jsonl import span_rows, text_label_rows
from llmner.errors import InputError
from llmner.extraction.rows import outcome_rows
from llmner.projection import OutcomeKind
from llmner.replies import Status
from llmner.scoring._attribute_losses import AttributeLoss, attribute_losses
from llmner.scoring._bootstrap import LEVEL, Interval, intervals
from llmner.scoring._calibration import Calibration, reliability
from llmner.scoring._counts import Counts
from llmner.scoring._losses import Breakdown, Fault, break_down, find_faults
from llmner.scoring._pairing import pairs
from llmner.scoring._predictions import UNANSWERED, Prediction
from llmner.scoring._scores import Scores, score_and_count
from llmner.spans import Sentence, TextLabel

__all__ = [
    "Confusion",
    "Evaluation",
    "Row",
    "evaluate",
    "evaluate_all",
    "signature_line",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence of an evaluation.

    Attributes:
        sentence: The sentence with its gold spans.
        prediction: Its prediction.
        faults: Every error, with its cause.
    """

    sentence: Sentence
    prediction: Prediction
    faults: tuple[Fault, ...]

    def name(self, number: int) -> str:
        """The sentence's id, or ``#1`` for the first one without an id; ``number`` is from 0."""
        return f"#{number + 1}" if self.sentence.id is None else self.sentence.id

    def to_dict(self) -> dict[str, Any]:
        """The row as a saved run has it."""
        prediction = self.prediction
        return {
            "id": self.sentence.id,
            "text": self.sentence.text,
            "gold": span_rows(self.sentence.spans),
            "spans": span_rows(prediction.spans),
            **_text_label_fields(self.sentence.labels, prediction.labels),
            "outcomes": outcome_rows(prediction.outcomes),
            "status": prediction.status,
            "reply": prediction.reply,
            **({} if prediction.error is None else {"error": prediction.error}),
            **({} if prediction.tags is None else {"tags": list(prediction.tags)}),
            "faults": [
                {
                    "kind": fault.kind,
                    "start": fault.span.start,
                    "end": fault.span.end,
                    "label": fault.span.label,
                    "cause": fault.cause,
                }
                for fault in self.faults
            ],
        }


def _text_label_fields(gold: Sequence[TextLabel], predicted: Sequence[TextLabel]) -> dict[str, Any]:
    """The labels of a whole text in a saved run; nothing if there are none."""
    if not gold and not predicted:
        return {}
    return {"gold_labels": text_label_rows(gold), "labels": text_label_rows(predicted)}


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix of labels.

    Gold and predicted spans that overlap are paired one to one.

    Attributes:
        labels: The labels, sorted.
        matrix: Counts of pairs, with a row for each gold label and a column for each predicted
            label. The last row and the last column count spans without a partner.
    """

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores, and everything that is needed to judge them.

    Attributes:
        scores: The figures.
        intervals: 95 % bootstrap intervals by the figure's name (``micro.f1``,
            ``per_label.PS.f1``, ``klue.char_f1``). Empty without resamples.
        breakdown: How much F1 each cause of errors costs.
        confusion: The confusion matrix of labels.
        calibration: Confidence against precision; ``None`` if no prediction has a score.
        outcomes: Number of mentions by kind of outcome.
        replies: Number of replies by status. Sentences without a reply count as ``"unanswered"``.
        signature: What was scored, on what and how: metric, corpus, sample, model, recipe, version.
        rows: Every sentence.
        counts: The counts from which the figures are computed.
        attribute_losses: How much wrong attributes cost, by attribute and cause.
    """

    scores: Scores
    intervals: dict[str, Interval]
    breakdown: Breakdown
    confusion: Confusion
    calibration: Calibration | None
    outcomes: dict[str, int]
    replies: dict[str, int]
    signature: dict[str, Any]
    rows: tuple[Row, ...]
    counts: Counts
    attribute_losses: tuple[AttributeLoss, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as ``evaluate --json`` prints it; all fractions are from 0 to 1."""
        figures = self.scores.to_dict()
        klue = figures["klue"] or {}
        return {
            **{key: figures[key] for key in ("sentences", "gold_spans", "predicted_spans")},
            **{
                key: figures[key]
                for key in ("micro", "strict", "macro", "weighted", "spans", "per_label")
            },
            "klue": {key: klue.get(key) for key in ("entity_f1", "char_f1")},
            "partial": figures["partial"],
            "text": figures["text"],
            **{
                name: figures[name]
                for name in self.scores.others
                if name not in ("attributes", "text_labels") or figures[name] is not None
            },
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "losses": [asdict(loss) for loss in self.breakdown.losses],
            "ceilings": asdict(self.breakdown.ceilings),
            **(
                {"attribute_losses": [asdict(loss) for loss in self.attribute_losses]}
                if self.attribute_losses
                else {}
            ),
            "confusion": asdict(self.confusion),
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "outcomes": self.outcomes,
            "replies": self.replies,
            "signature": self.signature,
        }

    def to_run(self) -> dict[str, Any]:
        """The evaluation with all its sentences, as :func:`write_run` saves it."""
        return {**self.to_dict(), "rows": [row.to_dict() for row in self.rows]}


def evaluate(
    gold: Sequence[Sentence],
    predictions: Sequence[Prediction],
    *,
    labels: Sequence[str] | None = None,
    signature: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    seed: int = 42,
) -> Evaluation:
    """Score aligned predictions.

    Args:
        gold: Sentences with gold spans.
        predictions: A prediction for each sentence, in the same order (see :func:`align`).
        labels: The label set, for character F1.
        signature: What is known about corpus, sample, model and recipe. The metric and the version
            of llmner are added.
        resamples: Bootstrap resamples for the intervals; 0 for no intervals.
        seed: Seed of the resamples.

    Raises:
        MismatchError: The numbers of sentences and predictions differ.

    >>> from llmner.spans import Span
    >>> gold = [Sentence("Anna met Bob", (Span(0, 4, "PER"), Span(9, 12, "PER")))]
    >>> evaluation = evaluate(gold, [Prediction("Anna met Bob", (Span(0, 4, "PER"),))])
    >>> evaluation.scores.micro
    PRF(precision=1.0, recall=0.5, f1=0.6666666666666666)
    >>> [(fault.kind, fault.cause) for fault in evaluation.rows[0].faults]
    [('missed', 'missed')]
    """
    (evaluation,) = evaluate_all(
        gold,
        [predictions],
        labels=labels,
        signatures=[signature or {}],
        resamples=resamples,
        seed=seed,
    )
    return evaluation


def evaluate_all(
    gold: Sequence[Sentence],
    runs: Sequence[Sequence[Prediction]],
    *,
    labels: Sequence[str] | None = None,
    signatures: Sequence[Mapping[str, Any]] | None = None,
    resamples: int = 1000,
    seed: int = 42,
) -> list[Evaluation]:
    """Score several runs on the same sentences, over the same labels, for :func:`compare`.

    The arguments are those of :func:`evaluate`, but with a list of runs and a signature for each.

    Raises:
        MismatchError: A run does not have one prediction per sentence.
        InputError: ``resamples`` is negative.

    >>> from llmner.spans import Span
    >>> gold = [Sentence("Anna sings", (Span(0, 4, "PER"),))]
    >>> runs = [[Prediction("Anna sings", gold[0].spans)], [Prediction("Anna sings", ())]]
    >>> [evaluation.scores.micro.f1 for evaluation in evaluate_all(gold, runs, resamples=0)]
    [1.0, 0.0]
    """
    if resamples < 0:
        raise InputError(
            f"resamples must not be negative, got {resamples}",
            hint="give 0 for no intervals; 1,000 is usual",
        )
    spans = [sentence.spans for sentence in gold]
    texts = [sentence.text for sentence in gold]
    columns = sorted(
        {span.label for sentence in gold for span in sentence.spans}
        | {span.label for run in runs for prediction in run for span in prediction.spans}
    )
    text_columns = sorted(
        {label.label for sentence in gold for label in sentence.labels}
        | {label.label for run in runs for prediction in run for label in prediction.labels}
    )
    evaluations = []
    for run, signature in zip(runs, signatures or [{}] * len(runs), strict=True):
        scored = score_and_count(
            spans,
            [prediction.spans for prediction in run],
            texts=texts,
            labels=labels,
            claims=[prediction.claims for prediction in run],
            tags=[prediction.tags for prediction in run],
            text_labels=(
                [sentence.labels for sentence in gold],
                [prediction.labels for prediction in run],
            ),
            columns=columns,
            text_columns=text_columns,
        )
        evaluations.append(
            _evaluation(gold, run, scored.scores, scored.counts, signature, resamples, seed)
        )
    return evaluations


def _evaluation(
    gold: Sequence[Sentence],
    predictions: Sequence[Prediction],
    scores: Scores,
    counts: Counts,
    signature: Mapping[str, Any],
    resamples: int,
    seed: int,
) -> Evaluation:
    from llmner import __version__

    rows = tuple(
        Row(s, p, find_faults(s.text, s.spans, p.spans, p.outcomes, p.status))
        for s, p in zip(gold, predictions, strict=True)
    )
    kinds = Counter(outcome.kind for prediction in predictions for outcome in prediction.outcomes)
    statuses = Counter(
        prediction.status for prediction in predictions if prediction.status is not None
    )
    return Evaluation(
        scores=scores,
        intervals=intervals(counts, resamples=resamples, seed=seed) if resamples else {},
        breakdown=break_down(
            (fault for row in rows for fault in row.faults),
            scores.gold_spans,
            scores.predicted_spans,
        ),
        confusion=_confusion(counts.labels, rows),
        calibration=reliability(
            (span.score, span in right)
            for row in rows
            for right in [set(row.sentence.spans)]
            for span in row.prediction.spans
        ),
        outcomes={kind: kinds[kind] for kind in get_args(OutcomeKind) if kinds},
        replies={
            status: statuses[status] for status in (*get_args(Status), UNANSWERED) if statuses
        },
        signature={
            "metric": "seqeval micro (default mode), strict IOB2, KLUE pair",
            **signature,
            "interval": f"bootstrap {LEVEL:.0%}, n={resamples}, seed={seed}" if resamples else None,
            "llmner": __version__,
        },
        rows=rows,
        counts=counts,
        attribute_losses=attribute_losses(gold, predictions),
    )


def _confusion(labels: tuple[str, ...], rows: Sequence[Row]) -> Confusion:
    index = {label: number for number, label in enumerate(labels)}
    no_partner = len(labels)
    matrix = [[0] * (no_partner + 1) for _ in range(no_partner + 1)]
    for row in rows:
        gold, predicted = row.sentence.spans, row.prediction.spans
        for gold_number, predicted_number in pairs(gold, predicted):
            matrix[no_partner if gold_number is None else index[gold[gold_number].label]][
                no_partner if predicted_number is None else index[predicted[predicted_number].label]
            ] += 1
    return Confusion(labels, tuple(map(tuple, matrix)))


def signature_line(signature: Mapping[str, Any]) -> str:
    """The signature on one line; values that are ``None`` are left out.

    >>> signature_line({"model": "klue", "sample": None, "corpus": {"name": "dev", "sentences": 2}})
    'model:klue|corpus:name=dev,sentences=2'
    """
    parts = []
    for key, value in signature.items():
        if isinstance(value, Mapping):
            value = ",".join(f"{k}={v}" for k, v in value.items() if v is not None)
        if value is not None:
            parts.append(f"{key}:{value}")
    return "|".join(parts)
