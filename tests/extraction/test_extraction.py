"""The extractor on a small fake engine."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from typing import Any

import pytest

from llmner.engines import Reply, Token
from llmner.engines.grammars import reply_grammar, reply_schema
from llmner.errors import GenerationError, InputError, WorkLimitError
from llmner.extraction import Extraction, Extractor
from llmner.extraction.confidence import Calibrator
from llmner.projection import Budget
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence, Span


class Echo:
    """Calls the first word of every text a person; fails at a text it is told to fail at."""

    def __init__(self, fail_at: str | None = None, name: str = "echo") -> None:
        self.asked: list[int] = []
        self.texts: list[str] = []
        self.fail_at = fail_at
        self.name = name

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.asked.append(len(prompts))
        self.texts += [prompt.text for prompt in prompts]
        if any(prompt.text == self.fail_at for prompt in prompts):
            raise GenerationError("the engine died")
        return [
            Reply(json.dumps({"PS": [prompt.text.split()[0]]}, ensure_ascii=False))
            for prompt in prompts
        ]

    def describe(self) -> dict[str, Any]:
        return {"engine": self.name, "model": None}


SENTENCES = [Sentence(f"사람{n} 왔다", (), f"s{n}") for n in range(10)]


def test_extraction_is_batched_streamed_and_in_order(klue: Recipe) -> None:
    engine = Echo()
    stream = Extractor(klue, engine, batch_size=4).extract(iter(SENTENCES))
    first = next(stream)
    assert engine.asked == [4]
    assert first.spans == (Span(0, 3, "PS"),)
    assert [extraction.sentence.id for extraction in (first, *stream)] == [s.id for s in SENTENCES]
    assert engine.asked == [4, 4, 2]


def test_projecting_can_be_ended_between_two_texts_and_within_one(klue: Recipe) -> None:
    budget = Budget()
    stream = Extractor(klue, Echo(), batch_size=1).extract(iter(SENTENCES), budget=budget)
    assert next(stream).spans == (Span(0, 3, "PS"),)
    assert budget.spent > 0
    budget.end()
    with pytest.raises(WorkLimitError, match="ended from outside"):
        next(stream)


def test_plain_strings_are_sentences(klue: Recipe) -> None:
    (extraction,) = Extractor(klue, Echo()).extract(["손흥민 왔다"])
    row = extraction.row()
    assert row["spans"] == [{"start": 0, "end": 3, "label": "PS"}]
    assert row["outcomes"][0]["kind"] == "exact"
    assert row["status"] == "ok"


def test_a_policy_that_does_not_exist_fails_at_once(klue: Recipe) -> None:
    with pytest.raises(TypeError):
        Extractor(klue, Echo(), fuzy=0.9)
    with pytest.raises(InputError, match="batch size must be at least 1, got 0"):
        Extractor(klue, Echo(), batch_size=0)


class Given:
    """Keeps to grammars, and answers what it is told to, one reply after another."""

    constrains = True

    def __init__(self, *replies: Reply) -> None:
        self.replies = replies
        self.prompts: list[Prompt] = []

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        at = len(self.prompts)
        self.prompts += prompts
        return [self.replies[(at + number) % len(self.replies)] for number in range(len(prompts))]

    def describe(self) -> dict[str, Any]:
        return {"engine": "given", "model": None}


TEXT = "손흥민은 춘천에서 태어났다."


def answered(recipe: Recipe, *replies: Reply, **options: Any) -> Extraction:
    (extraction,) = Extractor(recipe, Given(*replies), **options).extract([Sentence(TEXT, (), "s")])
    return extraction


@pytest.fixture
def pairs(klue: Recipe) -> Recipe:
    return klue.with_reply_format("pairs")


def sure(text: str, probability: float) -> Reply:
    """A reply whose first token, all of it, has this probability."""
    return Reply(text, tokens=(Token(0, len(text), math.log(probability)),))


def test_a_grounded_question_has_the_grammar_of_its_own_text(pairs: Recipe) -> None:
    engine = Given(Reply("-"))
    extractor = Extractor(pairs, engine, grounded=True, window=20, overlap=5)
    list(extractor.extract([TEXT, TEXT * 3]))
    assert len(engine.prompts) > 3
    for prompt in engine.prompts:
        assert prompt.grammar == reply_grammar(prompt.text, "pairs", pairs.schema_)
        assert prompt.json_schema is None
    assert extractor.describe()["grounded"] is True


def test_a_json_schema_is_the_same_for_every_text(klue: Recipe) -> None:
    engine = Given(Reply("{}"))
    extractor = Extractor(klue, engine, json_schema=True)
    list(extractor.extract([TEXT, "가"]))
    assert [prompt.json_schema for prompt in engine.prompts] == [
        reply_schema("json-by-type", klue.schema_)
    ] * 2
    assert len({prompt.grammar for prompt in engine.prompts}) == 1
    assert extractor.describe()["json_schema"] is True


def test_engines_and_formats_that_cannot_be_constrained_are_refused(
    klue: Recipe, pairs: Recipe
) -> None:
    for option, constraint in (("grounded", "a grammar"), ("json_schema", "a JSON schema")):
        with pytest.raises(
            InputError, match=f"the echo engine cannot keep replies to {constraint}"
        ):
            Extractor(klue, Echo(), **{option: True})
    with pytest.raises(InputError, match="replies in pairs have no JSON schema"):
        Extractor(pairs, Given(), json_schema=True)
    with pytest.raises(
        InputError, match="replies cannot be both grounded and kept to a JSON schema"
    ):
        Extractor(klue, Given(), json_schema=True, grounded=True)


def test_a_grounded_row_that_was_cut_off_is_left_out(pairs: Recipe) -> None:
    cut = Reply("손흥민\tPS\n춘\tL", "length")
    assert answered(pairs, cut, grounded=True).spans == (Span(0, 3, "PS"),)
    # What is whole stays.
    assert len(answered(pairs, Reply("손흥민\tPS\n춘천\tLC"), grounded=True).spans) == 2
    assert answered(pairs, Reply("손흥", "length"), grounded=True).spans == ()
    status = [
        answered(pairs, reply, grounded=True).row()["status"]
        for reply in (cut, Reply("손흥", "length"))
    ]
    assert status == ["truncated", "truncated"]
    lines = pairs.with_reply_format("lines")
    half = Reply("PS\t손흥민\nLC\t춘", "length")
    assert [len(answered(lines, half, grounded=way).spans) for way in (True, False)] == [1, 2]


def test_scores_come_from_tokens_and_low_ones_are_dropped(pairs: Recipe) -> None:
    (span,) = answered(pairs, sure("손흥민\tPS", 0.25)).spans
    assert span.score == pytest.approx(0.25)
    dropped = answered(pairs, sure("손흥민\tPS", 0.25), min_score=0.3)
    assert dropped.spans == ()
    assert [outcome.kind for outcome in dropped.projection.outcomes] == ["unsure"]
    calibrator = Calibrator((0.0, 1.0), (0.5, 1.0))
    (span,) = answered(pairs, sure("손흥민\tPS", 0.25), min_score=0.3, calibrator=calibrator).spans
    assert span.score == pytest.approx(0.625)
    assert dropped.row()["outcomes"][0]["reason"] == "score 0.250 is below 0.3"


def test_samples_are_asked_for_together_and_voted_on(pairs: Recipe) -> None:
    replies = [
        Reply("손흥민\tPS"),
        Reply("", "error", error="lost"),
        Reply("손흥민\tPS\n춘천\tLC"),
        Reply("손흥민\tPS\n춘천\tOG"),
    ]
    engine = Given(*replies)
    extractor = Extractor(pairs, engine, samples=4, batch_size=8)
    first, second, third = extractor.extract([TEXT] * 3)
    assert [prompt.sample for prompt in engine.prompts] == [0, 1, 2, 3] * 3
    # Of four, three have the person; what is lost has voted for nothing.
    assert [(span.label, span.score) for span in first.spans] == [("PS", pytest.approx(3 / 4))]
    assert (first.reply.error, len(first.samples)) == (None, 4)
    assert first.row()["samples"] == [reply.text for reply in replies]
    assert (second.spans, third.spans) == (first.spans, first.spans)
    assert extractor.describe()["samples"] == 4
    lost = answered(pairs, Reply("", "error", error="lost"), samples=2)
    assert (lost.reply.error, lost.spans) == ("lost", ())


def test_samples_of_windows_are_told_with_their_windows(pairs: Recipe) -> None:
    extractor = Extractor(pairs, Given(Reply("손흥민\tPS")), samples=3, window=20, overlap=5)
    (extraction,) = extractor.extract([Sentence(TEXT * 3, (), "s")])
    row = extraction.row()
    assert "samples" not in row
    assert all(window["samples"] == ["손흥민\tPS"] * 3 for window in row["windows"])
    assert len(extraction.spans) == 3


def test_what_is_chosen_is_told_and_what_is_not_is_not(pairs: Recipe) -> None:
    plain = Extractor(pairs, Given()).describe()
    assert not {"grounded", "json_schema", "samples", "min_score", "calibration"} & set(plain)
    calibrator = Calibrator((0.0, 1.0), (0.5, 1.0))
    chosen = Extractor(pairs, Given(), min_score=0.5, calibrator=calibrator).describe()
    assert (chosen["min_score"], chosen["calibration"]) == (0.5, calibrator.hash)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"samples": 0}, "number of samples must be at least 1, got 0"),
        ({"min_score": 1.5}, "the minimum score must be from 0 to 1, got 1.5"),
        ({"min_score": -0.1}, "the minimum score must be from 0 to 1, got -0.1"),
    ],
)
def test_numbers_that_make_no_sense(klue: Recipe, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Extractor(klue, Given(), **options)


@pytest.mark.parametrize(
    ("format", "text", "reply", "found"),
    [
        (
            "tagged",
            "[제공: 기관] 손흥민이 왔다",
            "[제공: 기관] <손흥민:PS>이 왔다",
            [("손흥민", "PS")],
        ),
        ("tagged", "[서울: 위치] 맑다", "[서울: 위치] 맑다", []),
        ("json-by-type", "영화 없음 보자", '{"PS": ["없음"]}', [("없음", "PS")]),
        ("json-list", "```가``` 나", '[{"label": "PS", "text": "```가```"}]', [("```가```", "PS")]),
        ("pairs", "-", "-\tPS", [("-", "PS")]),
        ("lines", "가 - 나", "-", []),
    ],
)
def test_a_grounded_reply_is_read_to_the_letter(
    klue: Recipe, format: str, text: str, reply: str, found: list[tuple[str, str]]
) -> None:
    extractor = Extractor(klue.with_reply_format(format), Given(Reply(reply)), grounded=True)
    (extraction,) = extractor.extract([text])
    row = extraction.row()
    assert row["status"] == "ok"
    assert [(outcome["text"], outcome["label"]) for outcome in row["outcomes"]] == found


def test_calibration_and_the_lowest_score_are_those_of_the_whole_text(pairs: Recipe) -> None:
    options: dict[str, Any] = {"window": 20, "overlap": 5, "min_score": 0.5}
    (extraction,) = Extractor(pairs, Given(sure("손흥민\tPS", 0.25)), **options).extract([TEXT * 3])
    assert extraction.spans == ()
    unsure = [outcome for outcome in extraction.projection.outcomes if outcome.kind == "unsure"]
    # Each person once, however many windows saw it.
    assert len(unsure) == 3


def test_decomposed_text_is_asked_about_composed_and_answers_are_placed_where_it_stands() -> None:
    asked: list[Prompt] = []

    class Echo:
        def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
            asked.extend(prompts)
            return [Reply("PS: 손흥민\nLC: 춘천") for _ in prompts]

        def describe(self) -> dict[str, Any]:
            return {"engine": "echo"}

    text = unicodedata.normalize("NFD", "손흥민은 춘천에서 태어났다.")
    (found,) = Extractor(Recipe.load("klue"), Echo()).extract([text])
    assert asked[0].messages[-1]["content"].endswith("손흥민은 춘천에서 태어났다.")
    assert "손흥민은 춘천에서" in asked[0].completion
    # Recorded replies are found by the text as it is.
    assert asked[0].text == text
    assert [unicodedata.normalize("NFC", span.text or "") for span in found.spans] == [
        "손흥민",
        "춘천",
    ]
    assert [text[span.start : span.end] for span in found.spans] == [s.text for s in found.spans]
