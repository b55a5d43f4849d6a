"""Further passes: what is covered, what is united, and when there is nothing more to ask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from llmner.asking import AskOptions, build, build_baseline
from llmner.engines import Reply
from llmner.errors import InputError
from llmner.extraction import Extractor
from llmner.extraction._coverage import Coverage
from llmner.extraction.passes import COVER, PassesExtractor, covered
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence

NAMES = ("손흥민", "춘천", "런던")


class Shy:
    """Names one thing at a time, and whatever it is told about covered text."""

    def __init__(self, extra: str = "") -> None:
        self.asked: list[str] = []
        self.extra = extra

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.asked += [prompt.text for prompt in prompts]
        return [Reply(self.answer(prompt.text), "stop", 5, 2) for prompt in prompts]

    def answer(self, text: str) -> str:
        found = [name for name in NAMES if name in text][:1]
        return json.dumps({"LC": [*found, *([self.extra] if COVER in text else [])]})

    def describe(self) -> dict[str, Any]:
        return {"engine": "shy"}


def passes(engine: Shy, count: int) -> PassesExtractor:
    return PassesExtractor(Extractor(Recipe.load("klue"), engine, batch_size=4), count)


TEXT = "손흥민은 춘천에서 런던으로"


def test_each_pass_asks_about_what_is_left() -> None:
    engine = Shy()
    (one,) = passes(engine, 1).extract(TEXT)
    assert [span.text for span in one.spans] == ["손흥민"]
    engine = Shy()
    (doc,) = passes(engine, 9).extract(Sentence(TEXT, id="7"))
    assert [span.text for span in doc.spans] == ["손흥민", "춘천", "런던"]
    assert doc.sentence.text == TEXT
    assert doc.sentence.id == "7"
    # The fourth finds nothing new, and is the last.
    assert engine.asked == [
        TEXT,
        "○○○은 춘천에서 런던으로",
        "○○○은 ○○에서 런던으로",
        "○○○은 ○○에서 ○○으로",
    ]
    assert (doc.reply.prompt_tokens, doc.reply.completion_tokens) == (20, 8)
    assert len(doc.reply.text.splitlines()) == 4
    assert [outcome.kind for outcome in doc.projection.outcomes] == ["exact"] * 3
    assert doc.row()["spans"][2]["start"] == 10
    ranges = [(part["start"], part["end"]) for part in doc.row()["windows"]]
    assert ranges == [(0, len(TEXT))] * 4


def test_texts_without_a_find_are_asked_about_once() -> None:
    engine = Shy()
    docs = list(passes(engine, 2).extract(["아무것도", TEXT, "없다", "런던", "춘천"]))
    assert [len(doc.spans) for doc in docs] == [0, 2, 0, 1, 1]
    assert engine.asked.count("아무것도") == 1
    assert len(engine.asked) == 8


@pytest.mark.parametrize("extra", [COVER * 3, f"{COVER}은", "서울", "은 춘천"])
def test_what_is_covered_is_found_no_more(extra: str) -> None:
    (doc,) = passes(Shy(extra), 2).extract(TEXT)
    assert {"손흥민"} <= {span.text for span in doc.spans} <= {"손흥민", "춘천", "은 춘천"}
    assert all(COVER not in (span.text or "") for span in doc.spans)
    places = [set(range(span.start, span.end)) for span in doc.spans]
    assert sum(map(len, places)) == len(set().union(*places))


def test_a_further_pass_that_fails_or_is_cut_is_counted() -> None:
    class Tired(Shy):
        def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
            replies = super().generate(prompts)
            if not any(COVER in prompt.text for prompt in prompts):
                return replies
            ends = [Reply(replies[0].text, "length", 5, 2), Reply("", "error", error="gone")]
            return ends[: len(prompts)]

    docs = list(passes(Tired(), 2).extract([TEXT, "춘천과 런던"]))
    assert [len(doc.spans) for doc in docs] == [2, 1]
    assert [doc.reply.error for doc in docs] == [None, None]
    coverage = Coverage()
    for doc in docs:
        coverage.add(doc.row())
        coverage.ask(doc)
    assert (coverage.cut, coverage.windows_failed, coverage.unread) == (1, 1, 0)
    assert (coverage.prompt_tokens, coverage.completion_tokens) == (15, 6)


def test_covering_keeps_offsets() -> None:
    (doc,) = Extractor(Recipe.load("klue"), Shy()).extract("😀 손흥민은")
    assert covered(doc).text == "😀 ○○○은"


def test_the_option_builds_it_and_says_where_it_does_not_apply() -> None:
    extractor = build(AskOptions.of(engine="openai", recipe="klue", model="m", passes=2))
    assert isinstance(extractor, PassesExtractor)
    assert extractor.describe()["passes"] == 2
    assert isinstance(build(AskOptions.of(engine="openai", model="m")), Extractor)
    with pytest.raises(InputError, match="passes does not apply to a baseline"):
        build_baseline(AskOptions.of(engine="baseline:x", passes=2))
