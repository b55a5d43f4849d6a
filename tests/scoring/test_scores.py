from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics import precision_score, recall_score
from seqeval.scheme import IOB2

from llmner.corpora import read_corpus
from llmner.errors import MismatchError, SpanError
from llmner.scoring import KLUE_LABELS, score
from llmner.spans import Sentence, Span
from llmner.tagging import spans_to_tags
from tests.strategies import sentences


@pytest.mark.slow
def test_gold_against_gold_is_one(klue_dev: Path) -> None:
    corpus = list(read_corpus(klue_dev))
    spans = [sentence.spans for sentence in corpus]
    scores = score(spans, spans, texts=[sentence.text for sentence in corpus])
    assert scores.klue is not None
    assert (scores.klue.entity_f1, scores.klue.char_f1) == (1.0, 1.0)
    assert scores.klue.gold_entities == 14255
    assert (scores.micro.f1, scores.strict.f1, scores.macro_f1) == (1.0, 1.0, 1.0)
    assert scores.gold_spans == 14257


GOLD = [(Span(0, 3, "PS"), Span(5, 7, "LC")), (Span(0, 2, "QT"),), ()]
PREDICTED = [(Span(0, 3, "PS"), Span(5, 8, "LC")), (Span(0, 2, "DT"),), (Span(1, 2, "PS"),)]
TEXTS = ["손흥민은 춘천에서", "세명이", "가나다"]


def test_known_values() -> None:
    scores = score(GOLD, PREDICTED, texts=TEXTS)
    # One of four predictions is right, out of three entities.
    assert (scores.micro.precision, scores.micro.recall) == (0.25, pytest.approx(1 / 3))
    assert scores.micro.f1 == pytest.approx(2 / 7)
    assert scores.per_label["PS"].precision == 0.5
    assert scores.per_label["PS"].recall == 1
    assert scores.per_label["LC"].support == 1
    assert scores.per_label["DT"].f1 == 0
    assert scores.klue is not None
    # Labels PS 2/3, LC 0, QT 0, DT 0.
    assert scores.klue.entity_f1 == pytest.approx(2 / 3 / 4)


def test_without_texts_there_is_no_klue_pair() -> None:
    scores = score(GOLD, PREDICTED)
    assert scores.klue is None
    assert scores.micro == score(GOLD, PREDICTED, texts=TEXTS).micro


def test_nothing_predicted_is_zero_not_a_warning() -> None:
    scores = score([(Span(0, 1, "PS"),)], [()], texts=["가"])
    assert scores.micro.f1 == scores.strict.f1 == 0
    assert score([()], [()], texts=["가"]).micro.f1 == 0


def test_what_does_not_belong_together() -> None:
    with pytest.raises(MismatchError, match="1 gold and 2 predicted sentences"):
        score([()], [(), ()])
    with pytest.raises(MismatchError, match="nothing to score"):
        score([], [])
    with pytest.raises(MismatchError, match="for 3 texts"):
        score([()], [()], texts=["a", "b", "c"])
    with pytest.raises(SpanError, match="ends after the text"):
        score([(Span(0, 5, "PS"),)], [()], texts=["가"])


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Sentence], list[Sentence]]:
    gold = draw(
        st.lists(sentences(st.text(alphabet="가나 다라", min_size=1, max_size=14)), min_size=1, max_size=5)
    )
    seed = draw(st.integers(0, 10_000))
    rng = random.Random(seed)
    predicted = []
    for sentence in gold:
        kept = [
            span if rng.random() < 0.6 else Span(span.start, span.end, rng.choice(KLUE_LABELS))
            for span in sentence.spans
            if rng.random() < 0.8
        ]
        predicted.append(Sentence(sentence.text, tuple(kept)))
    return gold, predicted


def klue_restated(gold: list[Sentence], predicted: list[Sentence]) -> tuple[float, float]:
    """KLUE's pair counted by hand, over one joined sequence, as KLUE-baseline joins it."""

    def joined(side: list[Sentence]) -> list[str]:
        tags: list[str] = []
        for sentence in side:
            tags += ["O", *(t for c, t in zip(sentence.text, sentence.tags(), strict=True) if c != " "), "O"]
        return tags

    def entities(tags: list[str]) -> set[tuple[str, int, int]]:
        found, at = set(), 0
        while at < len(tags):
            if tags[at].startswith("B-"):
                end = at + 1
                while end < len(tags) and tags[end] == "I-" + tags[at][2:]:
                    end += 1
                # Strict: an I- of another label right behind spoils nothing, the entity is complete.
                found.add((tags[at][2:], at, end))
                at = end
            else:
                at += 1
        return found

    def f1(right: int, wanted: int, got: int, empty: float) -> float:
        return 2 * right / (wanted + got) if wanted + got else empty

    a, b = joined(gold), joined(predicted)
    x, y = entities(a), entities(b)
    labels = {label for label, *_ in x | y}
    per_label = [
        f1(len({e for e in x & y if e[0] == n}), sum(e[0] == n for e in x), sum(e[0] == n for e in y), 0)
        for n in labels
    ]
    tags = ["O", *(f"{p}-{label}" for label in KLUE_LABELS for p in "BI")]
    per_tag = [
        f1(sum(s == t == tag for s, t in zip(a, b, strict=True)), a.count(tag), b.count(tag), 1) for tag in tags
    ]
    return (sum(per_label) / len(per_label) if per_label else 0.0), sum(per_tag) / len(tags)


@settings(deadline=None, max_examples=150)
@given(runs())
def test_klues_pair_against_an_independent_count(run: tuple[list[Sentence], list[Sentence]]) -> None:
    gold, predicted = run
    scores = score([s.spans for s in gold], [s.spans for s in predicted], texts=[s.text for s in gold])
    assert scores.klue is not None
    entity_f1, char_f1 = klue_restated(gold, predicted)
    assert scores.klue.entity_f1 == pytest.approx(entity_f1)
    assert scores.klue.char_f1 == pytest.approx(char_f1)


@settings(deadline=None, max_examples=150)
@given(runs())
def test_micro_and_strict_are_seqevals(run: tuple[list[Sentence], list[Sentence]]) -> None:
    gold, predicted = run
    scores = score([s.spans for s in gold], [s.spans for s in predicted])
    a = [spans_to_tags(s.spans, len(s.text) + 1) for s in gold]
    b = [spans_to_tags(s.spans, len(s.text) + 1) for s in predicted]
    assert scores.micro.f1 == pytest.approx(float(seqeval_f1(a, b, zero_division=0)))
    assert scores.micro.precision == pytest.approx(float(precision_score(a, b, zero_division=0)))
    assert scores.micro.recall == pytest.approx(float(recall_score(a, b, zero_division=0)))
    strict = seqeval_f1(a, b, mode="strict", scheme=IOB2, zero_division=0)
    assert scores.strict.f1 == pytest.approx(float(strict))
