"""The figures themselves: seqeval's and KLUE's on IOB2 tags, one tag a character; the rest from offsets."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any, TypeAlias

from llmner.errors import MismatchError
from llmner.scoring._counts import Claims, Counts, KlueTags, count, surfaces
from llmner.scoring._partial import MODES
from llmner.spans import Span, check_spans
from llmner.tagging import spans_to_tags, tags_to_spans

__all__ = ["KLUE_LABELS", "PRF", "KlueScores", "LabelScore", "ModeScore", "Scores", "score", "score_and_count"]

Tags: TypeAlias = list[list[str]]

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
class ModeScore(PRF):
    """Figures of one of SemEval-2013's modes, with the counts they come from.

    Attributes:
        correct: Predictions that are right in this mode.
        incorrect: Predictions that overlap a gold entity and are wrong.
        partial: Overlaps that count half (mode ``partial`` only).
        missed: Gold entities no prediction overlaps.
        spurious: Predictions that overlap no gold entity that is free.
    """

    correct: int
    incorrect: int
    partial: int
    missed: int
    spurious: int


@dataclass(frozen=True, slots=True)
class Scores:
    """All figures of one set of predictions.

    Attributes:
        sentences: Number of sentences.
        gold_spans: Number of gold spans.
        predicted_spans: Number of predicted spans.
        micro: seqeval's default (lenient) micro average.
        strict: seqeval's strict IOB2 micro average. Spans make valid tags, so it differs from ``micro`` only
            where predictions were read from broken tags.
        macro: Unweighted mean over labels, lenient.
        weighted: Mean over labels weighted by their gold entities, lenient.
        per_label: Lenient figures of each label that occurs in gold or predictions.
        klue: KLUE's pair, or ``None`` where no texts were given.
        spans: The micro average counted from offsets, without tags.
        partial: SemEval-2013's modes ``strict``, ``exact``, ``partial`` and ``type``.
        text: (label, surface) pairs compared a sentence at a time, places ignored and each counted once;
            ``None`` where neither texts nor claims were given.
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

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON."""
        return asdict(self)


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

    Spans are written as IOB2 tags, one a code point, and handed to seqeval, so figures are comparable
    with any tagger's that is scored per character. KLUE's pair follows KLUE-baseline: characters that are
    spaces are dropped, all sentences are joined with an ``O`` before and after each, entity F1 is the
    strict IOB2 macro average, character F1 the macro average over all tags with ``zero_division=1``.

    Args:
        gold: Gold spans of each sentence.
        predicted: Predicted spans of each sentence, in the same order.
        texts: The sentences, for KLUE's pair and the comparison of texts.
        labels: The label set whose tags character F1 averages over; KLUE's six where those cover gold's
            labels, else gold's labels.
        claims: (label, surface) pairs that replies claimed, for the comparison of texts; by default what
            the predicted spans cover.
        tags: For sentences whose predicted spans were read from broken IOB2 tags these tags, one a character,
            and ``None`` for the others: what strict IOB2 and KLUE make of them.

    Raises:
        MismatchError: The sequences differ in length, or there are none.
        SpanError: Spans of one sentence overlap, or lie outside its text.
    """
    return score_and_count(gold, predicted, texts=texts, labels=labels, claims=claims, tags=tags).scores


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
    """As :func:`score`, with the counts of each sentence; ``columns`` are the labels to count, at least all
    that occur.
    """
    if len(gold) != len(predicted) or any(x is not None and len(x) != len(gold) for x in (texts, claims, tags)):
        given = f"{len(gold)} gold and {len(predicted)} predicted sentences"
        raise MismatchError(
            given if texts is None else f"{given} for {len(texts)} texts", hint="one of each a sentence"
        )
    if not gold:
        raise MismatchError("nothing to score", hint="give at least one sentence")
    lengths = [
        len(texts[number])
        if texts is not None
        else max((span.end for span in (*gold[number], *predicted[number])), default=0) + 1
        for number in range(len(gold))
    ]
    rights = [check_spans(spans, length) for spans, length in zip(gold, lengths, strict=True)]
    founds = [check_spans(spans, length) for spans, length in zip(predicted, lengths, strict=True)]
    gold_labels = {span.label for spans in rights for span in spans}
    if columns is None:
        columns = sorted(gold_labels | {span.label for spans in founds for span in spans})
    # seqeval takes labels apart at hyphens and calls its averages like labels: it gets names of our own.
    neutral = {label: f"L{number:06}" for number, label in enumerate(columns)}

    def written(sides: Sequence[Sequence[Span]]) -> Tags:
        return [
            spans_to_tags((replace(span, label=neutral[span.label]) for span in spans), length)
            for spans, length in zip(sides, lengths, strict=True)
        ]

    gold_tags, predicted_tags = written(rights), written(founds)
    raw_tags, stricts = predicted_tags, founds
    if tags is not None:
        raw_tags = [
            row if held is None else [tag if tag == "O" else f"{tag[:2]}{neutral[tag[2:]]}" for tag in held]
            for row, held in zip(predicted_tags, tags, strict=True)
        ]
        stricts = [
            spans if held is None else tuple(Span(*part) for part in tags_to_spans(held, drop=True)[0])
            for spans, held in zip(founds, tags, strict=True)
        ]
    lenient = _report(*_squeezed(gold_tags, predicted_tags))
    strictly = _report(*_squeezed(gold_tags, raw_tags), strict=True)
    per_label = {
        label: LabelScore(
            float(row["precision"]), float(row["recall"]), float(row["f1-score"]), int(row["support"])
        )
        for label, name in neutral.items()
        if (row := lenient.get(name)) is not None
    }
    klue = klue_tags = pairs = None
    if texts is not None:
        klue_tags = KlueTags(
            gold=_padded(texts, gold_tags),
            predicted=_padded(texts, raw_tags),
            tags=_tag_set([neutral.get(label, label) for label in labels or _label_set(gold_labels)]),
            columns={name: at for at, name in enumerate(neutral.values())},
        )
        klue = _klue(klue_tags)
        said = [surfaces(text, spans) for text, spans in zip(texts, founds, strict=True)]
        pairs = (
            [surfaces(text, spans) for text, spans in zip(texts, rights, strict=True)],
            said if claims is None else claims,
        )
    counts = count(rights, founds, stricts, columns, klue=klue_tags, text=pairs)
    figures = {name: float(value[0]) for name, value in counts.figures(counts.table.sum(0)[None]).items()}

    def prf(name: str) -> PRF:
        return PRF(*(figures[f"{name}.{part}"] for part in ("precision", "recall", "f1")))

    modes = counts.table.sum(0)[-5 * len(MODES) :].reshape(len(MODES), 5).astype(int).tolist()
    partial = {
        mode: ModeScore(*astuple(prf(f"partial.{mode}")), *row) for mode, row in zip(MODES, modes, strict=True)
    }
    scores = Scores(
        sentences=len(gold),
        gold_spans=sum(map(len, rights)),
        predicted_spans=sum(map(len, founds)),
        micro=_prf(lenient.get("micro avg")),
        strict=_prf(strictly.get("micro avg")),
        macro=_prf(lenient.get("macro avg")),
        weighted=_prf(lenient.get("weighted avg")),
        per_label=per_label,
        klue=klue,
        spans=prf("spans"),
        partial=partial,
        text=None if pairs is None else prf("text"),
    )
    return Scored(scores, counts)


