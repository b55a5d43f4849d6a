"""Every format has every direction, and one more is added by registering it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner.engines import Reply
from llmner.engines.grammars import GROUNDED_FORMATS, reply_grammar, reply_schema
from llmner.errors import InputError, UnknownNameError
from llmner.extraction import Extractor
from llmner.projection import project_reply
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.replies import (
    LABEL_FORMATS,
    REPLY_FORMATS,
    Order,
    Place,
    ReplyFormat,
    find_places,
    formats,
    read_exact,
    read_reply,
    render_reply,
)
from llmner.replies._types import Reading, Unwrapped
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence, Span
from tests.strategies import sentences

SCHEMA = LabelSchema.of("PS", "LC", "OG", "DT", "TI", "QT")
TEXT = "손흥민은 춘천에서, 손흥민은 런던에서 7.2㎞를 달렸다."
GOLD = (
    Span(0, 3, "PS"),
    Span(5, 7, "LC"),
    Span(11, 14, "PS"),
    Span(16, 18, "LC"),
    Span(21, 25, "QT"),
)
SENTENCE = Sentence(TEXT, GOLD)
FORMATS = sorted(REPLY_FORMATS)


def said(mentions: Sequence[Mention]) -> list[tuple[str, str]]:
    return [(mention.label, mention.text) for mention in mentions]


def gold(sentence: Sentence, order: Order) -> list[tuple[str, str]]:
    pairs = [(span.label, sentence.surface(span)) for span in sentence.spans]
    return (
        sorted(pairs, key=lambda pair: SCHEMA.codes.index(pair[0])) if order == "label" else pairs
    )


def test_each_module_of_formats_is_in_the_table() -> None:
    modules = [
        name for _, name, _ in pkgutil.iter_modules(formats.__path__) if not name.startswith("_")
    ]
    made = [importlib.import_module(f"llmner.replies.formats.{name}").FORMAT for name in modules]
    assert {each.name: each for each in made} == REPLY_FORMATS
    assert {each.name.replace("-", "_") for each in made} == set(modules)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_every_direction(name: str) -> None:
    format = REPLY_FORMATS[name]
    assert format.name == name
    assert format.order in get_args(Order)
    reply = render_reply(SENTENCE, name, SCHEMA)
    exact, read = read_exact(reply, SCHEMA, name), read_reply(reply, SCHEMA, name)
    assert exact == read
    assert (read.status, read.format, read.order) == ("ok", name, format.order)
    assert said(read.mentions) == gold(SENTENCE, format.order)
    assert project_reply(TEXT, reply, SCHEMA, name).spans == GOLD
    assert (read.text == TEXT) == format.repeats_text
    for mention, place in zip(read.mentions, find_places(reply, read.mentions, name), strict=True):
        assert place is not None
        assert place[1] is not None
        assert reply[slice(*place[0])].startswith(mention.text)
        assert mention.label in reply[slice(*place[1])]
    assert GROUNDED_FORMATS[name] is format.grammar
    assert reply_grammar(TEXT, name, SCHEMA).startswith("start: reply\nreply: ")


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_reply_is_read_as_its_format(name: str) -> None:
    reply = f"<think>음</think>\n```\n{render_reply(SENTENCE, name, SCHEMA)}\n```"
    read = read_reply(reply, SCHEMA, name)
    assert read.format == name
    assert set(read.repairs) == {"think", "fence"}
    assert said(read.mentions) == gold(SENTENCE, REPLY_FORMATS[name].order)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_left_of_a_reply_that_was_cut_off_names_nothing_else(name: str) -> None:
    format, reply = REPLY_FORMATS[name], render_reply(SENTENCE, name, SCHEMA)
    if format.whole_part is None:
        return
    for end in range(len(reply)):
        rows = format.whole_part(reply[:end])
        assert reply.startswith(rows)
        assert not rows or set(said(read_reply(rows, SCHEMA, name).mentions)) <= set(
            gold(SENTENCE, "text")
        )


@pytest.mark.parametrize("name", FORMATS)
@given(sentence=sentences())
def test_what_is_rendered_is_read_to_the_letter(name: str, sentence: Sentence) -> None:
    reply = render_reply(sentence, name, SCHEMA)
    exact = read_exact(reply, SCHEMA, name)
    if all(sentence.surface(span).strip() for span in sentence.spans):
        assert exact is not None
        assert said(exact.mentions) == gold(sentence, REPLY_FORMATS[name].order)


def json_shape(schema: dict[str, Any]) -> str:
    return str(schema["type"])


def test_formats_that_are_json_have_a_schema_and_others_say_that_they_have_none() -> None:
    shapes = {name: REPLY_FORMATS[name].json_schema for name in FORMATS}
    assert {name for name, made in shapes.items() if made is not None} == {
        "json-by-type",
        "json-list",
    }
    assert json_shape(reply_schema("json-by-type", SCHEMA)) == "object"
    assert json_shape(reply_schema("json-list", SCHEMA)) == "array"
    for name in ("tagged", "yaml"):
        with pytest.raises(
            InputError,
            match=f"replies in {name} have no JSON schema; use json-by-type or json-list",
        ):
            reply_schema(name, SCHEMA)


# A format of somebody's own: 손흥민~PS; 춘천~LC


def write_toy(sentence: Sentence, schema: LabelSchema | None) -> str:
    return (
        "; ".join(f"{sentence.surface(span)}~{span.label}" for span in sentence.spans) or "nobody"
    )


def read_toy_exact(reply: str, schema: LabelSchema) -> Reading | None:
    if reply == "nobody":
        return Reading("toy", ())
    pairs = [piece.rpartition("~")[::2] for piece in reply.split("; ")]
    if not all(surface and label in schema.codes for surface, label in pairs):
        return None
    return Reading("toy", tuple(Mention(label, surface) for surface, label in pairs))


def read_toy(unwrapped: Unwrapped) -> Reading | None:
    pairs = re.findall(r"([^~;\n]+)~\s*([A-Z]+)", unwrapped.text)
    if not pairs:
        return None
    return Reading(
        "toy", tuple(Mention(label, surface.strip()) for surface, label in pairs), ("line-style",)
    )


def places_of_toy(reply: str, mentions: Sequence[Mention]) -> list[Place | None]:
    places: list[Place | None] = []
    for mention in mentions:
        start = reply.find(f"{mention.text}~{mention.label}")
        tilde = start + len(mention.text)
        places.append(
            None if start < 0 else ((start, tilde + 1), (tilde + 1, tilde + 1 + len(mention.label)))
        )
    return places


def grammar_of_toy(text: str, schema: LabelSchema) -> str:
    chunks = ", ".join(f'"{char}"' for char in text)
    labels = " | ".join(f'"{code}"' for code in schema.codes)
    return (
        'reply: "nobody" | pair ("; " pair)*\n'
        f'pair: MENTION "~" label\nlabel: {labels}\n'
        f'MENTION: %regex {{"substring_chunks": [{chunks}]}}\n'
    )


@pytest.fixture
def toy() -> Iterator[str]:
    format = ReplyFormat(
        name="toy",
        order="text",
        write=write_toy,
        read_exact=read_toy_exact,
        read=read_toy,
        places=places_of_toy,
        grammar=grammar_of_toy,
    )
    REPLY_FORMATS[format.name] = format
    yield format.name
    del REPLY_FORMATS[format.name]


class Answers:
    """Keeps to grammars, it says, and gives one answer."""

    constrains = True

    def __init__(self, reply: str) -> None:
        self.reply = Reply(reply)
        self.asked: list[Prompt] = []

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.asked += prompts
        return [self.reply] * len(prompts)

    def describe(self) -> dict[str, Any]:
        return {"engine": "answers", "model": None}


def test_a_format_of_ones_own_is_written_read_projected_and_found_again(toy: str) -> None:
    reply = render_reply(SENTENCE, toy, SCHEMA)
    assert reply == "손흥민~PS; 춘천~LC; 손흥민~PS; 런던~LC; 7.2㎞~QT"
    exact = read_exact(reply, SCHEMA, toy)
    assert exact is not None
    assert said(exact.mentions) == gold(SENTENCE, "text")
    read = read_reply(f"<think>음</think>{reply}", SCHEMA, toy)
    assert (read.format, read.status, set(read.repairs)) == (
        toy,
        "repaired",
        {"think", "line-style"},
    )
    assert project_reply(TEXT, reply, SCHEMA, toy).spans == GOLD
    (first, *_) = find_places(reply, exact.mentions, toy)
    assert first == ((0, 4), (4, 6))


def test_a_format_of_ones_own_is_one_that_replies_may_be_in_unasked(toy: str) -> None:
    read = read_reply("손흥민~PS\n춘천~LC", SCHEMA)
    assert (read.format, said(read.mentions)) == (toy, [("PS", "손흥민"), ("LC", "춘천")])
    # Asked for, it still loses nothing that is in another one.
    other = read_reply('{"PS": ["손흥민"]}', SCHEMA, toy)
    assert (other.format, other.repairs, said(other.mentions)) == (
        "json-by-type",
        ("format",),
        [("PS", "손흥민")],
    )


def test_a_recipe_asks_in_a_format_of_ones_own_and_grounds_it(toy: str, klue: Recipe) -> None:
    recipe = klue.with_reply_format(toy)
    engine = Answers(write_toy(SENTENCE, None))
    (extraction,) = Extractor(recipe, engine, grounded=True).extract([TEXT])
    assert extraction.spans == GOLD
    (asked,) = engine.asked
    assert asked.grammar == reply_grammar(TEXT, toy, recipe.schema_)
    assert any(
        "~PS" in message["content"] for message in asked.messages if message["role"] == "assistant"
    )
    assert set(GROUNDED_FORMATS) == set(REPLY_FORMATS)


def test_the_grammar_of_a_format_of_ones_own_allows_what_it_writes(toy: str) -> None:
    pytest.importorskip("llguidance", reason='needs pip install "llmner[local]"')
    from llmner.engines.grammars import is_answer

    grammar = reply_grammar(TEXT, toy, SCHEMA)
    assert is_answer(render_reply(SENTENCE, toy), grammar)
    assert not is_answer("손홍민~PS", grammar)
    assert is_answer(render_reply(Sentence(" "), toy), reply_grammar(" ", toy, SCHEMA))


def test_a_format_that_is_gone_is_unknown(klue: Recipe) -> None:
    with pytest.raises(UnknownNameError):
        klue.with_reply_format("toy")


# A name that nobody registered


@given(st.text(max_size=30))
def test_reading_takes_an_unknown_name_for_auto(reply: str) -> None:
    assert read_reply(reply, SCHEMA, "yaml") == read_reply(reply, SCHEMA)


def test_whoever_reads_by_a_name_that_is_given_refuses_an_unknown_one(klue: Recipe) -> None:
    with pytest.raises(
        UnknownNameError, match="unknown reply format 'yaml'; expected auto, json-by-type"
    ):
        Extractor(klue, Answers("-"), read_as="yaml")
    with pytest.raises(UnknownNameError, match="unknown reply format 'yaml'"):
        Extractor(klue.model_copy(update={"reply_format": "yaml"}), Answers("-"))
    assert Extractor(klue, Answers("-"), read_as="auto").read_as == "auto"


def test_the_server_knows_the_formats_of_the_table() -> None:
    schemas = pytest.importorskip("llmner.serving._schemas")
    extract = schemas.ExtractRequest.model_json_schema()["properties"]["reply_format"]
    project = schemas.ProjectRequest.model_json_schema()["properties"]["reply_format"]
    assert extract["anyOf"][0]["enum"] == list(dict.fromkeys((*REPLY_FORMATS, *LABEL_FORMATS)))
    assert project["enum"] == ["auto", *dict.fromkeys((*REPLY_FORMATS, *LABEL_FORMATS))]
