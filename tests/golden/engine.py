"""An engine that answers from gold, with faults that follow from the question alone."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence
from typing import Any

from llmner import Recipe, Sentence, Span, render_reply
from llmner.engines import Reply, Token
from llmner.recipes.chat import Prompt

__all__ = ["Scripted"]


class Scripted:
    """Knows the names in some sentences; says some of them wrong, and every so often nothing at
    all.

    Args:
        sentences: Whose names it knows.
        recipe: How it answers.
    """

    constrains = True

    def __init__(self, sentences: Sequence[Sentence], recipe: Recipe) -> None:
        self.recipe = recipe
        self.names = {s.surface(span): span.label for s in sentences for span in s.spans}

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        return [self._reply(prompt) for prompt in prompts]

    def describe(self) -> dict[str, Any]:
        return {"engine": "scripted"}

    def _reply(self, prompt: Prompt) -> Reply:
        rng = random.Random(zlib.crc32(prompt.text.encode()) + prompt.sample)
        if rng.random() < 0.05:
            return Reply("", "error", error="there is nobody at home")
        reply = render_reply(
            Sentence(prompt.text, self._spans(prompt.text, rng)),
            self.recipe.reply_format,
            self.recipe.schema_,
        )
        ended = "stop"
        if prompt.grammar is None and rng.random() < 0.1:
            reply, ended = reply[: rng.randint(0, len(reply))], "length"
        tokens = tuple(
            Token(at, min(at + 2, len(reply)), -(rng.random() ** 4))
            for at in range(0, len(reply), 2)
        )
        return Reply(reply, ended, len(prompt.text), len(tokens), tokens=tokens)  # type: ignore[arg-type]

    def _spans(self, text: str, rng: random.Random) -> tuple[Span, ...]:
        spans: list[Span] = []
        for name in sorted(self.names, key=len, reverse=True):
            for match in re.finditer(re.escape(name), text):
                start, end = match.span()
                if (
                    any(span.start < end and start < span.end for span in spans)
                    or rng.random() < 0.1
                ):
                    continue
                if rng.random() < 0.2 and end < len(text):
                    end += all(span.start > end or span.end <= start for span in spans)
                label = (
                    rng.choice(self.recipe.schema_.codes)
                    if rng.random() < 0.05
                    else self.names[name]
                )
                spans.append(Span(start, end, label))
        return tuple(sorted(spans, key=lambda span: span.start))
