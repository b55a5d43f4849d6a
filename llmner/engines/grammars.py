"""Grammars of replies that can only name what is in the sentence, in llguidance's Lark dialect.

One grammar a sentence: valid in the reply format, with labels of the schema, each mention a stretch
of the sentence, character for character, as the format escapes it. Beside them JSON schemas, for
endpoints that take no grammars: valid in the reply format, but free to invent text. The rules are
each format's own; what is put around them for engines is here, and how an engine keeps to them is
the engine's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from llmner.errors import InputError, MissingExtraError
from llmner.replies import REPLY_FORMATS
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


class _Grounded(Mapping[str, Callable[[str, tuple[str, ...]], str]]):
    """The grammars of the formats there are, also of one that is registered later."""

    def __getitem__(self, name: str) -> Callable[[str, tuple[str, ...]], str]:
        return REPLY_FORMATS[name].grammar

    def __iter__(self) -> Iterator[str]:
        return iter(REPLY_FORMATS)

    def __len__(self) -> int:
        return len(REPLY_FORMATS)


GROUNDED_FORMATS: Mapping[str, Callable[[str, tuple[str, ...]], str]] = _Grounded()
"""How the grammar of each reply format is made."""


def reply_grammar(text: str, format: str, schema: LabelSchema) -> str:
    """The grammar of a sentence's replies. O(characters), for json-by-type and its labels
    O(labels²).

    Args:
        text: The sentence.
        format: A reply format.
        schema: Whose label codes may be given, in its order.

    Raises:
        InputError: A format without a grammar.
    """
    if format not in REPLY_FORMATS:
        raise InputError(
            f"replies in {format} cannot be grounded", hint=f"use {', '.join(REPLY_FORMATS)}"
        )
    if not text.strip(" "):
        # Nothing to name: only the reply that says so.
        nothing = REPLY_FORMATS[format].write(Sentence(text), None)
        return f"{_START}reply: {_quoted(nothing)}\n"
    return _START + REPLY_FORMATS[format].grammar(text, schema.codes)


def reply_schema(format: str, schema: LabelSchema) -> dict[str, Any]:
    """The JSON schema of a format's replies, whatever the sentence. Mentions may still be invented.

    Raises:
        InputError: A format that is no JSON.
    """
    asked = REPLY_FORMATS.get(format)
    if asked is None or asked.json_schema is None:
        json_formats = [
            name for name, each in REPLY_FORMATS.items() if each.json_schema is not None
        ]
        raise InputError(
            f"replies in {format} have no JSON schema", hint=f"use {' or '.join(json_formats)}"
        )
    return asked.json_schema(schema.codes)


def schema_grammar(schema: Mapping[str, Any]) -> str:
    """A JSON schema as a grammar, with the white space that reply formats write."""
    spaced = {
        **schema,
        "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
    }
    return f"{_START}reply: %json {json.dumps(spaced, ensure_ascii=False)}\n"


def continued(grammar: str, stop: str) -> str:
    """The grammar of a completion: a space may go before the answer, its stop string may follow."""
    assert grammar.startswith(_START)
    return f'start: (" " | "\\n")? reply ({_quoted(stop)})?\n{grammar.removeprefix(_START)}'


def ended(grammar: str, ends: Sequence[int]) -> str:
    """The grammar of an answer that further tokens may end.

    vLLM lets a grammar end with the tokenizer's own end token only, and chat models have others.
    """
    start, _, rest = grammar.partition("\n")
    tokens = " | ".join(f"<[{token}]>" for token in ends)
    return f"{start} ({tokens})?\n{rest}"


def is_answer(reply: str, grammar: str, *, cut: bool = False) -> bool:
    """Whether a grammar allows a reply, or with ``cut`` the beginning of one.

    Raises:
        MissingExtraError: llguidance is not installed.
    """
    try:
        from llguidance import LLMatcher, LLTokenizer
    except ImportError:
        raise MissingExtraError("openai", "checking that an endpoint keeps to a grammar") from None
    bytes_ = LLTokenizer("byte")
    matcher = LLMatcher(bytes_, LLMatcher.grammar_from_lark(grammar), log_level=0)
    if cut:
        # The last character may be half of one.
        reply = reply.rstrip("\ufffd")
    tokens = bytes_.tokenize_bytes(reply.encode("utf-8", "replace"))
    return bool(
        matcher.try_consume_tokens(tokens) == len(tokens) and (cut or matcher.is_accepting())
    )
