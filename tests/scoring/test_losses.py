from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmner.corpora import read_corpus
from llmner.projection import Outcome, project_reply
from llmner.recipes import Recipe
from llmner.replies import render_reply
from llmner.scoring import CAUSES, Evaluation, Prediction, evaluate, find_faults
from llmner.spans import Mention, Sentence, Span
from tests.conftest import ROOT
from tests.scoring.runs import runs
from tests.strategies import sentences

SCHEMA = Recipe.load("klue").schema_
TEXT = "손흥민은 서울과 서울대학교에서 서울을 보았다"
#       0123456789...


def judged(sentence: Sentence, reply: str, **policy: object) -> Prediction:
    found = project_reply(sentence.text, reply, SCHEMA, **policy)
    assert found.reply is not None
    return Prediction(
        sentence.text, found.spans, sentence.id, found.outcomes, found.reply.status, reply
    )


def causes(
    gold: list[Span], predicted: list[Span], text: str = TEXT, **known: object
) -> list[tuple[str, str]]:
    found = find_faults(text, sorted(gold), sorted(predicted), **known)  # type: ignore[arg-type]
    return [(fault.kind, fault.cause) for fault in found]


PS, LC, OG = Span(0, 3, "PS"), Span(5, 7, "LC"), Span(9, 14, "OG")


@pytest.mark.parametrize(
    ("predicted", "cause"),
    [
        ([Span(0, 3, "OG")], "label"),
        ([Span(0, 7, "PS")], "boundary-wide"),
        ([Span(0, 2, "PS")], "boundary-narrow"),
        ([Span(0, 4, "PS")], "boundary-particle"),
        ([Span(2, 6, "PS")], "boundary-crossing"),
        ([Span(0, 4, "OG")], "label-and-boundary"),
    ],
)
def test_an_overlap_is_the_cause_of_both_errors(predicted: list[Span], cause: str) -> None:
    assert causes([PS], predicted) == [("missed", cause), ("wrong", cause)]


def test_a_particle_that_the_gold_span_holds_is_a_particle_too() -> None:
    assert causes([Span(0, 4, "PS")], [PS])[0] == ("missed", "boundary-particle")


def test_a_wide_prediction_costs_every_entity_it_covers_and_fragments_cost_one_each() -> None:
    assert causes([Span(0, 1, "PS"), Span(2, 3, "PS")], [PS]) == [
        ("missed", "boundary-wide"),
        ("missed", "boundary-wide"),
        ("wrong", "boundary-wide"),
    ]
    assert Counter(causes([PS], [Span(0, 1, "PS"), Span(2, 3, "PS")])) == {
        ("missed", "boundary-narrow"): 1,
        ("wrong", "boundary-narrow"): 2,
    }


def test_of_several_overlaps_the_one_of_its_label_says_the_cause() -> None:
    # 서울대학교 predicted over gold 서울 (LC) and 대학교 (OG).
    assert causes([Span(9, 11, "LC"), Span(11, 14, "OG")], [OG]) == [
        ("missed", "label-and-boundary"),
        ("missed", "boundary-wide"),
        ("wrong", "boundary-wide"),
    ]


def test_nothing_of_it_was_named_or_is_an_entity() -> None:
    assert causes([PS], []) == [("missed", "missed")]
    assert causes([], [PS]) == [("wrong", "spurious")]
    assert causes([PS], [PS]) == []


def test_a_name_that_repeats_may_be_listed_too_rarely_or_too_often() -> None:
    again = Span(17, 19, "LC")
    assert causes([LC, again], [LC]) == [("missed", "repeat")]
    assert causes([LC], [LC, again]) == [("wrong", "surplus")]
    # The right name at another of its places is one mistake, not two.
    assert causes([LC], [again]) == [("missed", "misplaced"), ("wrong", "misplaced")]


def test_an_unreadable_or_empty_reply_is_the_cause_of_all_it_lacks() -> None:
    for status in ("unreadable", "empty"):
        assert causes([PS, LC], [], status=status) == [("missed", status)] * 2


