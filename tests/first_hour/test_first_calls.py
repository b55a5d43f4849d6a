"""What a newcomer types first in Python, against a real endpoint on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import fields
from itertools import count
from typing import get_type_hints

import pytest

import llmner
from llmner.asking import AskFields, one_call
from llmner.asking.options import OPTIONS
from llmner.attributes import Attribute
from llmner.errors import InputError
from llmner.projection import Policy, PolicyFields
from llmner.recipes.zero_shot import PROMPT_LANGUAGES
from llmner.schema import Label, LabelSchema
from llmner.spans import Sentence, Span
from tests.engines.endpoint import Endpoint, serving

NAMES = {"Ines": "PERSON", "Bob": "PERSON", "Tallinn": "PLACE", "춘천": "PLACE", "손흥민": "PERSON"}


def answer(question: str) -> str:
    found: dict[str, list[str]] = {}
    for name, label in NAMES.items():
        if name in question:
            found.setdefault(label, []).append(name)
    return json.dumps(found, ensure_ascii=False)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    pytest.importorskip("openai", reason='needs "llmner[openai]"')
    with serving(Endpoint(answer=answer, models=("m",))) as server:
        yield server


def test_one_text_gives_one_document(endpoint: Endpoint) -> None:
    doc = llmner.extract(
        "Ines flew to Tallinn", labels=["PERSON", "PLACE"], model="m", base_url=endpoint.url
    )
    assert [(span.text, span.label, span.start, span.end) for span in doc.spans] == [
        ("Ines", "PERSON", 0, 4),
        ("Tallinn", "PLACE", 13, 20),
    ]
    assert doc.spans[0].score is None
    assert doc.text == "Ines flew to Tallinn"
    assert repr(doc) == (
        "Extraction('Ines flew to Tallinn', [('Ines', 'PERSON'), ('Tallinn', 'PLACE')])"
    )
    assert repr(doc.spans[0]) == "Span('Ines', 'PERSON', start=0, end=4)"
    assert doc.to_dict() == doc.row()
    # The same entity, whether the text is at hand or not.
    assert doc.spans == (Span(0, 4, "PERSON"), Span(13, 20, "PLACE"))


def test_a_list_gives_a_list_and_a_stream_gives_a_stream(endpoint: Endpoint) -> None:
    asked = {"labels": "PERSON,PLACE", "model": "m", "base_url": endpoint.url}
    texts = ["Bob sings.", "Nobody.", "손흥민은 춘천에서 태어났다."]
    docs = llmner.extract(texts, **asked)  # type: ignore[call-overload]
    assert isinstance(docs, list)
    assert [[span.text for span in doc.spans] for doc in docs] == [["Bob"], [], ["손흥민", "춘천"]]
    sentences = [Sentence(text, id=str(number)) for number, text in enumerate(texts)]
    again = llmner.extract(sentences, **asked)  # type: ignore[call-overload]
    assert [doc.sentence.id for doc in again] == ["0", "1", "2"]
    endless = (f"Bob {number}" for number in count())
    stream = llmner.extract(endless, batch_size=2, **asked)  # type: ignore[call-overload]
    assert next(stream).spans[0].text == "Bob"
    assert llmner.extract([], **asked) == []  # type: ignore[call-overload]


def test_labels_are_asked_for_in_the_language_of_the_text(endpoint: Endpoint) -> None:
    starts = {}
    for text in ("Bob sings.", "손흥민은 춘천에서", "東京へ行った", "去北京了"):
        llmner.extract(text, ["PERSON"], model="m", base_url=endpoint.url)
        starts[text] = endpoint.bodies[-1]["messages"][0]["content"][:4]
    assert list(starts.values()) == ["Find", "주어진 ", "与えられ", "请从给出"]
    meant = {"PRODUCT": "names of goods, with their model number", "phone number": ""}
    llmner.extract("Bob", meant, model="m", base_url=endpoint.url, language="en")
    prompt = endpoint.bodies[-1]["messages"][0]["content"]
    assert "- PRODUCT: names of goods, with their model number\n" in prompt
    assert "- phone_number (phone number)\n" in prompt
    assert '{"PRODUCT": ["first mention"], "phone_number": ["second mention"]}' in prompt
    assert set(PROMPT_LANGUAGES) == {"en", "ko", "ja", "zh"}


def test_labels_may_be_objects_and_the_first_text_blank(endpoint: Endpoint) -> None:
    schema = LabelSchema(labels=(Label(code="PERSON", description="people"), Label(code="PLACE")))
    for labels in (schema, schema.labels, [schema.labels[0], "PLACE"]):
        docs = llmner.extract(
            [" ", "손흥민은 춘천에서 태어났다."], labels, model="m", base_url=endpoint.url
        )
        assert [len(doc.spans) for doc in docs] == [0, 2]
        prompt = endpoint.bodies[-1]["messages"][0]["content"]
        assert prompt.startswith("주어진 ")
        assert "- PERSON: people\n- PLACE\n" in prompt


def test_nothing_of_a_label_is_lost(endpoint: Endpoint) -> None:
    labels = [Label(code="PERSON", name="Mensch", aliases=("who",)), "PLACE"]
    options = {"model": "m", "base_url": endpoint.url, "language": "en"}
    llmner.extract("Ines flew.", labels, **options)  # type: ignore[call-overload]
    assert "- PERSON (Mensch)\n- PLACE\n" in endpoint.bodies[-1]["messages"][0]["content"]
    # The endpoint answers with the aliases.
    recipe = llmner.Recipe.of([Label(code="P", aliases=("PERSON",)), Label(code="PLACE")])
    doc = llmner.extract("Ines flew to Tallinn.", recipe=recipe, model="m", base_url=endpoint.url)
    assert [(span.text, span.label) for span in doc.spans] == [("Ines", "P"), ("Tallinn", "PLACE")]
    again = llmner.Recipe.of(["PLACE"])
    doc = llmner.extract("Ines flew to Tallinn.", recipe=again, model="m", base_url=endpoint.url)
    assert [span.label for span in doc.spans] == ["PLACE"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "texts: None is no text"),
        (b"Bob", "texts: b'Bob' is no text"),
        ({"text": "Bob"}, "texts: {'text': 'Bob'} is no text"),
        (["Bob", None], "texts[1]: None is no text"),
        (["Bob", {"text": "Ines"}], "texts[1]: {'text': 'Ines'} is no text"),
    ],
)
def test_what_is_no_text_is_told(endpoint: Endpoint, texts: object, message: str) -> None:
    for labels in (["PERSON"], None):
        options = {"labels": labels, "model": "m", "base_url": endpoint.url}
        with pytest.raises(InputError) as raised:
            llmner.extract(texts, **options)  # type: ignore[call-overload]
        assert message in str(raised.value)


def test_it_runs_in_an_event_loop(endpoint: Endpoint) -> None:
    async def main() -> list[str]:
        docs = llmner.aextract(
            ["Bob sings.", "Ines flew"], ["PERSON"], model="m", base_url=endpoint.url
        )
        return [span.text or "" async for doc in docs for span in doc.spans]

    assert asyncio.run(main()) == ["Bob", "Ines"]


def test_progress_is_shown_on_standard_error(
    endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = llmner.extract(["Bob"] * 3, ["PERSON"], model="m", base_url=endpoint.url, progress=True)
    assert len(docs) == 3
    assert capsys.readouterr().out == ""


def test_a_model_is_kept_for_the_next_call(endpoint: Endpoint) -> None:
    one_call._kept.clear()
    for _ in range(3):
        llmner.extract("Bob", ["PERSON"], model="m", base_url=endpoint.url)
    assert len(one_call._kept) == 1
    for number in range(9):
        llmner.extract("Bob", [f"L{number}"], model="m", base_url=endpoint.url)
    assert len(one_call._kept) == 4


def test_a_text_without_an_answer_says_why() -> None:
    def fault(question: str, _: int) -> dict[str, int] | None:
        return {"status": 400} if "Bob" in question else None

    with serving(Endpoint(answer=answer, models=("m",), faults=fault)) as server:
        docs = llmner.extract(["Bob", "Ines"], ["PERSON"], model="m", base_url=server.url)
    assert [bool(doc.reply.error) for doc in docs] == [True, False]
    assert "error=" in repr(docs[0])
    assert "no answer" in docs[0]._repr_html_()


POLARITY = {"polarity": Attribute(values=("good", "bad"))}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": []}, "labels has no labels; expected PERSON,PLACE"),
        ({"labels": ["PERSON"], "recipe": "klue"}, "labels and a recipe are two questions"),
        ({"labels": ["PERSON"]}, "need a model that follows instructions; name a model"),
        ({"labels": [Label(code="A")]}, "need a model that follows instructions; name a model"),
        ({"labels": ["A", "a"]}, "'a' names both A and a"),
        ({"labels": ["a:b"]}, "'a:b' cannot be a label in tags and markup"),
        ({"labels": [None]}, "labels: None is neither a label nor what one means"),
        ({"labels": [b"PERSON"]}, "labels: b'PERSON' is neither"),
        ({"labels": 3}, "labels: 3 is neither"),
        ({"labels": {"PERSON": 3}}, "labels: 3 is neither"),
        ({"labels": {3: "people"}}, "labels: 3 is neither"),
        (
            {"labels": [Label(code="T", attributes=POLARITY)]},
            "T has attributes, which wants a recipe",
        ),
        ({"labels": LabelSchema(text_labels=(Label(code="T"),))}, "T is of whole texts, which"),
        ({"labels": ["A"], "recipe": llmner.Recipe.of(["A"])}, "labels and a recipe are two"),
        ({"recipe": llmner.Recipe.of(["A"]), "engine": "baseline:x"}, "recipe does not apply"),
        ({"modle": "m"}, "did you mean model?"),
        ({"engine": "opnai"}, "did you mean openai?"),
        ({"recipe": "klue-stict"}, "did you mean klue-strict?"),
        ({"reply_format": "json-lst"}, "did you mean json-list?"),
        ({"labels": ["A"], "engine": "baseline:x"}, "labels does not apply to a baseline"),
        ({"samples": "many"}, "samples 'many'"),
    ],
)
def test_what_is_wrong_is_told_before_a_model_is_loaded(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as raised:
        llmner.extract("Bob", **options)  # type: ignore[call-overload]
    assert message in str(raised.value)


def test_notebooks_show_entities_and_outcomes_and_escape_both(endpoint: Endpoint) -> None:
    doc = llmner.extract(
        "<b>Bob</b> & Ines", ["PERSON"], model="m", base_url=endpoint.url, min_score=0.0
    )
    html = doc._repr_html_()
    assert "&lt;b&gt;<mark" in html
    assert ">Bob <small>PERSON</small></mark>&lt;/b&gt; &amp; " in html
    assert html.count("<tr>") == 3
    assert "<b>" not in html
    frame = pytest.importorskip("pandas") and doc.to_pandas()
    assert list(frame["text"]) == ["Bob", "Ines"]
    assert list(frame.columns[:4]) == ["sentence", "text", "label", "start"]


def test_an_extractor_takes_one_text_for_one(endpoint: Endpoint) -> None:
    from llmner.asking import AskOptions, build

    extractor = build(AskOptions.of(labels="PERSON", model="m", base_url=endpoint.url))
    (doc,) = extractor.extract("Bob sings.")
    assert doc.spans[0].text == "Bob"
    (doc,) = extractor.extract(Sentence("Ines", id="7"))
    assert doc.sentence.id == "7"


def test_project_takes_plain_data() -> None:
    text = "손흥민은 춘천에서"
    for labels in (["PS", "LC"], {"PS": "people", "LC": ""}, llmner.Recipe.load("klue")):
        projection = llmner.project(text, [("PS", "손흥민"), ("LC", "춘천에서")], labels)
        assert [(s.start, s.end) for s in projection.spans] == [(0, 3), (5, 7)]
        assert llmner.project_reply(text, "PS: 손흥민", labels).spans[0].end == 3
    (span,) = llmner.project(text, [("LC", "춘천에서")], particles="keep").spans
    assert span.end == 9
    with pytest.raises(InputError, match="labels"):
        llmner.project(text, [], ["a", "a"])


def test_editors_know_every_option() -> None:
    named = {"labels", "recipe", "engine", "model", "base_url"}
    assert set(get_type_hints(AskFields)) | named == set(OPTIONS)
    assert set(get_type_hints(PolicyFields)) == {field.name for field in fields(Policy)}


@pytest.mark.slow
def test_the_model_in_the_box_needs_nothing() -> None:
    pytest.importorskip("torch", reason='needs "llmner[local]"')
    doc = llmner.extract("손흥민은 춘천에서 태어났다.")
    assert [(span.text, span.label) for span in doc.spans] == [("손흥민", "PS"), ("춘천", "LC")]
    assert doc.spans[0].score is not None
    assert doc.spans[0].score > 0.9


@pytest.mark.parametrize(
    "mentions",
    [{"PERSON": ["Bob"]}, "Bob", ["Bob"], [("PERSON", "Bob", 3)], [("PERSON", None)], None, 3],
)
def test_what_is_no_list_of_mentions_is_told(mentions: object) -> None:
    with pytest.raises(InputError, match="mentions: "):
        llmner.project("Bob sings", mentions)  # type: ignore[arg-type]
    doc = llmner.project("Bob sings", [["PERSON", "Bob"]])  # type: ignore[list-item]
    assert doc.spans[0].text == "Bob"
