"""``json-by-type``: an object with the surfaces of each label, ``{"PS": ["손흥민"]}``.

The mentions of one label come in the order of the text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llmner.replies._drafts import exact_json, read_json
from llmner.replies._places import places_in_json
from llmner.replies._types import Place, Reading
from llmner.replies.formats._format import ReplyFormat
from llmner.replies.formats._grammar import json_character, mention_terminal, ordered_rules, quoted
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence

__all__ = ["FORMAT"]


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    codes = schema.codes if schema is not None else ()
    by_label: dict[str, list[str]] = {code: [] for code in codes}
    for span in sentence.spans:
        by_label.setdefault(span.label, []).append(sentence.surface(span))
    without_empty = {label: surfaces for label, surfaces in by_label.items() if surfaces}
    return json.dumps(without_empty, ensure_ascii=False)


def _mentions(value: Any) -> list[Mention] | None:
    if not isinstance(value, dict):
        return None
    if not all(isinstance(surfaces, list) for surfaces in value.values()):
        return None
    return [Mention(label, surface) for label, surfaces in value.items() for surface in surfaces]


def _read_exact(reply: str, schema: LabelSchema) -> Reading | None:
    return exact_json("json-by-type", reply, _mentions)


def _places(reply: str, mentions: Sequence[Mention]) -> list[Place | None]:
    return places_in_json(reply, mentions, by_type=True)


def _grammar(text: str, schema: LabelSchema) -> str:
    """The grammar; each label comes at most once, in the schema's order, so that replies end."""
    heads = [quoted(f"{json.dumps(code, ensure_ascii=False)}: [") for code in schema.codes]
    rules = [
        'reply: "{}" | "{" from_0 "}"',
        *ordered_rules([f'{head} surface (", " surface)* "]"' for head in heads], quoted(", ")),
        'surface: "\\"" MENTION "\\""',
    ]
    return "\n".join(rules) + "\n" + mention_terminal(text, json_character)


def _json_schema(schema: LabelSchema) -> dict[str, Any]:
    surfaces = {"type": "array", "items": {"type": "string", "minLength": 1}}
    return {
        "type": "object",
        "properties": dict.fromkeys(schema.codes, surfaces),
        "additionalProperties": False,
    }


FORMAT = ReplyFormat(
    name="json-by-type",
    order="label",
    write=_write,
    read_exact=_read_exact,
    read=read_json,
    places=_places,
    grammar=_grammar,
    json_schema=_json_schema,
)
