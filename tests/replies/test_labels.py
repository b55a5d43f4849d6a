"""Labels of whole texts: written and read back exactly, and read in any style of models."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner.engines.grammars import is_answer, reply_grammar, reply_schema, schema_grammar
from llmner.extraction.confidence import vote
from llmner.projection import project_reply
from llmner.recipes import Recipe
from llmner.replies import LABEL_FORMATS, read_exact, read_reply, render_reply
from llmner.schema import LabelSchema
from llmner.spans import Sentence, Span, TextLabel
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from _label_noise import DAMAGES, SCHEMA, damaged

CODES = [label.code for label in SCHEMA.text_labels]
KOTE = Recipe.load("kote").schema_
MAMS = Recipe.load("mams-aspects").schema_
FULL = LabelSchema.model_validate(
    {
        "text_labels": [
            {"code": "delivery", "name": "배송", "evidence": True, "attributes": {"why": "text"}},
            {
                "code": "sound",
                "name": "sound quality",
                "attributes": {"tone": ["good", "bad"], "sure": "boolean"},
            },
        ]
    }
)


def given_labels(reply: str, schema: LabelSchema, text: str = "리뷰") -> dict[str, dict[str, Any]]:
    labels = project_reply(text, reply, schema, "labels").labels
    return {label.label: dict(label.attributes) for label in labels}


@pytest.mark.parametrize("format", sorted(LABEL_FORMATS))
@given(values=st.dictionaries(st.sampled_from(CODES), st.integers(-2, 2)))
def test_what_is_written_is_read_back(format: str, values: dict[str, int]) -> None:
    labels = tuple(TextLabel(code, {"sentiment": value}) for code, value in values.items())
    reply = render_reply(Sentence("리뷰", labels=labels), format, SCHEMA)
    exact = read_exact(reply, SCHEMA, format)
    assert exact is not None
    assert {m.label: m.attributes["sentiment"] for m in exact.labels} == values
    assert exact.status == "ok"
    assert given_labels(reply, SCHEMA) == {k: {"sentiment": v} for k, v in values.items()}


@pytest.mark.parametrize("format", sorted(LABEL_FORMATS))
def test_grammars_hold_replies_to_labels_and_values(format: str) -> None:
    pytest.importorskip("llguidance", reason='needs pip install "llmner[local]"')
    labels = (TextLabel("배송", {"sentiment": -1}), TextLabel("디자인", {"sentiment": 2}))
    grammars = [reply_grammar("리뷰", format, SCHEMA)]
    if LABEL_FORMATS[format].json_schema is not None:
        grammars.append(schema_grammar(reply_schema(format, SCHEMA)))
    reply = render_reply(Sentence("리뷰", labels=labels), format, SCHEMA)
    for grammar in grammars:
        assert is_answer(reply, grammar)
        assert is_answer(render_reply(Sentence("리뷰"), format, SCHEMA), grammar)
        assert not is_answer(reply.replace("2", "7"), grammar)
        assert not is_answer(reply.replace("배송", "배속"), grammar)


def test_evidence_is_held_to_the_text() -> None:
    pytest.importorskip("llguidance", reason='needs pip install "llmner[local]"')
    text = "이틀이나 늦게 왔고 소리는 좋아요"
    label = TextLabel("delivery", {"why": "늦음"}, evidence=(Span(0, 7, "delivery"),))
    sound = TextLabel("sound", {"tone": "good", "sure": True})
    reply = render_reply(Sentence(text, labels=(sound, label)), "json-list", FULL)
    assert reply.startswith('[{"label": "delivery", "why": "늦음", "evidence": ["이틀이나 늦게"]}')
    grammar = reply_grammar(text, "json-list", FULL)
    assert is_answer(reply, grammar)
    assert not is_answer(reply.replace("이틀이나 늦게", "사흘이나 늦게"), grammar)
    projection = project_reply(text, reply, FULL, "json-list")
    assert projection.labels == (label, sound)
    assert projection.labels[0].evidence == label.evidence


@pytest.mark.parametrize("name", list(DAMAGES))
def test_damaged_replies_are_read(name: str) -> None:
    rows = [row for row in damaged(640, seed=1) if row[0] == name]
    wrong = [
        reply
        for _, reply, answer in rows
        if given_labels(reply, SCHEMA) != {k: {"sentiment": v} for k, v in answer.items()}
    ]
    assert not wrong[: len(rows) // 50]


@pytest.mark.parametrize(
    ("schema", "reply", "labels"),
    [
        (KOTE, "고마움, 슬픔", ["고마움", "슬픔"]),
        (KOTE, "- 화남/분노\n- 짜증", ["화남/분노", "짜증"]),
        (KOTE, '["감동/감탄", "행복"]', ["감동/감탄", "행복"]),
        (KOTE, '{"감정": ["기쁨"]}', ["기쁨"]),
        (KOTE, "없음", ["없음"]),
        (KOTE, "이 댓글의 감정은 다음과 같습니다.\n기쁨, 행복", ["기쁨", "행복"]),
        (MAMS, "Food: Positive; Waiter: negative", ["food", "staff"]),
        (MAMS, '{"food": "positive", "price": null, "menu": "none"}', ["food"]),
        (FULL, "sound quality: good / yes", ["sound"]),
        (SCHEMA, "-", []),
        (SCHEMA, "", []),
    ],
)
def test_any_label_set_is_read(schema: LabelSchema, reply: str, labels: list[str]) -> None:
    assert list(given_labels(reply, schema)) == labels


def test_what_the_schema_does_not_know_is_an_outcome() -> None:
    projection = project_reply("리뷰", "디자인1, 배송: 보라, 색감1", SCHEMA, "labels")
    kinds = {outcome.mention.label: outcome.kind for outcome in projection.label_outcomes}
    assert kinds == {"디자인": "given", "배송": "given", "색감": "unknown_label"}
    unknown = next(o for o in projection.label_outcomes if o.mention.label == "배송")
    assert [own.kind for own in unknown.attributes] == ["unknown_value"]
    assert projection.labels[1].attributes == {}


def test_votes_among_samples_decide_labels_and_attributes() -> None:
    replies = ["배송: -1, 맛: 1", "배송: -2", "배송: -1"]
    projections = [project_reply("리뷰", reply, SCHEMA, "labels") for reply in replies]
    (label,) = vote(projections).labels
    assert (label.label, label.attributes, label.score) == ("배송", {"sentiment": -1}, 1.0)


@given(st.text(max_size=200) | st.text(alphabet="배송디자인:,-+1 2\n|[]{}\"'", max_size=60))
def test_no_reply_raises(reply: str) -> None:
    for schema in (SCHEMA, KOTE, FULL):
        read_reply(reply, schema, "labels")
        project_reply("배송이 늦어요", reply, schema, "labels")
