from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report, precision_score, recall_score
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.scheme import IOB2, Entities
from sklearn.metrics import f1_score

from llmner.corpora import read_corpus
from llmner.errors import MismatchError, SpanError
from llmner.scoring import KLUE_LABELS, Scores, score
from llmner.spans import Sentence, Span
from llmner.tagging import spans_to_tags, tags_to_spans
from tests.scoring.runs import random_run, runs


def spans_of(tags: Sequence[str]) -> list[Span]:
    return [Span(*part) for part in tags_to_spans(tags)[0]]


@pytest.mark.slow
def test_gold_against_gold_is_one(klue_dev: Path) -> None:
    corpus = list(read_corpus(klue_dev))
    spans = [sentence.spans for sentence in corpus]
    scores = score(spans, spans, texts=[sentence.text for sentence in corpus])
    assert scores.klue is not None
    assert (scores.klue.entity_f1, scores.klue.char_f1) == (1.0, 1.0)
    assert scores.klue.gold_entities == 14255
    assert (scores.micro.f1, scores.strict.f1, scores.macro.f1, scores.weighted.f1) == (
        1.0,
        1.0,
        1.0,
        1.0,
    )
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
    assert scores.klue.entity_f1 == scores.macro.f1 == pytest.approx(2 / 3 / 4)
    # One gold entity each of PS, LC and QT.
    assert scores.weighted.f1 == pytest.approx(2 / 3 / 3)
    assert astuple(scores.spans) == pytest.approx(astuple(scores.micro))
    # The place of 세명 is right with another label; 춘천 is overlapped; the PS of the last is
    # spurious.
    counts = {mode: astuple(row)[3:] for mode, row in scores.partial.items()}
    assert counts == {
        "strict": (1, 2, 0, 0, 1),
        "exact": (2, 1, 0, 0, 1),
        "partial": (2, 0, 1, 0, 1),
        "type": (2, 1, 0, 0, 1),
    }
    assert scores.partial["partial"].f1 == pytest.approx(2 * 2.5 / 7)


def test_texts_are_compared_without_their_places() -> None:
    text = "서울과 서울, 7.2㎞"
    gold = [(Span(0, 2, "LC"), Span(4, 6, "LC"), Span(8, 12, "QT"))]
    found = score(gold, [(Span(4, 6, "LC"),)], texts=[text]).text
    # A name counts once, wherever it stands.
    assert found is not None
    assert (found.precision, found.recall) == (1.0, 0.5)
    # What a reply claimed may be given instead, in canonical form.
    said = score(
        gold, [()], texts=[text], claims=[frozenset({("LC", "서울"), ("QT", "7.2km")})]
    ).text
    assert said is not None
    assert said.f1 == 1
    assert score(gold, [()]).text is None


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


def klue_restated(gold: list[Sentence], predicted: list[Sentence]) -> tuple[float, float]:
    """KLUE's pair counted by hand, over one joined sequence, as KLUE-baseline joins it."""

    def joined(side: list[Sentence]) -> list[str]:
        tags: list[str] = []
        for sentence in side:
            tags += [
                "O",
                *(t for c, t in zip(sentence.text, sentence.tags(), strict=True) if c != " "),
                "O",
            ]
        return tags

    def entities(tags: list[str]) -> set[tuple[str, int, int]]:
        found, at = set(), 0
        while at < len(tags):
            if tags[at].startswith("B-"):
                end = at + 1
                while end < len(tags) and tags[end] == "I-" + tags[at][2:]:
                    end += 1
                # Strict: an I- of another label right behind spoils nothing, the entity is
                # complete.
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
        f1(
            len({e for e in x & y if e[0] == n}),
            sum(e[0] == n for e in x),
            sum(e[0] == n for e in y),
            0,
        )
        for n in labels
    ]
    tags = ["O", *(f"{p}-{label}" for label in KLUE_LABELS for p in "BI")]
    per_tag = [
        f1(sum(s == t == tag for s, t in zip(a, b, strict=True)), a.count(tag), b.count(tag), 1)
        for tag in tags
    ]
    return (sum(per_label) / len(per_label) if per_label else 0.0), sum(per_tag) / len(tags)


@settings(deadline=None, max_examples=150)
@given(runs())
def test_klues_pair_against_an_independent_count(
    run: tuple[list[Sentence], list[Sentence]],
) -> None:
    gold, predicted = run
    scores = score(
        [s.spans for s in gold], [s.spans for s in predicted], texts=[s.text for s in gold]
    )
    assert scores.klue is not None
    entity_f1, char_f1 = klue_restated(gold, predicted)
    assert scores.klue.entity_f1 == pytest.approx(entity_f1)
    assert scores.klue.char_f1 == pytest.approx(char_f1)


def broken(tags: list[str], text: str, gold: tuple[Span, ...]) -> Scores:
    """Scores of spans that were read from tags as they stand."""
    return score([gold], [spans_of(tags)], texts=[text], tags=[tags])


