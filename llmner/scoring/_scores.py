"""The figures themselves, all through seqeval and scikit-learn on IOB2 tags, one tag a character."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llmner.errors import MismatchError
from llmner.spans import Span, check_spans
from llmner.tagging import spans_to_tags

__all__ = ["KLUE_LABELS", "PRF", "KlueScores", "LabelScore", "Scores", "score"]

KLUE_LABELS = ("PS", "LC", "OG", "DT", "TI", "QT")
"""KLUE-NER's label set; its character F1 is a macro average over all 13 tags these give."""


@dataclass(frozen=True, slots=True)
class PRF:
    """Precision, recall and F1, as fractions from 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class LabelScore(PRF):
    """One label's figures; ``support`` counts its gold entities."""

    support: int


@dataclass(frozen=True, slots=True)
class KlueScores:
    """KLUE's official pair, as fractions from 0 to 1.

    Attributes:
        entity_f1: Macro F1 over labels, strict IOB2.
        char_f1: Macro F1 over character tags.
        gold_entities: Strict gold entities left once spaces are dropped (an entity that begins with a
            space loses its ``B-`` and is none).
    """

    entity_f1: float
    char_f1: float
    gold_entities: int


@dataclass(frozen=True, slots=True)
class Scores:
    """All figures of one set of predictions.

    Attributes:
        sentences: Number of sentences.
        gold_spans: Number of gold spans.
        predicted_spans: Number of predicted spans.
        micro: seqeval's default (lenient) micro average.
        strict: seqeval's strict IOB2 micro average.
        macro_f1: Unweighted mean of the labels' lenient F1.
        per_label: Lenient figures of each label that occurs in gold or predictions.
        klue: KLUE's pair, or ``None`` where no texts were given.
    """

    sentences: int
    gold_spans: int
    predicted_spans: int
    micro: PRF
    strict: PRF
    macro_f1: float
    per_label: dict[str, LabelScore]
    klue: KlueScores | None

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON."""
        return asdict(self)


def score(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    *,
    texts: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> Scores:
    """Score predictions against gold, sentence by sentence.

    Spans are written as IOB2 tags, one a code point, and handed to seqeval, so figures are comparable
    with any tagger's that is scored per character. KLUE's pair follows KLUE-baseline: characters that are
    spaces are dropped, all sentences are joined with an ``O`` before and after each, entity F1 is the
    strict IOB2 macro average, character F1 the macro average over all tags with ``zero_division=1``.

    Args:
        gold: Gold spans of each sentence.
        predicted: Predicted spans of each sentence, in the same order.
        texts: The sentences, for KLUE's pair.
        labels: The label set whose tags character F1 averages over; KLUE's six where those cover all
            that occurs, else the labels that occur.

    Raises:
        MismatchError: The sequences differ in length, or there are none.
        SpanError: Spans of one sentence overlap, or lie outside its text.
    """
    if len(gold) != len(predicted) or (texts is not None and len(texts) != len(gold)):
        given = f"{len(gold)} gold and {len(predicted)} predicted sentences"
        raise MismatchError(
            given if texts is None else f"{given} for {len(texts)} texts", hint="one of each a sentence"
        )
    if not gold:
        raise MismatchError("nothing to score", hint="give at least one sentence")
    gold_tags, predicted_tags = [], []
    for number, (right, found) in enumerate(zip(gold, predicted, strict=True)):
        length = (
            len(texts[number])
            if texts is not None
            else max((span.end for span in (*right, *found)), default=0) + 1
        )
        gold_tags.append(spans_to_tags(check_spans(right, length), length))
        predicted_tags.append(spans_to_tags(check_spans(found, length), length))

    lenient, strict = _report(gold_tags, predicted_tags), _report(gold_tags, predicted_tags, strict=True)
    averages = ("micro avg", "macro avg", "weighted avg")
    occurring = {span.label for spans in (*gold, *predicted) for span in spans}
    per_label = {
        label: LabelScore(
            float(row["precision"]), float(row["recall"]), float(row["f1-score"]), int(row["support"])
        )
        for label, row in lenient.items()
        if label not in averages or label in occurring
    }
    klue = None
    if texts is not None:
        klue = _klue(texts, gold_tags, predicted_tags, labels or _label_set(occurring))
    return Scores(
        sentences=len(gold),
        gold_spans=sum(len(spans) for spans in gold),
        predicted_spans=sum(len(spans) for spans in predicted),
        micro=_prf(lenient.get("micro avg")),
        strict=_prf(strict.get("micro avg")),
        macro_f1=_prf(lenient.get("macro avg")).f1,
        per_label=per_label,
        klue=klue,
    )


def _report(gold: list[list[str]], predicted: list[list[str]], *, strict: bool = False) -> dict[str, Any]:
    """seqeval's classification report, in its default mode or as strict IOB2."""
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    mode = {"mode": "strict", "scheme": IOB2} if strict else {}
    with warnings.catch_warnings():
        # Its averages over no entity at all are the mean of nothing; _prf makes that 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        report: dict[str, Any] = classification_report(
            gold, predicted, output_dict=True, zero_division=0, **mode
        )
    return report


def _prf(row: dict[str, float] | None) -> PRF:
    if row is None or math.isnan(row["f1-score"]):
        return PRF(0.0, 0.0, 0.0)
    return PRF(float(row["precision"]), float(row["recall"]), float(row["f1-score"]))


def _label_set(occurring: set[str]) -> tuple[str, ...]:
    return KLUE_LABELS if occurring <= set(KLUE_LABELS) else tuple(sorted(occurring))


def _padded(texts: Sequence[str], tags: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each sentence's tags without its spaces, an ``O`` before and after."""
    return [
        ["O", *(tag for char, tag in zip(text, row, strict=True) if char != " "), "O"]
        for text, row in zip(texts, tags, strict=True)
    ]


def _klue(
    texts: Sequence[str],
    gold_tags: Sequence[Sequence[str]],
    predicted_tags: Sequence[Sequence[str]],
    labels: Sequence[str],
) -> KlueScores:
    from sklearn.metrics import f1_score

    gold, predicted = _padded(texts, gold_tags), _padded(texts, predicted_tags)
    # KLUE-baseline joins all sentences into one sequence. The O around each keeps entities from crossing,
    # so a sequence a sentence gives the same entities, and seqeval is quadratic in a sequence's length.
    report = _report(gold, predicted, strict=True)
    tags = [f"{prefix}-{label}" for label in labels for prefix in "BI"] + ["O"]
    # scikit-learn compares numbers far faster than strings.
    number = {tag: at for at, tag in enumerate(tags)}
    other = len(tags)
    char_f1 = f1_score(
        [number.get(tag, other) for row in gold for tag in row],
        [number.get(tag, other) for row in predicted for tag in row],
        labels=list(range(len(tags))),
        average="macro",
        zero_division=1,
    )
    entities = report.get("macro avg")
    return KlueScores(
        entity_f1=_prf(entities).f1,
        char_f1=float(char_f1),
        gold_entities=0 if entities is None else int(entities["support"]),
    )
