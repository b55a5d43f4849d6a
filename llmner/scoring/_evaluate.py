"""An evaluation: every figure with its interval, where the F1 went, and the signature they travel
with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from llmner.corpora.jsonl import row_text_and_id, span_of_row, span_rows
from llmner.errors import CorpusError, InputError, MismatchError, SpanError, TagError
from llmner.extraction.rows import outcome_rows
from llmner.files import dump_json, read_json, too_deep, whole_file
from llmner.projection import OutcomeKind
from llmner.replies import Status
from llmner.scoring._bootstrap import LEVEL, Difference, Interval, compare_counts, intervals
from llmner.scoring._calibration import Calibration, reliability
from llmner.scoring._counts import Counts
from llmner.scoring._losses import Breakdown, Fault, break_down, find_faults
from llmner.scoring._pairing import pairs
from llmner.scoring._predictions import UNANSWERED, Prediction, reply_of
from llmner.scoring._scores import Scores, score_and_count
from llmner.spans import Sentence

__all__ = [
    "Change",
    "Comparison",
    "Confusion",
    "Evaluation",
    "Row",
    "compare",
    "evaluate",
    "evaluate_all",
    "read_run",
    "signature_line",
    "write_run",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence of an evaluation: gold, prediction, and every error with its cause."""

    sentence: Sentence
    prediction: Prediction
    faults: tuple[Fault, ...]

    def name(self, number: int) -> str:
        """The id, or the place counted from 1 (``#1``) where there is none; ``number`` counts from
        0.
        """
        return f"#{number + 1}" if self.sentence.id is None else self.sentence.id

    def to_dict(self) -> dict[str, Any]:
        """The row as a run's JSON has it."""
        known = self.prediction
        return {
            "id": self.sentence.id,
            "text": self.sentence.text,
            "gold": span_rows(self.sentence.spans),
            "spans": span_rows(known.spans),
            "outcomes": outcome_rows(known.outcomes),
            "status": known.status,
            "reply": known.reply,
            **({} if known.error is None else {"error": known.error}),
            **({} if known.tags is None else {"tags": list(known.tags)}),
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


@dataclass(frozen=True, slots=True)
class Confusion:
    """Which labels are taken for which.

    Attributes:
        labels: The labels, sorted.
        matrix: Counts; a row for each gold label and a column for each predicted one, and last on
            both sides what has no partner. Spans that overlap are partners, one to one.
    """

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores with everything a reader needs to judge them.

    Attributes:
        scores: The figures.
        intervals: 95 % bootstrap interval of figures by name (``micro.f1``, ``per_label.PS.f1``,
            ``klue.char_f1``); empty where none were asked for.
        breakdown: Where the F1 went.
        confusion: Which labels are taken for which.
        calibration: Confidence against precision, where predictions carry any.
        outcomes: Mentions by kind of outcome.
        replies: Replies by reading status, and ``"unanswered"`` sentences that have none.
        signature: What was scored, on what, how: metric, corpus, sample, model, recipe, version.
        rows: Every sentence.
        counts: The counts behind the figures.
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

    def to_dict(self) -> dict[str, Any]:
        """What ``evaluate --json`` prints; all fractions from 0 to 1."""
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
            **{name: figures[name] for name in self.scores.others},
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "losses": [asdict(loss) for loss in self.breakdown.losses],
            "ceilings": asdict(self.breakdown.ceilings),
            "confusion": asdict(self.confusion),
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "outcomes": self.outcomes,
            "replies": self.replies,
            "signature": self.signature,
        }

    def to_run(self) -> dict[str, Any]:
        """The whole run, with which every figure can be computed again (:func:`read_run`)."""
        return {**self.to_dict(), "rows": [row.to_dict() for row in self.rows]}


@dataclass(frozen=True, slots=True)
class Change:
    """A sentence on which two runs differ.

    Attributes:
        number: Its place among the sentences.
        errors: How many errors the first run has on it, and the second.
    """

    number: int
    errors: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the same sentences.

    Attributes:
        differences: Each figure of both, with interval and p of the difference, by the figure's
            name; without text-level F1 where only one of them has replies.
        changes: The sentences on which they predict different spans.
        better: Sentences on which the second run has fewer errors.
        worse: Sentences on which it has more.
        test: How the intervals and p came about, for the signature.
    """

    differences: dict[str, Difference]
    changes: tuple[Change, ...]
    better: int
    worse: int
    test: str


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
        predictions: As many, in the same order (see :func:`align`).
        labels: The label set, for character F1.
        signature: What is known of corpus, sample, model and recipe; metric and version are added.
        resamples: Bootstrap resamples for the intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        MismatchError: They differ in number.
    """
    (found,) = evaluate_all(
        gold,
        [predictions],
        labels=labels,
        signatures=[signature or {}],
        resamples=resamples,
        seed=seed,
    )
    return found


