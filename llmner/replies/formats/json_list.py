"""``json-list``: a list of mentions, ``[{"label": "PS", "text": "손흥민"}]``.

The mentions come in the order of the text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llmner.replies._drafts import exact_json, read_json
from llmner.replies._places import places_in_json
from llmner.replies._types import Place, Reading
from llmner.replies.formats._format import ReplyFormat
from llmner.replies.formats._grammar import json_character, mention_terminal, quoted
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence

__all__ = ["FORMAT"]


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    entities = [{"label": span.label, "text": sentence.surface(span)} for span in sentence.spans]
    return json.dumps(entities, ensure_ascii=False)


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
    try:
        pairs = [(entity["label"], entity["text"]) for entity in value]
    except (TypeError, KeyError):
        return None
    return pairs if all(set(entity) == {"label", "text"} for entity in value) else None


def _read_exact(reply: str, schema: LabelSchema) -> Reading | None:
    return exact_json("json-list", reply, _pairs)


def _places(reply: str, mentions: Sequence[Mention]) -> list[Place | None]:
    return places_in_json(reply, mentions, by_type=False)


def _grammar(text: str, codes: tuple[str, ...]) -> str:
    labels = " | ".join(quoted(json.dumps(code, ensure_ascii=False)) for code in codes)
    rules = [
        'reply: "[]" | "[" entity (", " entity)* "]"',
        r'entity: "{\"label\": " label ", \"text\": \"" MENTION "\"}"',
        f"label: {labels}",
    ]
    return "\n".join(rules) + "\n" + mention_terminal(text, json_character)


def _json_schema(codes: tuple[str, ...]) -> dict[str, Any]:
    entity = {
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": list(codes)},
            "text": {"type": "string", "minLength": 1},
        },
        "required": ["label", "text"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": entity}


FORMAT = ReplyFormat(
    name="json-list",
    order="text",
    write=_write,
    read_exact=_read_exact,
    read=read_json,
    places=_places,
    grammar=_grammar,
    json_schema=_json_schema,
)
