"""What models answer about whole texts: right values, absent ones, and none that is made up."""

from __future__ import annotations

from typing import Any

import pytest

from llmner.projection import project_reply
from llmner.recipes import Recipe
from llmner.schema import LabelSchema


def scale(*values: int) -> LabelSchema:
    return LabelSchema.model_validate(
        {
            "text_labels": [
                {
                    "code": code,
                    "aliases": aliases,
                    "attributes": {"sentiment": {"values": list(values), "required": True}},
                }
                for code, aliases in (
                    ("배송", ["배달", "택배"]),
                    ("디자인", ["외관"]),
                    ("가격", []),
                    ("품질", []),
                )
            ]
        }
    )


S5, S2 = scale(-2, -1, 0, 1, 2), scale(-1, 1)
MAMS, KOTE = Recipe.load("mams-aspects").schema_, Recipe.load("kote").schema_
TWO = LabelSchema.model_validate(
    {
        "text_labels": [
            {"code": code, "attributes": {"sentiment": [-1, 0, 1], "intensity": ["약", "중", "강"]}}
            for code in ("배송", "디자인")
        ]
    }
)
TEXT = "디자인은 예쁜데 배송이 너무 늦었어요."


def read(reply: str, schema: LabelSchema) -> dict[str, Any]:
    labels = project_reply(TEXT, reply, schema, "labels").labels
    return {
        label.label: next(iter(label.attributes.values()), None)
        if len(label.attributes) < 2
        else dict(label.attributes)
        for label in labels
    }


@pytest.mark.parametrize(
    "reply",
    [
        "디자인 점수: 1, 배송 점수: -1",
        "디자인은 1, 배송은 -1",
        "디자인은 1점, 배송은 -1점",
        "디자인 감성: 1, 배송 상태: -1",
        "디자인(예쁨): 1, 배송(늦음): -1",
        "「디자인」: 1, 【배송】-1",
        "디자인: 예쁘다 (1), 배송: 좋지 않음 (-1)",
        "디자인: 1, 배송: 이틀 늦음: -1",
        "디자인: 1\n배송: 2일이나 늦음 → -1",
        "디자인: 1\n배송 2일 걸림: -1",
        "디자인 만족도: 1, 배송 만족도: -1",
        "디자인 만족도: 긍정, 배송 만족도: 부정",
        "긍정: 디자인 / 부정: 배송",
        "+1 디자인, -1 배송",
        "1: 디자인, -1: 배송",
        "긍정 디자인, 부정 배송",
        "긍정: 디자인\n부정: 배송",
        "**긍정**\n- 디자인\n\n**부정**\n- 배송",
        "긍정적 측면: 디자인\n부정적 측면: 배송",
        "| 감성 | 속성 |\n|---|---|\n| 긍정 | 디자인 |\n| 부정 | 배송 |",
        "### 디자인\n- 감성: 1\n### 배송\n- 감성: -1",
        "디자인\n1\n배송\n-1",
        "디자인(+), 배송(-)",
        "디자인: +, 배송: -",
        "디자인 - 1, 배송 - -1",
        "디자인: 1, 배송: -1, 품질: 언급 없음",
        "디자인: 1, 배송: -1, 가격: 언급되지 않음",
        "디자인: 1, 배송: -1, 가격: not mentioned, 품질: N/A",
        "디자인: 1, 배송: -1, 가격: 해당 없음",
        '{"디자인": 1, "배송": -1, "가격": null, "품질": "언급 없음"}',
        '{"디자인": "1점", "배송": "늦어서 부정"}',
        '{"디자인": "긍정 - 예쁨", "배송": ["부정", "늦음"]}',
        '{"긍정": "디자인", "부정": "배송"}',
        '[{"sentiment": "긍정", "labels": ["디자인"]}, {"sentiment": "부정", "labels": ["배송"]}]',
        '{"긍정": [{"label": "디자인"}], "부정": [{"label": "배송"}]}',
        '[{"text": "배송", "label": "디자인", "sentiment": 1}, {"label": "배송", "sentiment": -1}]',
        '[{"label": "디자인", "sentiment": 1}, {"label": "배송", "sentiment": -1},'
        ' {"label": "가격", "sentiment": null}]',
        '{"디자인": {"sentiment": 1}, "배송": {"sentiment": -1}, "가격": {"sentiment": null}}',
        '{"디자인": 1, "배송": -1, "가격": {"mentioned": false, "sentiment": 0}}',
        '{"디자인": 1, "배송": -1, "가',
        '[{"label": "디자인", "sentiment": 1}, {"label": "배송", "sentiment": -1}, {"label": "가격", "se',
        '{"디자인": 1, "배송": -1, "overall": 0, "confidence": 1}',
    ],
)
def test_every_style_says_the_same(reply: str) -> None:
    got = read(reply, S5)
    assert {code: int(value) for code, value in got.items()} == {"디자인": 1, "배송": -1}
    outcomes = project_reply(TEXT, reply, S5, "labels").label_outcomes
    assert not [o for o in outcomes if o.kind == "unknown_label"]


