from __future__ import annotations

import json

import pytest

from llmner.errors import UnknownNameError
from llmner.replies import render_reply
from llmner.schema import LabelSchema
from llmner.spans import Sentence, Span

SENTENCE = Sentence(
    "서울의 서울대에서 7.2㎞", (Span(0, 2, "LC"), Span(4, 7, "OG"), Span(10, 14, "QT")), "s"
)


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("json-by-type", '{"LC": ["서울"], "OG": ["서울대"], "QT": ["7.2㎞"]}'),
        (
            "json-list",
            '[{"label": "LC", "text": "서울"}, {"label": "OG", "text": "서울대"}, {"label": "QT", '
            '"text": "7.2㎞"}]',
        ),
        ("tagged", "<서울:LC>의 <서울대:OG>에서 <7.2㎞:QT>"),
        ("pairs", "서울\tLC\n서울대\tOG\n7.2㎞\tQT"),
        ("lines", "LC\t서울\nOG\t서울대\nQT\t7.2㎞"),
    ],
)
def test_each_format(schema: LabelSchema, format: str, expected: str) -> None:
    assert render_reply(SENTENCE, format, schema) == expected


@pytest.mark.parametrize(
    ("format", "expected"),
    [("json-by-type", "{}"), ("json-list", "[]"), ("tagged", "가"), ("lines", "-"), ("pairs", "-")],
)
def test_a_sentence_without_entities(format: str, expected: str) -> None:
    assert render_reply(Sentence("가"), format) == expected


def test_labels_come_in_the_schemas_order() -> None:
    sentence = Sentence("가나", (Span(0, 1, "B"), Span(1, 2, "A")))
    assert list(json.loads(render_reply(sentence, schema=LabelSchema.of("A", "B")))) == ["A", "B"]
    assert list(json.loads(render_reply(sentence))) == ["B", "A"]


def test_repeats_are_repeated() -> None:
    sentence = Sentence("김 김", (Span(0, 1, "PS"), Span(2, 3, "PS")))
    assert render_reply(sentence) == '{"PS": ["김", "김"]}'


def test_an_unknown_format() -> None:
    with pytest.raises(
        UnknownNameError,
        match="expected one of json-by-type, json-list, labels, lines",
    ):
        render_reply(SENTENCE, "xml")