def test_strict_figures_leave_out_what_broken_tags_began() -> None:
    # Tags I-PS I-PS O B-LC: seqeval's default mode has two entities, its strict mode one.
    tags = ["I-PS", "I-PS", "O", "B-LC"]
    scores = broken(tags, "가나다라", (Span(0, 2, "PS"), Span(3, 4, "LC")))
    right = [["B-PS", "I-PS", "O", "B-LC"]]
    assert scores.micro.f1 == seqeval_f1(right, [tags]) == 1
    assert scores.strict.f1 == pytest.approx(seqeval_f1(right, [tags], mode="strict", scheme=IOB2))
    assert scores.klue is not None
    assert (
        scores.klue.entity_f1
        == seqeval_f1(right, [tags], mode="strict", scheme=IOB2, average="macro")
        == 0.5
    )


def test_klue_drops_spaces_before_it_looks_at_tags() -> None:
    # A tagger that gives no entity tag to spaces: two broken pieces as they stand, one entity to
    # KLUE.
    scores = broken(["B-PS", "O", "I-PS", "O", "O"], "김 구 씨", (Span(0, 3, "PS"),))
    assert scores.micro.f1 == 0
    assert scores.klue is not None
    assert (scores.klue.entity_f1, scores.klue.char_f1) == (1, 1)


@settings(deadline=None, max_examples=150)
@given(runs(), st.integers(0, 1000))
def test_klues_pair_of_broken_tags_is_that_of_the_tags_themselves(
    run: tuple[list[Sentence], list[Sentence]], seed: int
) -> None:
    gold, found = run
    rng = random.Random(seed)
    tags = [
        [f"I{t[1:]}" if t[0] == "B" and rng.random() < 0.4 else t for t in s.tags()] for s in found
    ]
    scores = score(
        [s.spans for s in gold],
        [spans_of(row) for row in tags],
        texts=[s.text for s in gold],
        tags=tags,
    )
    joined: list[list[str]] = []
    for side in ([s.tags() for s in gold], tags):
        joined.append([])
        for s, row in zip(gold, side, strict=True):
            joined[-1] += ["O", *(t for c, t in zip(s.text, row, strict=True) if c != " "), "O"]
    names = [f"{prefix}-{label}" for label in KLUE_LABELS for prefix in "BI"] + ["O"]
    assert scores.klue is not None
    assert scores.klue.char_f1 == pytest.approx(
        f1_score(joined[0], joined[1], labels=names, average="macro", zero_division=1)
    )
    if any(t.startswith("B") for t in joined[0]):
        strict = seqeval_f1(
            [joined[0]], [joined[1]], mode="strict", scheme=IOB2, average="macro", zero_division=0
        )
        assert scores.klue.entity_f1 == pytest.approx(float(strict))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(("O", "B-PS", "I-PS", "B-LC", "I-LC")), min_size=1, max_size=12))
def test_dropping_broken_tags_is_what_seqevals_strict_mode_does(tags: list[str]) -> None:
    entities = Entities([tags], IOB2).entities[0]
    assert tags_to_spans(tags, drop=True)[0] == [(e.start, e.end, e.tag) for e in entities]


@pytest.mark.parametrize(
    "label", ["micro avg", "macro avg", "A-", "-A", "A-B", "O", "a b", "개체", "_"]
)
def test_any_label_is_scored_by_its_own_figures(label: str) -> None:
    gold = [(Span(0, 1, label), Span(2, 3, "PS")), (Span(0, 1, label),)]
    found = [(Span(0, 1, label), Span(2, 4, "PS")), ()]
    scores = score(gold, found, texts=["가나다라", "가나다라"])
    assert astuple(scores.per_label[label]) == (1, 0.5, pytest.approx(2 / 3), 2)
    assert scores.klue is not None
    assert scores.macro.f1 == scores.klue.entity_f1 == pytest.approx(1 / 3)


def test_character_f1_averages_over_the_tags_of_the_task_whatever_was_predicted() -> None:
    texts = ["손흥민 춘천"]
    gold = [(Span(0, 3, "PS"), Span(4, 6, "LC"))]
    plain = score(gold, [(Span(0, 3, "PS"),)], texts=texts).klue
    foreign = score(gold, [(Span(0, 3, "PS"), Span(4, 6, "CITY"))], texts=texts).klue
    assert plain is not None
    assert foreign is not None
    # B-LC and I-LC are wrong in both; of the O that the first predicts there, two are wrong.
    assert plain.char_f1 == pytest.approx((2 + 0 + 0 + 8 + 2 * 2 / (2 + 4)) / 13, abs=0.02)
    assert foreign.char_f1 == pytest.approx((2 + 8 + 1) / 13)


def test_a_text_of_ten_thousand_entities_is_scored_in_seconds() -> None:
    gold, found = random_run(1, seed=1, length=200_000, entities=10_000)
    started = time.perf_counter()
    scored = score([s.spans for s in gold], [s.spans for s in found], texts=[s.text for s in gold])
    assert scored.gold_spans == 10_000
    assert time.perf_counter() - started < 10


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
    if any(tag != "O" for row in (*a, *b) for tag in row):
        report = classification_report(a, b, output_dict=True, zero_division=0)
        for name, row in (("macro avg", scores.macro), ("weighted avg", scores.weighted)):
            assert row.f1 == pytest.approx(report[name]["f1-score"])
            assert row.recall == pytest.approx(report[name]["recall"])
    assert astuple(scores.spans) == pytest.approx(astuple(scores.micro))
