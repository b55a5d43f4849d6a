"""Grammars of replies that can only name what is in the sentence, in llguidance's Lark dialect.

One grammar a sentence: valid in the reply format, with labels of the schema, each mention a stretch of the
sentence, character for character, as the format escapes it. How an engine keeps to it is the engine's.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from llmner.errors import InputError
from llmner.replies import NOTHING
from llmner.schema import LabelSchema

__all__ = ["GROUNDED_FORMATS", "reply_grammar"]

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
    rules = ['start: "{}" | "{" from_0 "}"']
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
        'start: "[]" | "[" entity (", " entity)* "]"',
        r'entity: "{\"label\": " label ", \"text\": \"" MENTION "\"}"',
        f"label: {labels}",
    ]
    return "\n".join(rules) + "\n" + _mention(text, _json_escape)


def _rows(row: str) -> Callable[[str, tuple[str, ...]], str]:
    def grammar(text: str, codes: tuple[str, ...]) -> str:
        rules = [
            f'start: {_quoted(NOTHING)} | row ("\\n" row)*',
            f"row: {row}",
            f"label: {' | '.join(map(_quoted, codes))}",
        ]
        return "\n".join(rules) + "\n" + _mention(text, lambda char: _LINE.get(char, char))

    return grammar


def _tagged(text: str, codes: tuple[str, ...]) -> str:
    """The sentence itself; before each character a mention may begin, and after it one may end."""
    last = len(text)
    rules = ["start: out_0"]
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
        return f"start: {_quoted(empty)}\n"
    return GROUNDED_FORMATS[format](text, schema.codes)