def test_of_a_reply_that_was_cut_off_only_what_it_had_not_come_to_is_cut_off() -> None:
    def placed(*spans: Span) -> list[Outcome]:
        return [outcome("exact", span.label, TEXT[span.start : span.end], span) for span in spans]

    cut = {"status": "truncated"}
    assert causes([PS], [], **cut) == [("missed", "cut-off")]
    # It came back to LC after OG, so it goes in the text's order: 손흥민 was passed over.
    first, again, after = Span(5, 7, "LC"), Span(15, 16, "LC"), Span(17, 19, "DT")
    listed = placed(first, OG, again)
    assert causes([PS, first, OG, again, after], [first, OG, again], outcomes=listed, **cut) == [
        ("missed", "missed"),
        ("missed", "cut-off"),
    ]
    # Label by label: PS was gone through, LC was being listed, DT not yet begun.
    person, unnamed, before = Span(15, 16, "PS"), Span(10, 11, "PS"), Span(3, 4, "LC")
    gold = [Span(1, 2, "DT"), before, first, unnamed, person, Span(17, 19, "LC")]
    assert causes(gold, [first, person], outcomes=placed(person, first), **cut) == [
        ("missed", "cut-off"),
        ("missed", "missed"),
        ("missed", "missed"),
        ("missed", "cut-off"),
    ]
    # What is left of a mention that broke off names nothing.
    text = "홍길동은 서울에서 부산으로"
    gold = Sentence(text, (Span(0, 3, "PS"), Span(5, 7, "LC"), Span(10, 12, "LC")))
    found = judged(
        gold,
        '[{"text": "홍길동", "type": "PS"}, {"text": "서울", "type": "LC"}, {"text": "부산", "ty',
    )
    assert found.status == "truncated"
    assert [o.mention.text for o in found.outcomes] == ["홍길동", "서울"]
    (fault,) = find_faults(text, gold.spans, found.spans, found.outcomes, found.status)
    assert fault.cause == "cut-off"


def outcome(kind: str, label: str, text: str, span: Span | None = None) -> Outcome:
    return Outcome(Mention(label, text), kind, span)  # type: ignore[arg-type]


def test_a_mention_that_names_the_entity_was_lost_in_projection() -> None:
    # Placed elsewhere: both errors are the projection's.
    elsewhere = Span(17, 19, "LC")
    placed = [outcome("exact", "LC", "서울", elsewhere)]
    assert causes([LC], [elsewhere], outcomes=placed) == [
        ("missed", "projection"),
        ("wrong", "projection"),
    ]
    # Placed nowhere, in another spelling.
    for kind in ("overlapped", "surplus", "not_found"):
        assert causes([LC], [], outcomes=[outcome(kind, "LC", " 서 울")]) == [
            ("missed", "projection")
        ]
    # One mention answers for one entity.
    assert causes([LC, elsewhere], [], outcomes=[outcome("overlapped", "LC", "서울")]) == [
        ("missed", "projection"),
        ("missed", "missed"),
    ]
    # A mention that is right answers for nothing else.
    assert causes([LC, elsewhere], [LC], outcomes=[outcome("exact", "LC", "서울", LC)]) == [
        ("missed", "repeat")
    ]


def test_a_mention_that_was_trimmed_too_far_was_lost_in_projection() -> None:
    text = "김씨는 웃었다"
    trimmed = [Outcome(Mention("PS", "김씨"), "trimmed", Span(0, 1, "PS"))]
    gold, found = Span(0, 2, "PS"), Span(0, 1, "PS")
    assert causes([gold], [found], text, outcomes=trimmed) == [
        ("missed", "projection"),
        ("wrong", "projection"),
    ]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(list(read_corpus(ROOT / "data" / "sample.tsv"))),
    st.sampled_from(("keep", "trim", "auto")),
)
def test_if_every_entity_is_named_verbatim_perfect_projection_finds_all(
    sentence: Sentence, particles: str
) -> None:
    reply = json.dumps(
        [{"text": sentence.surface(s), "type": s.label} for s in sentence.spans], ensure_ascii=False
    )
    result = evaluate(
        [sentence], [judged(sentence, reply, particles=particles, order="none")], resamples=0
    )
    if sentence.spans:
        assert result.breakdown.ceilings.projection == 1


def test_a_label_nobody_knows_is_a_wrong_label() -> None:
    assert causes([LC], [], outcomes=[outcome("unknown_label", "CITY", "서울")]) == [
        ("missed", "label")
    ]
    assert causes([LC], [], outcomes=[outcome("unknown_label", "CITY", "부산")]) == [
        ("missed", "missed")
    ]


