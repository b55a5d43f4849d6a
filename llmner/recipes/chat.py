"""From a sentence to what a model is asked: chat messages, and the same as plain text.

It does not know which model answers (``generation``) or what was answered (``replies`` reads that).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict

from llmner.files import dump_json, whole_file
from llmner.recipes.recipe import Recipe
from llmner.replies import render_reply
from llmner.spans import Sentence

__all__ = [
    "Message",
    "Prompt",
    "build_prompt",
    "chat_row",
    "completion_row",
    "writable",
    "write_chat",
]


_SURROGATE = re.compile("[\ud800-\udfff]")


class Message(TypedDict):
    """One turn, as chat templates and chat endpoints take it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question, in every shape an engine may need.

    Attributes:
        messages: System, worked examples, user; ends with the user's turn.
        completion: The same conversation as plain text, ending where the answer begins.
        stop: Ends an answer to ``completion``.
        text: The sentence asked about.
        id: The sentence's id.
        grammar: What the answer must match, in llguidance's Lark dialect; ``None`` for anything.
        json_schema: The JSON schema that ``grammar`` stands for, where it stands for one.
        sample: Which of several answers to the same question is asked for, counted from 0.
    """

    messages: tuple[Message, ...]
    completion: str
    stop: str
    text: str
    id: str | None = None
    grammar: str | None = None
    json_schema: Mapping[str, Any] | None = field(default=None, hash=False)
    sample: int = 0


def _messages(recipe: Recipe, text: str, turns: tuple[tuple[str, str], ...]) -> list[Message]:
    system = recipe.system_prompt
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    messages.append({"role": "user", "content": recipe.question(text)})
    return messages


def build_prompt(recipe: Recipe, sentence: Sentence) -> Prompt:
    """What to ask about ``sentence``. Its gold spans are not looked at.

    Half a surrogate pair, which no tokenizer takes, is asked about as U+FFFD.
    """
    layout = recipe.completion
    text = writable(sentence.text)
    parts = [recipe.system_prompt] if recipe.system_prompt else []
    for question, answer in (*recipe.turns, (recipe.question(text), "")):
        parts.append(
            f"{layout.input}{question}"
            + (f"\n{layout.output}{answer}" if layout.output else answer)
        )
    # Models continue a word better from its beginning: no trailing space before the answer.
    parts[-1] = parts[-1].rstrip()
    return Prompt(
        messages=tuple(_messages(recipe, text, recipe.turns)),
        completion=layout.end.join(parts),
        stop=layout.end,
        text=sentence.text,
        id=sentence.id,
    )


def writable(text: str) -> str:
    """A text as Unicode can write it, character by character."""
    return _SURROGATE.sub("\ufffd", text)


def chat_row(recipe: Recipe, sentence: Sentence) -> dict[str, object]:
    """A training row ``{"id", "messages": [system, user, assistant]}`` without worked-example
    turns.
    """
    answer = render_reply(sentence, recipe.reply_format, recipe.schema_)
    messages = _messages(recipe, sentence.text, ())
    messages.append({"role": "assistant", "content": answer})
    return {"id": sentence.id, "messages": messages}


def completion_row(recipe: Recipe, sentence: Sentence) -> dict[str, object]:
    """A training row ``{"id", "prompt": [system, user], "completion": [assistant]}``.

    trl trains on the completion of such rows alone, and on every token of ``messages`` rows.
    """
    row = chat_row(recipe, sentence)
    messages = row["messages"]
    assert isinstance(messages, list)
    return {"id": row["id"], "prompt": messages[:-1], "completion": messages[-1:]}


def write_chat(
    sentences: Iterable[Sentence],
    path: str | PathLike[str],
    recipe: Recipe,
    *,
    prompt_completion: bool = False,
) -> int:
    """Write training rows as JSON Lines, in one piece or not at all; gives their number.

    The same sentences and recipe give the same bytes. Memory stays flat.

    Args:
        sentences: Sentences with gold spans.
        path: The file; ``-`` for standard output.
        recipe: What to ask and how to answer.
        prompt_completion: Rows of :func:`completion_row` instead of :func:`chat_row`.

    Raises:
        InputError: The file cannot be written.
    """
    build = completion_row if prompt_completion else chat_row
    count = 0
    with whole_file(Path(path)) as stream:
        for sentence in sentences:
            stream.write(dump_json(build(recipe, sentence)) + b"\n")
            count += 1
    return count