def _squeezed(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], long: int = 100
) -> tuple[Tags, Tags]:
    """The same entities in shorter sequences, since seqeval is quadratic in a sequence's length.

    Positions that repeat the one before them on both sides, without beginning anything, are left out; a
    ``long`` sequence is cut where neither side has an entity.
    """
    shorter: tuple[Tags, Tags] = [], []
    for right, found in zip(gold, predicted, strict=True):
        rights: list[str] = []
        founds: list[str] = []
        last: tuple[str, str] | None = None
        for pair in zip(right, found, strict=True):
            if pair == last and pair[0][0] != "B" and pair[1][0] != "B":
                continue
            rights.append(pair[0])
            founds.append(pair[1])
            last = pair
            if pair == ("O", "O") and len(rights) >= long:
                shorter[0].append(rights)
                shorter[1].append(founds)
                rights, founds = [], []
        if rights or not shorter[0]:
            shorter[0].append(rights)
            shorter[1].append(founds)
    return shorter


def _report(gold: Tags, predicted: Tags, *, strict: bool = False) -> dict[str, Any]:
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


def _label_set(gold: set[str]) -> tuple[str, ...]:
    """The labels whose tags are averaged over: those of the task, whatever else was predicted."""
    return KLUE_LABELS if gold <= set(KLUE_LABELS) else tuple(sorted(gold))


def _tag_set(labels: Sequence[str]) -> list[str]:
    """All tags of a label set, in KLUE-baseline's order: 13 for KLUE's own."""
    return [f"{prefix}-{label}" for label in labels for prefix in "BI"] + ["O"]


def _padded(texts: Sequence[str], tags: Sequence[Sequence[str]]) -> Tags:
    """Each sentence's tags without its spaces, an ``O`` before and after."""
    return [
        ["O", *(tag for char, tag in zip(text, row, strict=True) if char != " "), "O"]
        for text, row in zip(texts, tags, strict=True)
    ]


def _klue(klue: KlueTags) -> KlueScores:
    from sklearn.metrics import f1_score

    # KLUE-baseline joins all sentences into one sequence. The O around each keeps entities from crossing,
    # so a sequence a sentence gives the same entities, and seqeval is quadratic in a sequence's length.
    report = _report(*_squeezed(klue.gold, klue.predicted), strict=True)
    # scikit-learn compares numbers far faster than strings.
    number = {tag: at for at, tag in enumerate(klue.tags)}
    other = len(klue.tags)
    char_f1 = f1_score(
        [number.get(tag, other) for row in klue.gold for tag in row],
        [number.get(tag, other) for row in klue.predicted for tag in row],
        labels=list(range(other)),
        average="macro",
        zero_division=1,
    )
    entities = report.get("macro avg")
    return KlueScores(
        entity_f1=_prf(entities).f1,
        char_f1=float(char_f1),
        gold_entities=0 if entities is None else int(entities["support"]),
    )