def test_words_the_text_lacks_stand_for_the_entity_of_their_label_they_are_most_like() -> None:
    away = [outcome("not_found", "LC", "수원시"), outcome("not_found", "DT", "어제")]
    gold = [PS, LC, Span(9, 11, "LC")]
    assert causes(gold, [], outcomes=away) == [
        ("missed", "missed"),
        ("missed", "not-in-text"),
        ("missed", "missed"),
    ]
    rewritten = [outcome("not_found", "OG", "서울 대학"), outcome("not_found", "OG", "연세대")]
    found = find_faults(TEXT, [Span(0, 3, "OG"), OG], [], rewritten)
    assert [fault.cause for fault in found] == ["not-in-text", "not-in-text"]


@settings(deadline=None, max_examples=200)
@given(runs())
def test_causes_sum_to_the_loss(run: tuple[list[Sentence], list[Sentence]]) -> None:
    gold, found = run
    result = evaluate(gold, [Prediction(s.text, s.spans, s.id) for s in found], resamples=0)
    assert_adds_up(result)


def assert_adds_up(result: Evaluation) -> None:
    breakdown, scores = result.breakdown, result.scores
    lost = sum(loss.f1_lost for loss in breakdown.losses)
    if scores.gold_spans + scores.predicted_spans:
        assert breakdown.f1 == pytest.approx(scores.micro.f1)
        assert lost == pytest.approx(1 - scores.micro.f1)
    else:
        assert lost == 0
    right = sum(len(set(r.sentence.spans) & set(r.prediction.spans)) for r in result.rows)
    assert sum(loss.missed for loss in breakdown.losses) == scores.gold_spans - right
    assert sum(loss.wrong for loss in breakdown.losses) == scores.predicted_spans - right
    assert [loss.cause for loss in breakdown.losses] == [
        c for c in CAUSES if c in {x.cause for x in breakdown.losses}
    ]
    for loss in breakdown.losses:
        assert breakdown.f1 <= loss.f1_mended <= 1
    held = breakdown.ceilings
    assert breakdown.f1 <= min(held.projection, held.labels, held.boundaries)
    # With perfect labels, what is left to be right is the place: SemEval's exact mode. Where there
    # are replies, some such errors are their projection's.
    if not result.outcomes:
        assert held.labels == pytest.approx(scores.partial["exact"].f1)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(sentences(), min_size=1, max_size=3),
    st.lists(st.text(max_size=40), min_size=3, max_size=3),
)
def test_whatever_a_reply_is_the_loss_has_a_cause(gold: list[Sentence], replies: list[str]) -> None:
    predictions = [judged(s, reply) for s, reply in zip(gold, replies, strict=False)]
    assert_adds_up(evaluate(gold, predictions, resamples=0))


def test_of_perfect_replies_nothing_is_lost_but_in_projection() -> None:
    # The second 서울 is the entity; a reply that does not say which is placed on the first.
    sentence = Sentence("서울에서 서울로", (Span(5, 7, "LC"),))
    result = evaluate(
        [sentence], [judged(sentence, render_reply(sentence, "json-by-type", SCHEMA))], resamples=0
    )
    assert [loss.cause for loss in result.breakdown.losses] == ["projection"]
    assert result.breakdown.ceilings.projection == 1


def test_the_ceiling_of_perfect_replies_on_klue(klue_dev_v1: Path) -> None:
    gold = list(read_corpus(klue_dev_v1))[:1500]
    result = evaluate(
        gold,
        [
            judged(s, render_reply(s, "json-by-type", SCHEMA), order="none", particles="trim")
            for s in gold
        ],
        resamples=0,
    )
    assert_adds_up(result)
    # Trimming every particle and ignoring the order loses some; the labels were all right.
    assert 0.9 < result.breakdown.f1 < result.breakdown.ceilings.projection
    assert not {"label", "label-and-boundary", "not-in-text"} & {
        x.cause for x in result.breakdown.losses
    }


def test_the_recorded_replies_add_up(recorded_replies: Path) -> None:
    rows = [json.loads(line) for line in recorded_replies.read_text("utf-8").splitlines()]
    gold = [
        Sentence(row["text"], tuple(Span(*span) for span in row["gold"]), row["klue_id"])
        for row in rows
    ]
    result = evaluate(
        gold, [judged(s, row["reply"]) for s, row in zip(gold, rows, strict=True)], resamples=0
    )
    assert_adds_up(result)
    found = {loss.cause: loss for loss in result.breakdown.losses}
    # Four replies are empty.
    assert result.replies["empty"] == 4
    assert found["empty"].missed == sum(
        len(row["gold"]) for row in rows if not row["reply"].strip()
    )
    assert found["boundary-wide"].f1_lost > 0.05
