"""What is asked, and what is not: a text that shows nothing is answered without the engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner._unicode import is_invisible
from llmner.engines import Reply, create_generator
from llmner.extraction import Extractor
from llmner.extraction.rows import is_blank_row
from llmner.extraction.runs import run_extraction
from llmner.projection._canonical import canonicalize
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.replies import REPLY_FORMATS, read_exact, render_reply
from llmner.scoring import Prediction, read_predictions
from llmner.spans import Sentence, Span

# Spaces of several scripts, characters without width, controls, and letters that show nothing.
INVISIBLE = ("", "  ", "\n\t", "\u3000", "\u00a0", "\u200b", "\ufeff \u2060", "\x00", "\u3164")
TEXT = "손흥민은 춘천에서 태어났다."


class Names:
    """Names one person, and keeps what it was asked.

    Args:
        room: The longest text that fits, in characters.
        reply: What it always answers, if that is not the person.
    """

    def __init__(self, room: int = 10_000, reply: str | None = None) -> None:
        self.asked: list[str] = []
        self.room, self.reply = room, reply

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.asked += [prompt.text for prompt in prompts]
        return [self._reply(prompt.text) for prompt in prompts]

    def _reply(self, text: str) -> Reply:
        said = "손흥민\tPS" if "손흥민" in text else "-"
        return Reply(said if self.reply is None else self.reply, "stop", 7, 3)

    def fits(self, prompt: Prompt) -> bool:
        return len(prompt.text) <= self.room

    def describe(self) -> dict[str, Any]:
        return {"engine": "names"}


@pytest.mark.parametrize("format", REPLY_FORMATS)
def test_a_text_that_shows_nothing_is_answered_without_the_engine(format: str) -> None:
    recipe = Recipe.load("klue").with_reply_format(format)
    engine = Names()
    for extraction in Extractor(recipe, engine).extract(INVISIBLE):
        text, row = extraction.sentence.text, extraction.row()
        written = render_reply(Sentence(text), format, recipe.schema_)
        assert extraction.reply == Reply(written, "stop", 0, 0)
        expected = read_exact(written, recipe.schema_, format)
        assert expected is not None
        assert extraction.projection.reply == replace(expected, text=None)
        assert (row["spans"], row["outcomes"], row["status"]) == ([], [], "ok")
        assert "error" not in row
        assert not extraction.is_blank
        assert not is_blank_row(row)
        assert not Prediction.of(extraction).is_blank
    assert engine.asked == []


def test_neither_does_an_engine_look_whether_it_has_room(klue: Recipe) -> None:
    class Unloadable(Names):
        def fits(self, prompt: Prompt) -> bool:
            raise AssertionError

    assert len(list(Extractor(klue, Unloadable()).extract(INVISIBLE))) == len(INVISIBLE)


def test_texts_around_it_are_asked_about_as_ever(klue: Recipe, tmp_path: Path) -> None:
    engine = Names()
    recipe = klue.with_reply_format("pairs")
    sentences = [Sentence(text, (), f"s{n}") for n, text in enumerate(("", TEXT, "\u200b", TEXT))]
    output = tmp_path / "rows.jsonl"
    summary = run_extraction(
        Extractor(recipe, engine, batch_size=2, samples=3), sentences, output, source="test"
    )
    assert (summary.sentences, summary.unanswered, summary.blank) == (4, 0, 0)
    assert engine.asked == [TEXT] * 6
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["s0", "s1", "s2", "s3"]
    assert [len(row["spans"]) for row in rows] == [0, 1, 0, 1]
    assert [row["samples"] for row in rows[::2]] == [["-"] * 3] * 2
    assert [prediction.status for prediction in read_predictions(output)] == ["ok"] * 4


def test_a_window_that_shows_nothing_is_not_asked_about(klue: Recipe) -> None:
    recipe = klue.with_reply_format("pairs")
    text = TEXT + " " * 60 + TEXT
    engine = Names()
    (extraction,) = Extractor(recipe, engine, window=20, overlap=0).extract([text])
    assert all(asked.strip() for asked in engine.asked)
    windows = extraction.windows
    assert len(windows) > len(engine.asked)
    assert "".join(text[p.window.core_start : p.window.core_end] for p in windows) == text
    assert extraction.spans == (Span(0, 3, "PS"), Span(75, 78, "PS"))
    row = extraction.row()
    assert (row["status"], len(row["windows"])) == ("ok", len(windows))
    assert extraction.reply.prompt_tokens == 7 * len(engine.asked)
    # Where a window is halved until it fits, too.
    halved = Names(room=20)
    (same,) = Extractor(recipe, halved, window=200, overlap=0).extract([text])
    assert same.spans == extraction.spans
    assert all(asked.strip() for asked in halved.asked)
    # And one that shows nothing whatever its length has no windows.
    (long,) = Extractor(recipe, engine, window=20, overlap=0).extract([" " * 500])
    assert long.windows == ()


def test_an_answer_nobody_gave_hides_no_blank_one(klue: Recipe) -> None:
    text = TEXT + " " * 60 + TEXT
    (extraction,) = Extractor(klue, Names(reply=""), window=20, overlap=0).extract([text])
    row = extraction.row()
    assert {window["status"] for window in row["windows"]} == {"ok", "empty"}
    assert row["status"] == "empty"
    assert extraction.is_blank
    assert is_blank_row(row)


def test_a_recorded_reply_to_such_a_text_is_used(klue: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text(
        "".join(
            json.dumps({"id": str(n), "text": text, "reply": '{"PS": ["x"]}'}) + "\n"
            for n, text in enumerate(INVISIBLE)
        ),
        "utf-8",
    )
    engine = create_generator("recorded", path=path)
    sentences = [Sentence(text, (), str(n)) for n, text in enumerate(INVISIBLE)]
    for extraction in Extractor(klue, engine).extract(sentences):
        assert extraction.reply.text == '{"PS": ["x"]}'
        assert [outcome.kind for outcome in extraction.projection.outcomes] == ["not_found"]
    assert engine.unused() == 0  # type: ignore[attr-defined]


SEEN = ("가", "-", "\u0301")


@given(st.text(st.sampled_from([*"\n \u3000\u200b\ufeff\x00\u115f\u3164", *SEEN])))
def test_what_shows_nothing_has_no_place_for_a_mention(text: str) -> None:
    assert is_invisible(text) == (not set(text) & set(SEEN))
    assert not (is_invisible(text) and canonicalize(text).text)
    # Marks that join or choose, and the blank of Braille.
    assert is_invisible(f"{text}\u034f\ufe0f\u2800\U000e0100") == is_invisible(text)
