"""The extractor on a small fake engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from llmner.chat import Prompt
from llmner.errors import GenerationError, InputError
from llmner.extraction import Extractor
from llmner.generation import Reply
from llmner.recipes import Recipe
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
        return [Reply(json.dumps({"PS": [prompt.text.split()[0]]}, ensure_ascii=False)) for prompt in prompts]

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


def test_plain_strings_are_sentences(klue: Recipe) -> None:
    (extraction,) = Extractor(klue, Echo()).extract(["손흥민 왔다"])
    row = extraction.row()
    assert row["spans"] == [{"start": 0, "end": 3, "label": "PS"}]
    assert row["outcomes"][0]["kind"] == "exact"
    assert row["status"] == "ok"


def test_a_policy_that_does_not_exist_fails_at_once(klue: Recipe) -> None:
    with pytest.raises(TypeError):
        Extractor(klue, Echo(), fuzy=0.9)
    with pytest.raises(InputError, match="batch size 0"):
        Extractor(klue, Echo(), batch_size=0)