@pytest.mark.parametrize(
    ("schema", "reply", "labels"),
    [
        # A label that shares the value of the next.
        (S5, "디자인, 품질: 1", {"디자인": 1, "품질": 1}),
        (S5, "디자인과 품질: 1", {"디자인": 1, "품질": 1}),
        (S5, '{"label": ["디자인", "품질"], "sentiment": 1}', {"디자인": 1, "품질": 1}),
        # A scale without a middle has none for what is not spoken of.
        (S2, "디자인: 1, 배송: -1, 가격: 0", {"디자인": 1, "배송": -1}),
        (S2, '{"디자인": 1, "가격": 0, "품질": "0"}', {"디자인": 1}),
        (S2, "디자인: 1, 가격: 0 (언급 없음)", {"디자인": 1}),
        # The number was asked for.
        (S5, "디자인: 긍정 (+2)", {"디자인": 2}),
        (S5, "디자인: 중립에 가까운 긍정", {"디자인": 1}),
        # Nothing is made of what is denied, ambiguous, or on another scale.
        (S5, "배송: 긍정적이지 않음", {"배송": None}),
        (S5, "배송: 만족스럽지 않음 (-1)", {"배송": -1}),
        (S5, "디자인: not good", {"디자인": None}),
        (S5, "디자인: 긍정/부정", {"디자인": None}),
        (S5, "디자인: 5점 만점에 4점", {"디자인": None}),
        # Each label on its own line, whatever the format writes.
        (MAMS, "food: positive\nstaff: negative", {"food": "positive", "staff": "negative"}),
        (MAMS, "food: positive; staff: negative", {"food": "positive", "staff": "negative"}),
        (MAMS, "food: positive staff: negative", {"food": "positive", "staff": "negative"}),
        (MAMS, "food: positive\n\nThe waiter was rude.", {"food": "positive"}),
        (MAMS, "Positive: food; Negative: staff", {"food": "positive", "staff": "negative"}),
        (MAMS, "food+, staff-", {"food": "positive", "staff": "negative"}),
        (MAMS, "replacement: positive", {}),
        # Labels without values.
        (KOTE, "기쁨: 있음, 슬픔: 없음", {"기쁨": None}),
        (KOTE, "기쁨 1, 슬픔 0", {"기쁨": None}),
        (KOTE, "| 기쁨 | 1 |\n| 슬픔 | 0 |", {"기쁨": None}),
        (KOTE, "✓ 기쁨\n✗ 슬픔", {"기쁨": None}),
        (KOTE, "- [x] 기쁨\n- [ ] 슬픔", {"기쁨": None}),
        (KOTE, '{"기쁨": 1, "슬픔": 0.0, "행복": false}', {"기쁨": None}),
        (KOTE, '{"primary": "기쁨", "secondary": ["행복"]}', {"기쁨": None, "행복": None}),
        (KOTE, '{"label": "기쁨, 행복"}', {"기쁨": None, "행복": None}),
        (TWO, '{"배송": [-1, "강"]}', {"배송": {"sentiment": -1, "intensity": "강"}}),
        (TWO, "배송: 감성=-1, 강도=강", {"배송": {"sentiment": -1, "intensity": "강"}}),
        (TWO, "디자인 1 강", {"디자인": {"sentiment": 1, "intensity": "강"}}),
    ],
)
def test_what_is_meant_is_read_and_nothing_more(
    schema: LabelSchema, reply: str, labels: dict[str, Any]
) -> None:
    assert read(reply, schema) == labels


@pytest.mark.parametrize(
    "reply",
    [
        "디자인: " + "[" * 5000,
        "디자인: " + '{"a":' * 5000,
        "디자인" * 20_000,
        "디자인 -" * 10_000,
        "a:1," * 20_000,
        "[{" * 10_000,
    ],
)
def test_hostile_replies_are_read_in_time(reply: str) -> None:
    for schema in (S5, KOTE):
        project_reply(TEXT, reply, schema, "labels")


def test_a_score_that_is_the_value_is_no_confidence() -> None:
    reply = '[{"label": "디자인", "score": 1}, {"label": "배송", "sentiment": -1, "score": 0.9}]'
    first, second = project_reply(TEXT, reply, S5, "labels").labels
    assert (first.attributes, first.score) == ({"sentiment": 1}, None)
    assert (second.attributes, second.score) == ({"sentiment": -1}, 0.9)
    reply = '[{"label": "TERM", "text": "디자인", "score": 1}]'
    (span,) = project_reply(TEXT, reply, Recipe.load("mams-terms").schema_, "json-list").spans
    assert (span.attributes, span.score) == ({"polarity": "positive"}, None)


@pytest.mark.parametrize(
    ("reply", "values", "evidence"),
    [
        ('{"디자인": 1, "evidence": ["예쁜데"]}', {"디자인": 1}, {"디자인": ["예쁜데"]}),
        (
            '[{"디자인": 1, "근거": "예쁜데"}, {"배송": -1, "근거": "늦었어요"}]',
            {"디자인": 1, "배송": -1},
            {"디자인": ["예쁜데"], "배송": ["늦었어요"]},
        ),
        (
            '{"디자인": [1, "예쁜데"], "배송": [-1, "늦었어요"]}',
            {"디자인": 1, "배송": -1},
            {"디자인": ["예쁜데"], "배송": ["늦었어요"]},
        ),
        # Of two labels, nobody says which one rests on it.
        ('{"디자인": 1, "배송": -1, "evidence": "늦었어요"}', {"디자인": 1, "배송": -1}, {}),
        (
            '{"긍정": {"디자인": true}, "부정": {"배송": true, "맛": false}}',
            {"디자인": 1, "배송": -1},
            {},
        ),
    ],
)
def test_evidence_and_whether_are_told_from_values(
    reply: str, values: dict[str, int], evidence: dict[str, list[str]]
) -> None:
    schema = Recipe.load("reviews-ko").schema_
    projection = project_reply(TEXT, reply, schema, "labels")
    assert {own.label: own.attributes["sentiment"] for own in projection.labels} == values
    assert {
        own.label: [TEXT[part.start : part.end] for part in own.evidence]
        for own in projection.labels
        if own.evidence
    } == evidence
    assert all(outcome.label is not None for outcome in projection.label_outcomes)
