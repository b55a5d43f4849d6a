"""From a recipe and a sentence to a prompt: chat messages, and the same as plain text.

Engines answer prompts, and ``llmner.replies`` reads the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict

from llmner._unicode import askable
from llmner.errors import InputError
from llmner.files import dump_json, whole_file
from llmner.recipes.recipe import Recipe
from llmner.replies import render_reply
from llmner.schema import Label
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "Message",
    "Prompt",
    "build_prompt",
    "chat_row",
    "completion_row",
    "plain_chat_template",
    "write_chat",
]


class Message(TypedDict):
    """One turn of a conversation, in the form of chat templates and chat endpoints."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question, in every form an engine may need.

    Attributes:
        messages: The system prompt, the worked examples and the question; the last turn is the
            user's.
        completion: The same conversation as plain text, ending where the answer begins.
        stop: The text that ends an answer to ``completion``.
        text: The sentence asked about.
        id: The sentence's id.
        grammar: The grammar that the answer must match, in llguidance's Lark dialect; ``None`` for
            any answer.
        json_schema: The JSON schema that ``grammar`` stands for, if it stands for one.
        sample: The number of this sample of several answers to the question, counted from 0.

    >>> prompt = build_prompt(Recipe.load("klue"), Sentence("손흥민은 춘천에서 태어났다."))
    >>> [message["role"] for message in prompt.messages][-1], prompt.text
    ('user', '손흥민은 춘천에서 태어났다.')
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
    """The prompt for one sentence. Its gold spans are not used.

    Lone surrogates, which tokenizers do not take, become U+FFFD, and decomposed text is composed.

    Raises:
        RecipeError: The recipe's user template fails on this text.

    >>> prompt = build_prompt(Recipe.load("klue"), Sentence("손흥민은 춘천에서 태어났다."))
    >>> prompt.completion.endswith("문장: 손흥민은 춘천에서 태어났다.\\n개체명:")
    True
    """
    layout = recipe.completion
    text = askable(sentence.text)
    parts = [recipe.system_prompt] if recipe.system_prompt else []
    for question, answer in (*recipe.turns, (recipe.question(text), "")):
        parts.append(
            f"{layout.input}{question}"
            + (f"\n{layout.output}{answer}" if layout.output else answer)
        )
    # Models continue better from the beginning of a token: no space before the answer.
    parts[-1] = parts[-1].rstrip()
    return Prompt(
        messages=tuple(_messages(recipe, text, recipe.turns)),
        completion=layout.end.join(parts),
        stop=layout.end,
        text=sentence.text,
        id=sentence.id,
    )


def plain_chat_template(recipe: Recipe) -> str:
    """A chat template that renders a conversation as :attr:`Prompt.completion` does.

    Servers that know no other form than chats ask a model with it as it was trained.

    Returns:
        A Jinja template of ``messages``.

    >>> import jinja2
    >>> recipe = Recipe.load("klue")
    >>> prompt = build_prompt(recipe, Sentence("손흥민은 춘천에서 태어났다."))
    >>> template = jinja2.Template(plain_chat_template(recipe), keep_trailing_newline=True)
    >>> template.render(messages=prompt.messages) == prompt.completion
    True
    """
    layout = recipe.completion
    told = f"\n{layout.output}" if layout.output else ""
    before, after, end, last = map(_quoted, (layout.input, told, layout.end, told.rstrip()))
    question = "(message['content'] | trim)" if not told else "message['content']"
    return (
        "{%- for message in messages -%}"
        f"{{%- if message['role'] == 'user' -%}}{{{{- {before} -}}}}"
        f"{{%- if loop.last -%}}{{{{- {question} ~ {last} -}}}}"
        f"{{%- else -%}}{{{{- message['content'] ~ {after} -}}}}{{%- endif -%}}"
        f"{{%- else -%}}{{{{- message['content'] ~ {end} -}}}}{{%- endif -%}}"
        "{%- endfor -%}"
    )


def _quoted(text: str) -> str:
    """A string as Jinja reads it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def chat_row(recipe: Recipe, sentence: Sentence) -> dict[str, object]:
    """A training row ``{"id", "messages": [system, user, assistant]}``.

    Worked examples have no turns of their own in it.

    Raises:
        InputError: The recipe does not have a label of the text, or the value of an attribute.

    >>> from llmner.spans import Span
    >>> row = chat_row(Recipe.load("klue"), Sentence("춘천에서", (Span(0, 2, "LC"),)))
    >>> row["messages"][-1]
    {'role': 'assistant', 'content': '{"LC": ["춘천"]}'}
    """
    _check(recipe, sentence)
    answer = render_reply(sentence, recipe.reply_format, recipe.schema_)
    messages = _messages(recipe, sentence.text, ())
    messages.append({"role": "assistant", "content": answer})
    return {"id": sentence.id, "messages": messages}


def _check(recipe: Recipe, sentence: Sentence) -> None:
    """Check that a recipe has the labels of a whole text, and the values of attributes.

    What a label does not declare is no part of an answer, and may be anything.

    Raises:
        InputError: It has not.
    """
    schema = recipe.schema_
    items: list[tuple[Label | None, Span | TextLabel]] = [
        (schema.by_code.get(span.label), span) for span in sentence.spans if schema.has_attributes
    ]
    if recipe.text_labels:
        items += [(schema.text_label(label.label), label) for label in sentence.labels]
    for label, item in items:
        if label is None:
            raise InputError(
                f"label {item.label!r} is not among the labels of recipe {recipe.name}",
                id=sentence.id,
                hint="use a recipe that has it",
            )
        for name, attribute in label.attributes.items():
            value = item.attributes.get(name)
            if value is not None and not attribute.has(value):
                raise InputError(
                    f"{value!r} is no value of {label.code}.{name} in recipe {recipe.name}",
                    id=sentence.id,
                    hint="use a recipe that has it",
                )


def completion_row(recipe: Recipe, sentence: Sentence) -> dict[str, object]:
    """A training row ``{"id", "prompt": [system, user], "completion": [assistant]}``.

    trl trains on the completion only. With ``messages`` rows it trains on every token.

    >>> row = completion_row(Recipe.load("klue"), Sentence("춘천에서"))
    >>> list(row), row["completion"]
    (['id', 'prompt', 'completion'], [{'role': 'assistant', 'content': '{}'}])
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
    """Write training rows as JSON Lines; the file is written whole or not at all.

    The same sentences and recipe give the same bytes. Sentences are streamed, so memory use does
    not grow with their number.

    Args:
        sentences: Sentences with gold spans.
        path: The file; ``-`` for standard output.
        recipe: The recipe.
        prompt_completion: Write rows of :func:`completion_row` instead of :func:`chat_row`.

    Returns:
        The number of rows.

    Raises:
        InputError: The file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_chat([Sentence("춘천에서")], Path(folder) / "chat.jsonl", Recipe.load("klue"))
    1
    """
    build = completion_row if prompt_completion else chat_row
    count = 0
    with whole_file(Path(path)) as stream:
        for sentence in sentences:
            stream.write(dump_json(build(recipe, sentence)) + b"\n")
            count += 1
    return count
