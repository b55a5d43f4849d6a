"""``json-list``: a list of mentions, ``[{"label": "PS", "text": "손흥민"}]``.

The mentions come in the order of the text. Attributes stand beside label and text, under their
names: ``[{"label": "TERM", "text": "food", "polarity": "positive"}]``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llmner.replies._drafts import exact_json, read_json
from llmner.replies._places import places_in_json
from llmner.replies._types import Place, Reading
from llmner.replies.formats._attributes import declared, json_schema_of, value_grammar, value_rules
from llmner.replies.formats._format import ReplyFormat
from llmner.replies.formats._grammar import json_character, mention_terminal, quoted
from llmner.schema import Label, LabelSchema
from llmner.spans import Mention, Sentence

__all__ = ["FORMAT"]


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    entities = [
        {"label": span.label, "text": sentence.surface(span)}
        | declared(span.attributes, span.label, schema)
        for span in sentence.spans
    ]
    return json.dumps(entities, ensure_ascii=False)


def _read_exact(reply: str, schema: LabelSchema) -> Reading | None:
    def mentions(value: Any) -> list[Mention] | None:
        try:
            return [_mention(entity, schema) for entity in value]
        except (TypeError, KeyError, AttributeError, ValueError):
            return None

    return exact_json("json-list", reply, mentions)


def _mention(entity: dict[str, Any], schema: LabelSchema) -> Mention:
    others = dict(entity)
    label, text = others.pop("label"), others.pop("text")
    if not others.keys() <= schema.by_code[label].attributes.keys():
        raise ValueError("a key that the schema does not have")
    return Mention(label, text, others)


def _places(reply: str, mentions: Sequence[Mention]) -> list[Place | None]:
    return places_in_json(reply, mentions, by_type=False)


def _grammar(text: str, schema: LabelSchema) -> str:
    rules = ['reply: "[]" | "[" entity (", " entity)* "]"']
    if schema.has_attributes:
        numbers = range(len(schema.labels))
        rules.append(f"entity: {' | '.join(f'entity_{number}' for number in numbers)}")
        rules += [f"entity_{number}: {_entity(schema.labels[number])}" for number in numbers]
    else:
        labels = " | ".join(quoted(json.dumps(code, ensure_ascii=False)) for code in schema.codes)
        rules += [
            r'entity: "{\"label\": " label ", \"text\": \"" MENTION "\"}"',
            f"label: {labels}",
        ]
    terminals = value_rules(schema.labels)
    return "\n".join(rules) + "\n" + terminals + mention_terminal(text, json_character)


def _entity(label: Label) -> str:
    """What one label's entity may be."""
    head = quoted('{"label": ' + json.dumps(label.code, ensure_ascii=False) + ', "text": "')
    parts = [head, "MENTION", quoted('"')]
    for name, attribute in label.attributes.items():
        key = quoted(", " + json.dumps(name, ensure_ascii=False) + ": ")
        part = f"{key} {value_grammar(attribute)}"
        parts.append(part if attribute.required else f"({part})?")
    return " ".join([*parts, quoted("}")])


def _json_schema(schema: LabelSchema) -> dict[str, Any]:
    if not schema.has_attributes:
        return {"type": "array", "items": _json_entity(list(schema.codes), None)}
    entities = [_json_entity([label.code], label) for label in schema.labels]
    return {
        "type": "array",
        "items": entities[0] if len(entities) == 1 else {"anyOf": entities},
    }


def _json_entity(codes: list[str], label: Label | None) -> dict[str, Any]:
    attributes = {} if label is None else label.attributes
    return {
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": codes},
            "text": {"type": "string", "minLength": 1},
            **{name: json_schema_of(attribute) for name, attribute in attributes.items()},
        },
        "required": [
            "label",
            "text",
            *(name for name, attribute in attributes.items() if attribute.required),
        ],
        "additionalProperties": False,
    }


FORMAT = ReplyFormat(
    name="json-list",
    order="text",
    write=_write,
    read_exact=_read_exact,
    read=read_json,
    places=_places,
    grammar=_grammar,
    json_schema=_json_schema,
    holds_attributes=True,
)