def evaluate_all(
    gold: Sequence[Sentence],
    runs: Sequence[Sequence[Prediction]],
    *,
    labels: Sequence[str] | None = None,
    signatures: Sequence[Mapping[str, Any]] | None = None,
    resamples: int = 1000,
    seed: int = 42,
) -> list[Evaluation]:
    """Score several runs on the same sentences, counted alike so that :func:`compare` can compare
    them.

    Arguments as for :func:`evaluate`, a signature for each run.

    Raises:
        MismatchError: A run has another number of sentences.
        InputError: A negative number of resamples.
    """
    if resamples < 0:
        raise InputError(f"{resamples} resamples", hint="give 0 for no intervals; 1,000 is usual")
    spans = [sentence.spans for sentence in gold]
    texts = [sentence.text for sentence in gold]
    columns = sorted(
        {span.label for sentence in gold for span in sentence.spans}
        | {span.label for run in runs for prediction in run for span in prediction.spans}
    )
    found = []
    for run, signature in zip(runs, signatures or [{}] * len(runs), strict=True):
        scored = score_and_count(
            spans,
            [prediction.spans for prediction in run],
            texts=texts,
            labels=labels,
            claims=[prediction.claims for prediction in run],
            tags=[prediction.tags for prediction in run],
            columns=columns,
        )
        found.append(
            _evaluation(gold, run, scored.scores, scored.counts, signature, resamples, seed)
        )
    return found


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
    )


def _confusion(labels: tuple[str, ...], rows: Sequence[Row]) -> Confusion:
    at = {label: number for number, label in enumerate(labels)}
    none = len(labels)
    matrix = [[0] * (none + 1) for _ in range(none + 1)]
    for row in rows:
        gold, predicted = row.sentence.spans, row.prediction.spans
        for right, found in pairs(gold, predicted):
            matrix[none if right is None else at[gold[right].label]][
                none if found is None else at[predicted[found].label]
            ] += 1
    return Confusion(labels, tuple(map(tuple, matrix)))


def compare(
    a: Evaluation, b: Evaluation, *, resamples: int = 1000, shuffles: int = 10_000, seed: int = 42
) -> Comparison:
    """Set two runs side by side that :func:`evaluate_all` scored together.

    Args:
        a: The first run.
        b: The second run.
        resamples: Bootstrap draws for the intervals of the differences; 0 for none.
        shuffles: Shuffles for their p.
        seed: Seed of both.

    Raises:
        MismatchError: They were not: other sentences, or counted over other labels.
        InputError: A negative number of resamples, or no shuffle.
    """
    if [row.sentence for row in a.rows] != [row.sentence for row in b.rows]:
        raise MismatchError(
            "two runs on different sentences", hint="score both on one corpus and sample"
        )
    changes = tuple(
        Change(number, (len(one.faults), len(other.faults)))
        for number, (one, other) in enumerate(zip(a.rows, b.rows, strict=True))
        if one.prediction.spans != other.prediction.spans
    )
    differences = compare_counts(
        a.counts, b.counts, resamples=resamples, shuffles=shuffles, seed=seed
    )
    if bool(a.replies) != bool(b.replies):
        # What a reply says and what a tagger's spans cover are different things to count.
        differences = {
            name: held for name, held in differences.items() if not name.startswith("text.")
        }
    return Comparison(
        differences,
        changes,
        sum(change.errors[1] < change.errors[0] for change in changes),
        sum(change.errors[1] > change.errors[0] for change in changes),
        f"paired bootstrap {LEVEL:.0%}, n={resamples}; approximate randomisation, n={shuffles}; "
        f"seed={seed}",
    )


def write_run(evaluation: Evaluation, path: Path) -> None:
    """Keep a run: figures, signature and every sentence, as JSON for :func:`read_run`.

    Raises:
        InputError: The file cannot be written.
    """
    with whole_file(path) as stream:
        stream.write(dump_json(evaluation.to_run()) + b"\n")


def read_run(path: Path) -> tuple[list[Sentence], list[Prediction], dict[str, Any]]:
    """Gold sentences, predictions and signature of a run that :func:`write_run` kept.

    Raises:
        CorpusError: The file is not such a run.
    """
    run = read_json(path, hint="expected what evaluate --output writes")
    rows = run.get("rows") if isinstance(run, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CorpusError(
            "holds no rows",
            path=path,
            hint="expected what evaluate --output writes (--json leaves rows out)",
        )
    gold, predictions = [], []
    for number, row in enumerate(rows, 1):
        text, id = row_text_and_id(path, number, row)
        sides = []
        for key in ("gold", "spans"):
            given = row.get(key)
            if not isinstance(given, list):
                raise CorpusError(f"row {number} has no list {key!r}", path=path, id=id)
            sides.append(tuple(span_of_row(path, number, id, span) for span in given))
        tags = row.get("tags")
        if tags is not None and not (
            isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
        ):
            raise CorpusError(f"row {number}: 'tags' is not a list of strings", path=path, id=id)
        try:
            gold.append(Sentence(text, sides[0], id))
            known = reply_of(row, path, number)
            predictions.append(
                Prediction(text, sides[1], id, *known, None if tags is None else tuple(tags))
            )
        except (SpanError, TagError) as error:
            raise CorpusError(
                error.problem, path=path, line=number, id=id, hint=error.hint
            ) from None
    signature = run.get("signature")
    if too_deep(signature):
        raise CorpusError("its signature is nested too deeply", path=path)
    return gold, predictions, signature if isinstance(signature, dict) else {}


def signature_line(signature: Mapping[str, Any]) -> str:
    """The signature on one line: ``key:value|key:value``; what is not known is left out."""
    parts = []
    for key, value in signature.items():
        if isinstance(value, Mapping):
            value = ",".join(f"{k}={v}" for k, v in value.items() if v is not None)
        if value is not None:
            parts.append(f"{key}:{value}")
    return "|".join(parts)
