"""Grammars of replies that can only name what is in the sentence, in llguidance's Lark dialect.

One grammar a sentence: valid in the reply format, with labels of the schema, each mention a stretch of the
sentence, character for character, as the format escapes it. Beside them JSON schemas, for endpoints that take
no grammars: valid in the reply format, but free to invent text. How an engine keeps to either is the engine's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmner.errors import InputError, MissingExtraError
from llmner.replies import NOTHING
from llmner.schema import LabelSchema

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
_LINE = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_OUTSIDE = {**_LINE, "<": "\\<"}
_INSIDE = {**_OUTSIDE, ">": "\\>", ":": "\\:"}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _mention(text: str, escape: Callable[[str], str]) -> str:
    """The terminal MENTION: a stretch of the text that is not empty and has no space at its edges."""
    chunks = json.dumps([escape(char) for char in text], ensure_ascii=False)
    return f'STRETCH: %regex {{"substring_chunks": {chunks}}}\nMENTION: STRETCH & /[^ ]([^\\n]*[^ ])?/\n'


def _json_escape(char: str) -> str:
    return json.dumps(char, ensure_ascii=False)[1:-1]


def _json_by_type(text: str, codes: tuple[str, ...]) -> str:
    """Each label at most once, in the schema's order, so that a reply ends when all labels are through."""
    rules = ['reply: "{}" | "{" from_0 "}"']
    for at in range(len(codes)):
        # From this label on, the first one that is there, and what follows it.
        firsts = []
        for number in range(at, len(codes)):
            rest = f' (", " from_{number + 1})?' if number + 1 < len(codes) else ""
            firsts.append(f"label_{number}{rest}")
        rules.append(f"from_{at}: {' | '.join(firsts)}")
    for number, code in enumerate(codes):
        head = _quoted(f"{json.dumps(code, ensure_ascii=False)}: [")
        rules.append(f'label_{number}: {head} surface (", " surface)* "]"')
    rules.append('surface: "\\"" MENTION "\\""')
    return "\n".join(rules) + "\n" + _mention(text, _json_escape)


def _json_list(text: str, codes: tuple[str, ...]) -> str:
    labels = " | ".join(_quoted(json.dumps(code, ensure_ascii=False)) for code in codes)
    rules = [
        'reply: "[]" | "[" entity (", " entity)* "]"',
        r'entity: "{\"label\": " label ", \"text\": \"" MENTION "\"}"',
        f"label: {labels}",
    ]
    return "\n".join(rules) + "\n" + _mention(text, _json_escape)


def _rows(row: str) -> Callable[[str, tuple[str, ...]], str]:
    def grammar(text: str, codes: tuple[str, ...]) -> str:
        rules = [
            f'reply: {_quoted(NOTHING)} | row ("\\n" row)*',
            f"row: {row}",
            f"label: {' | '.join(map(_quoted, codes))}",
        ]
        return "\n".join(rules) + "\n" + _mention(text, lambda char: _LINE.get(char, char))

    return grammar


def _tagged(text: str, codes: tuple[str, ...]) -> str:
    """The sentence itself; before each character a mention may begin, and after it one may end."""
    last = len(text)
    rules = ["reply: out_0"]
    for at, char in enumerate(text):
        own, inside = _quoted(_OUTSIDE.get(char, char)), _quoted(_INSIDE.get(char, char))
        rules.append(f'out_{at}: {own} out_{at + 1} | "<" in_{at}')
        ends = f'":" label ">" out_{at + 1}'
        rules.append(
            f"in_{at}: {inside} (in_{at + 1} | {ends})" if at + 1 < last else f"in_{at}: {inside} {ends}"
        )
    rules.append(f'out_{last}: ""')
    rules.append(f"label: {' | '.join(map(_quoted, codes))}")
    return "\n".join(rules) + "\n"


GROUNDED_FORMATS: dict[str, Callable[[str, tuple[str, ...]], str]] = {
    "json-by-type": _json_by_type,
    "json-list": _json_list,
    "tagged": _tagged,
    "lines": _rows('label "\\t" MENTION'),
    "pairs": _rows('MENTION "\\t" label'),
}
"""How the grammar of each reply format is made."""


def reply_grammar(text: str, format: str, schema: LabelSchema) -> str:
    """The grammar of a sentence's replies. O(characters), for json-by-type and its labels O(labels²).

    Args:
        text: The sentence.
        format: A reply format.
        schema: Whose label codes may be given, in its order.

    Raises:
        InputError: A format without a grammar.
    """
    if format not in GROUNDED_FORMATS:
        raise InputError(f"replies in {format} cannot be grounded", hint=f"use {', '.join(GROUNDED_FORMATS)}")
    if not text.strip(" "):
        # Nothing to name: only the reply that says so.
        empty = {"json-by-type": "{}", "json-list": "[]", "tagged": text}.get(format, NOTHING)
        return f"{_START}reply: {_quoted(empty)}\n"
    return _START + GROUNDED_FORMATS[format](text, schema.codes)


def reply_schema(format: str, schema: LabelSchema) -> dict[str, Any]:
    """The JSON schema of a format's replies, whatever the sentence. Mentions may still be invented.

    Raises:
        InputError: A format that is no JSON.
    """
    if format == "json-by-type":
        surfaces = {"type": "array", "items": {"type": "string", "minLength": 1}}
        return {
            "type": "object",
            "properties": dict.fromkeys(schema.codes, surfaces),
            "additionalProperties": False,
        }
    if format == "json-list":
        entity = {
            "type": "object",
            "properties": {
                "label": {"type": "string", "enum": list(schema.codes)},
                "text": {"type": "string", "minLength": 1},
            },
            "required": ["label", "text"],
            "additionalProperties": False,
        }
        return {"type": "array", "items": entity}
    raise InputError(f"replies in {format} have no JSON schema", hint="use json-by-type or json-list")


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
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and (cut or matcher.is_accepting()))
