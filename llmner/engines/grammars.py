"""Grammars of replies that can only name what is in the sentence, in llguidance's Lark dialect.

Each sentence has a grammar of its own. It allows replies in the reply format, with labels of the
schema, whose mentions are substrings of the sentence, escaped as the format requires.

For endpoints that take no grammars there are JSON schemas: they hold replies to the format, but a
model can still invent text.

Each reply format defines its own rules. This module adds what engines need around them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from llmner.errors import InputError, MissingExtraError
from llmner.replies import (
    LABEL_FORMATS,
    REPLY_FORMATS,
    LabelFormat,
    ReplyFormat,
    is_about_texts,
)
from llmner.schema import LabelSchema
from llmner.spans import Sentence

__all__ = [
    "GROUNDED_FORMATS",
    "continued",
    "ended",
    "is_answer",
    "reply_grammar",
    "reply_schema",
    "schema_grammar",
]

_START = "start: reply\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class _Grounded(Mapping[str, Callable[[str, LabelSchema], str]]):
    """The grammars of all reply formats, including formats that are registered later."""

    def __getitem__(self, name: str) -> Callable[[str, LabelSchema], str]:
        return REPLY_FORMATS[name].grammar

    def __iter__(self) -> Iterator[str]:
        return iter(REPLY_FORMATS)

    def __len__(self) -> int:
        return len(REPLY_FORMATS)


GROUNDED_FORMATS: Mapping[str, Callable[[str, LabelSchema], str]] = _Grounded()
"""For each reply format, the function from a text and a schema to grammar rules."""


def reply_grammar(text: str, format: str, schema: LabelSchema) -> str:
    """The grammar of a sentence's replies. O(characters + labels).

    >>> grammar = reply_grammar("Anna sings", "lines", LabelSchema.of("PS"))
    >>> is_answer("PS\\tAnna", grammar), is_answer("PS\\tBerta", grammar)
    (True, False)

    Args:
        text: The sentence.
        format: A reply format.
        schema: The labels that may be given.

    Raises:
        InputError: The format has no grammar.
    """
    if is_about_texts(schema) and format in LABEL_FORMATS:
        return _START + LABEL_FORMATS[format].grammar(text, schema)
    if format not in REPLY_FORMATS:
        raise InputError(
            f"replies in {format} cannot be grounded", hint=f"use {', '.join(REPLY_FORMATS)}"
        )
    if not text.strip(" "):
        # Nothing can be named: only the empty reply is allowed.
        empty = REPLY_FORMATS[format].write(Sentence(text), None)
        return f"{_START}reply: {_quoted(empty)}\n"
    return _START + REPLY_FORMATS[format].grammar(text, schema)


def reply_schema(format: str, schema: LabelSchema) -> dict[str, Any]:
    """The JSON schema of a format's replies. It does not depend on the sentence.

    >>> schema = reply_schema("json-by-type", LabelSchema.of("PS", "LC"))
    >>> list(schema["properties"])
    ['PS', 'LC']

    Raises:
        InputError: The format is not JSON.
    """
    formats: Mapping[str, ReplyFormat | LabelFormat] = (
        LABEL_FORMATS if is_about_texts(schema) else REPLY_FORMATS
    )
    reply_format = formats.get(format)
    if reply_format is None or reply_format.json_schema is None:
        json_formats = [name for name, other in formats.items() if other.json_schema is not None]
        raise InputError(
            f"replies in {format} have no JSON schema", hint=f"use {' or '.join(json_formats)}"
        )
    return reply_format.json_schema(schema)


def schema_grammar(schema: Mapping[str, Any]) -> str:
    """A JSON schema as a grammar, with the white space that reply formats write.

    >>> grammar = schema_grammar({"type": "array", "items": {"type": "integer"}})
    >>> is_answer("[1, 2]", grammar), is_answer("[1,2]", grammar)
    (True, False)
    """
    spaced = {
        **schema,
        "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
    }
    return f"{_START}reply: %json {json.dumps(spaced, ensure_ascii=False)}\n"


def continued(grammar: str, stop: str) -> str:
    """The grammar of a completion: white space may come before the answer, and its stop after.

    >>> is_answer(" yes\\n", continued('start: reply\\nreply: "yes"\\n', "\\n"))
    True
    """
    assert grammar.startswith(_START)
    return f'start: (" " | "\\n")? reply ({_quoted(stop)})?\n{grammar.removeprefix(_START)}'


def ended(grammar: str, ends: Sequence[int]) -> str:
    """The grammar of an answer that further tokens may end.

    In vLLM only the tokenizer's own end token ends a grammar, but chat models have others.

    >>> print(ended('start: reply\\nreply: "yes"\\n', [106]), end="")
    start: reply (<[106]>)?
    reply: "yes"

    Args:
        grammar: The grammar.
        ends: Ids of the tokens.
    """
    start, _, rest = grammar.partition("\n")
    tokens = " | ".join(f"<[{token}]>" for token in ends)
    return f"{start} ({tokens})?\n{rest}"


def is_answer(reply: str, grammar: str, *, cut: bool = False) -> bool:
    """Whether a grammar allows a reply, or with ``cut`` the beginning of one.

    >>> is_answer("ye", 'start: "yes"'), is_answer("ye", 'start: "yes"', cut=True)
    (False, True)

    Raises:
        MissingExtraError: llguidance is not installed.
    """
    try:
        from llguidance import LLMatcher, LLTokenizer
    except ImportError:
        raise MissingExtraError("openai", "checking that an endpoint keeps to a grammar") from None
    tokenizer = LLTokenizer("byte")
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(grammar), log_level=0)
    if cut:
        # The last character may be incomplete.
        reply = reply.rstrip("\ufffd")
    tokens = tokenizer.tokenize_bytes(reply.encode("utf-8", "replace"))
    return bool(
        matcher.try_consume_tokens(tokens) == len(tokens) and (cut or matcher.is_accepting())
    )
