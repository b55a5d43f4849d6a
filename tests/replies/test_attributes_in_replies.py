"""Attributes of mentions: written and read back exactly, and read in any style of models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner.engines.grammars import is_answer, reply_grammar, reply_schema, schema_grammar
from llmner.projection import project_read, project_reply
from llmner.recipes import Recipe
from llmner.replies import REPLY_FORMATS, read_exact, read_reply, render_reply
from llmner.schema import LabelSchema
from llmner.spans import Sentence, Span
from tests.costs import seconds
from tests.strategies import tidy_texts

SCHEMA = LabelSchema.model_validate(
    {
        "labels": [
            {
                "code": "TERM",
                "attributes": {
                    "polarity": {
                        "values": ["positive", "neutral", "negative"],
                        "aliases": ["opinion"],
                        "required": True,
                    },
                    "strength": "integer",
                    "kinds": {"values": ["dish", "staff", "price"], "several": True},
                    "sure": "boolean",
                    "note": "text",
                },
            },
            {"code": "PS"},
        ]
    }
)
HOLDING = [name for name, format in REPLY_FORMATS.items() if format.holds_attributes]
MAMS = Recipe.load("mams-terms").schema_
TEXT = "The food was great but the prices and the food at noon were not."


@st.composite
def marked(draw: st.DrawFn) -> Sentence:
    """Sentences whose spans have any of the attributes."""
    text = draw(tidy_texts)
    spans = []
    words = [n for n, char in enumerate(text) if not char.isspace()]
    for start in sorted(draw(st.sets(st.sampled_from(words), max_size=3))) if words else ():
        label = draw(st.sampled_from(["TERM", "PS"]))
        attributes: dict[str, Any] = {}
        if label == "TERM":
            attributes["polarity"] = draw(st.sampled_from(["positive", "neutral", "negative"]))
            if draw(st.booleans()):
                attributes["strength"] = draw(st.integers(-1000, 1000))
            if draw(st.booleans()):
                kinds = st.lists(
                    st.sampled_from(["dish", "staff", "price"]), min_size=1, max_size=3
                )
                attributes["kinds"] = list(dict.fromkeys(draw(kinds)))
            if draw(st.booleans()):
                attributes["sure"] = draw(st.booleans())
            if draw(st.booleans()):
                attributes["note"] = draw(st.sampled_from(["so", "가, 나", "a|b", "[x", "3"]))
        spans.append(Span(start, start + 1, label, attributes=attributes))
    return Sentence(text, tuple(spans))


@pytest.mark.parametrize("format", HOLDING)
@given(sentence=marked())
def test_what_is_written_is_read_back(format: str, sentence: Sentence) -> None:
    reply = render_reply(sentence, format, SCHEMA)
    read = read_exact(reply, SCHEMA, format)
    assert read is not None
    assert [(m.label, m.text, m.attributes) for m in read.mentions] == [
        (span.label, sentence.surface(span), span.attributes) for span in sentence.spans
    ]
    for outcome in project_read(sentence.text, read, SCHEMA).outcomes:
        if outcome.span is not None:
            assert outcome.span.attributes == outcome.mention.attributes
            assert {own.kind for own in outcome.attributes} <= {"exact"}


@pytest.mark.parametrize("format", HOLDING)
def test_grammars_and_schemas_hold_replies_to_the_values(format: str) -> None:
    pytest.importorskip("llguidance", reason='needs pip install "llmner[local]"')
    attributes = {"polarity": "positive", "strength": -3, "kinds": ["dish", "price"], "sure": True}
    sentence = Sentence(TEXT, (Span(4, 8, "TERM", attributes=attributes), Span(27, 33, "PS")))
    grammars = [reply_grammar(TEXT, format, SCHEMA)]
    if REPLY_FORMATS[format].json_schema is not None:
        grammars.append(schema_grammar(reply_schema(format, SCHEMA)))
    reply = render_reply(sentence, format, SCHEMA)
    for grammar in grammars:
        assert is_answer(reply, grammar)
        assert not is_answer(reply.replace("positive", "purple"), grammar)
        assert not is_answer(reply.replace("price", "size"), grammar)
    bare = Sentence(TEXT, (Span(4, 8, "TERM"),))
    # A required attribute cannot be left out.
    assert not is_answer(render_reply(bare, format, SCHEMA), grammars[0])


BOTH = [("food", "positive"), ("prices", "negative")]


@pytest.mark.parametrize(
    "reply",
    [
        '[{"label": "TERM", "text": "food", "polarity": "긍정"}, '
        '{"label": "TERM", "text": "prices", "sentiment": "bad"}]',
        '{"food": "positive", "prices": "negative"}',
        '{"positive": ["food"], "negative": ["prices"]}',
        '{"TERM": [{"text": "food", "polarity": "POS"}, {"text": "prices", "polarity": "NEG"}]}',
        '{"food": {"polarity": "positive"}, "prices": {"polarity": "negative"}}',
        '[["food", "positive"], ["prices", "negative"]]',
        '[["food", "TERM", "positive"], ["prices", "TERM", "negative"]]',
        '[{"aspect": "food", "opinion": "great", "polarity": "positive"}, '
        '{"aspect": "prices", "opinion": "but", "polarity": "negative"}]',
        '[{"label":"TERM","text":"food","attributes":{"polarity":"positive"}},'
        '{"label":"TERM","text":"prices","attributes":{"polarity":"negative"}}]',
        "food\tTERM\tpositive\nprices\tTERM\tnegative",
        "food: positive\nprices: negative",
        "- food (positive)\n- prices (negative)",
        "* **food** - Positive\n* **prices** - Negative",
        "| term | polarity |\n|---|---|\n| food | positive |\n| prices | negative |",
        "food (TERM, positive), prices (TERM, negative)",
        "food (positive), prices (negative)",
        "food/positive, prices/negative",
        "positive: food\nnegative: prices",
        "TERM: food (positive)\nTERM: prices (negative)",
    ],
)
def test_any_style_of_models_is_read(reply: str) -> None:
    projection = project_reply(TEXT, reply, MAMS, "json-list")
    found = [(TEXT[s.start : s.end], s.attributes.get("polarity")) for s in projection.spans]
    assert found == BOTH


def test_equal_surfaces_with_other_attributes_stay_apart() -> None:
    rows = [
        {"label": "TERM", "text": "food", "polarity": "positive"},
        {"label": "TERM", "text": "food", "polarity": "negative"},
    ]
    projection = project_reply(TEXT, json.dumps(rows), MAMS, "json-list")
    assert [(s.start, s.attributes["polarity"]) for s in projection.spans] == [
        (4, "positive"),
        (42, "negative"),
    ]


def test_what_the_schema_does_not_know_is_an_outcome() -> None:
    rows = [{"label": "TERM", "text": "food", "polarity": "purple", "mood": "x", "score": 0.5}]
    (outcome,) = project_reply(TEXT, json.dumps(rows), MAMS, "json-list").outcomes
    assert outcome.span is not None
    assert outcome.span.attributes == {}
    assert outcome.span.score == 0.5
    assert [(own.name, own.kind) for own in outcome.attributes] == [
        ("polarity", "unknown_value"),
        ("mood", "unknown_attribute"),
    ]
    rows = [{"label": "TERM", "text": "food"}]
    (outcome,) = project_reply(TEXT, json.dumps(rows), MAMS, "json-list").outcomes
    assert [(own.name, own.kind) for own in outcome.attributes] == [("polarity", "missing")]


def test_without_a_schema_spans_have_what_mentions_say() -> None:
    reply = '[{"label": "TERM", "text": "food", "mood": "good", "start": 4, "end": 8}]'
    (span,) = project_reply(TEXT, reply).spans
    assert span.attributes == {"mood": "good"}


@pytest.mark.parametrize(
    "reply",
    [
        '["food (positive)", "prices (negative)"]',
        '["food", "positive", "prices", "negative"]',
        '["food: positive", "prices: negative"]',
        '{"TERM": {"food": "positive", "prices": "negative"}}',
        '{"TERM": [{"food": "positive"}, {"prices": "negative"}]}',
        '{"TERM": [["food", "positive"], ["prices", "negative"]]}',
        '{"terms": [{"food": "positive"}, {"prices": "negative"}]}',
        '{"TERM": {"positive": ["food"], "negative": ["prices"]}}',
        '{"food": {"label": "TERM", "polarity": "positive"}, '
        '"prices": {"label": "TERM", "polarity": "negative"}}',
        '[{"text": "food", "label": "positive"}, {"text": "prices", "label": "negative"}]',
        '{"positive": "food", "negative": "prices"}',
        '[{"label": "TERM", "text": "food", "polarity": "very positive"}, '
        '{"label": "TERM", "text": "prices", "polarity": "-1"}]',
        '[{"label": "TERM", "text": "food", "attributes": [{"polarity": "positive"}]}, '
        '{"label": "TERM", "text": "prices", '
        '"attributes": [{"name": "polarity", "value": "negative"}]}]',
        "TERM: food, polarity: positive\nTERM: prices, polarity: negative",
        '<TERM polarity="positive">food</TERM> <TERM polarity="negative">prices</TERM>',
        "text,label,polarity\nfood,TERM,positive\nprices,TERM,negative",
        "| # | Term | Polarity | Why |\n|---|---|---|---|\n| 1 | food | positive | tasty |\n"
        "| 2 | prices | negative | high |",
        "text: food\nlabel: TERM\npolarity: positive\n\ntext: prices\nlabel: TERM\npolarity: negative",
    ],
)
def test_more_styles_of_models_are_read(reply: str) -> None:
    projection = project_reply(TEXT, reply, MAMS, "json-list")
    found = [(TEXT[s.start : s.end], s.attributes.get("polarity")) for s in projection.spans]
    assert found == BOTH


DINNER = "Nice soup and fries, slow waiter, positive vibes."


@pytest.mark.parametrize(
    "reply",
    [
        "Term: soup\nPolarity: positive\n\nTerm: fries\nPolarity: positive\n\n"
        "Term: waiter\nPolarity: negative",
        "1. **Term:** soup\n   **Polarity:** positive\n2. **Term:** fries\n"
        "   **Polarity:** positive\n3. **Term:** waiter\n   **Polarity:** negative",
        "Polarity: positive\nTerm: soup\nTerm: fries\nPolarity: negative\nTerm: waiter",
        "- soup\n  - polarity: positive\n- fries\n  - polarity: positive\n"
        "- waiter\n  - polarity: negative",
        "Positive:\n- soup\n- fries\n\nNegative:\n- waiter",
        "### Positive\n* soup\n* fries\n* none\n### Negative\n* waiter",
        "**Positive**\nsoup, fries\n\n**Negative**\nwaiter",
        "Positive: soup, fries\nNeutral: none\nNegative: waiter",
        "Positive aspects: soup, fries\nNeutral aspects: -\nNegative aspects: waiter",
        "soup, fries: positive\nwaiter: negative",
        "Here is what I found.\n\nPositive:\n  • soup\n  • fries\nNegative:\n  • waiter\n\nThat is all.",
        '{"Positive terms": ["soup", "fries"], "Negative terms": ["waiter"]}',
    ],
)  # fmt: skip
def test_values_above_before_and_below_their_mentions_are_read(reply: str) -> None:
    projection = project_reply(DINNER, reply, MAMS, "json-list")
    found = [(DINNER[s.start : s.end], s.attributes.get("polarity")) for s in projection.spans]
    wanted = [("soup", "positive"), ("fries", "positive"), ("waiter", "negative")]
    assert found == wanted
    assert all(outcome.span is not None for outcome in projection.outcomes)


def test_a_name_that_is_not_in_the_text_takes_no_other_with_it() -> None:
    projection = project_reply(DINNER, "Positive: soup, pizza", MAMS, "json-list")
    assert [outcome.kind for outcome in projection.outcomes] == ["exact", "not_found"]
    # A value that is part of a name is no heading.
    (span,) = project_reply(DINNER, "Positive vibes: positive", MAMS, "json-list").spans
    assert DINNER[span.start : span.end] == "positive vibes"


BISTRO = (
    "The food was great but the service was slow, and the prices were okay. "
    "I loved the wine list and the decor; positive vibes only."
)
FOOD, SERVICE = ("food", "positive"), ("service", "negative")
LIST, PRICES = ("wine list", "positive"), ("prices", "neutral")


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        # A line about the whole review is about none of its terms.
        (
            "Sentiment: negative\n\nTerm: food\nSentiment: positive\nTerm: service\n"
            "Sentiment: negative\nTerm: prices\nSentiment: neutral",
            [FOOD, SERVICE, PRICES],
        ),
        (
            "Polarity: positive, negative\nTerm: food\nPolarity: positive\nTerm: service\n"
            "Polarity: negative",
            [FOOD, SERVICE],
        ),
        ("Polarity: positive\n- food\n- wine list\nPolarity: negative\n- service", [FOOD, SERVICE, LIST]),
        ("### Polarity: Positive\n- food\n### Polarity: Negative\n- service", [FOOD, SERVICE]),
        ("- Polarity: positive\n  - food\n- Polarity: negative\n  - service", [FOOD, SERVICE]),
        ("Polarity: positive\nfood\nPolarity: negative\nservice", [FOOD, SERVICE]),
        ("Aspect 1: food\nSentiment: positive\nAspect 2: service\nSentiment: negative", [FOOD, SERVICE]),
        ("Term 1: food\nPolarity 1: positive\nTerm 2: service\nPolarity 2: negative", [FOOD, SERVICE]),
        (
            "Term: food, Polarity: positive; Term: service, Polarity: negative; "
            "Term: prices, Polarity: neutral",
            [FOOD, SERVICE, PRICES],
        ),
        ("Term: food | Polarity: positive\nTerm: service | Polarity: negative", [FOOD, SERVICE]),
        ("Polarity: positive, Term: food\nPolarity: negative, Term: service", [FOOD, SERVICE]),
        ("Terms: food, wine list\nPolarity: positive\nTerms: service\nPolarity: negative", [FOOD, SERVICE, LIST]),
        ("food\nwine list\nPolarity: positive\n\nservice\nPolarity: negative", [FOOD, SERVICE, LIST]),
        ("Term: food\nPolarity: positive\n\nPolarity: negative\nTerm: service", [FOOD, SERVICE]),
        ("Positive: food and wine list\nNegative: service", [FOOD, SERVICE, LIST]),
        ("1. Positive\n   - food\n2. Negative\n   - service", [FOOD, SERVICE]),
        ("Positive\n- food\n\nNegative\n- service", [FOOD, SERVICE]),
        ("food\npositive\nservice\nnegative", [FOOD, SERVICE]),
        ("- food\n  - positive\n- service\n  - negative", [FOOD, SERVICE]),
        ("positive: food; negative: service; neutral: prices", [FOOD, SERVICE, PRICES]),
        ("food: positive | service: negative | prices: neutral", [FOOD, SERVICE, PRICES]),
        ("Positive:\n- food\n\nNegative:", [FOOD]),
        ("Positive - food\nNegative - service", [FOOD, SERVICE]),
        ("| Polarity | Term |\n|---|---|\n| positive | food |\n| negative | service |", [FOOD, SERVICE]),
        ("[positive] food\n[negative] service", [FOOD, SERVICE]),
        ("- (positive) food\n- (negative) service", [FOOD, SERVICE]),
        ("food [positive]\n\nservice [negative]", [FOOD, SERVICE]),
        ("food {positive}", [FOOD]),
        ("positive: [food, wine list]\nnegative: [service]", [FOOD, SERVICE, LIST]),
        ("food: [positive]", [FOOD]),
        ("**food** (positive): great\n**service** (negative) - slow", [FOOD, SERVICE]),
        ("food positive\nservice negative", [FOOD, SERVICE]),
        ("positive wine list", [LIST]),
        ("- food\n- service", [("food", None), ("service", None)]),
        ("Term: food\nTerm: service", [("food", None), ("service", None)]),
    ],
)  # fmt: skip
def test_lines_tell_whether_a_value_stands_before_or_after(
    reply: str, wanted: list[tuple[str, str | None]]
) -> None:
    projection = project_reply(BISTRO, reply, MAMS, "json-list")
    found = [(BISTRO[s.start : s.end], s.attributes.get("polarity")) for s in projection.spans]
    assert found == sorted(wanted, key=lambda pair: BISTRO.index(pair[0]))
    assert all(outcome.span is not None for outcome in projection.outcomes)


def test_a_value_that_nobody_knows_leaves_its_term() -> None:
    reply = "food: positive\nservice: mixed\nprices: neutral"
    outcomes = project_reply(BISTRO, reply, MAMS, "json-list").outcomes
    assert [outcome.mention.text for outcome in outcomes] == ["food", "service", "prices"]
    (attribute,) = outcomes[1].attributes
    assert (attribute.kind, attribute.said) == ("unknown_value", "mixed")


def test_what_is_said_of_many_mentions_takes_linear_time() -> None:
    def cost(count: int) -> float:
        reply = "- food\n" * count + "positive\n" * count
        return seconds(lambda: read_reply(reply, MAMS, "json-list", text=BISTRO), times=1)

    cost(100)
    small, large = cost(400), cost(4000)
    assert large < 25 * max(small, 0.02)
