"""``json-list``: the labels of a text as objects, ``[{"label": "배송", "sentiment": -1}]``.

A label's evidence is a list of parts of the text, ``"evidence": ["이틀이나 늦게"]``.
"""

from __future__ import annotations

import json
from typing import Any

from llmner.replies.formats._attributes import json_schema_of, value_grammar, value_rules
from llmner.replies.formats._grammar import json_character, mention_terminal, ordered_rules, quoted
from llmner.replies.labels._format import LabelFormat, in_order
from llmner.schema import Label, LabelSchema
from llmner.spans import Mention, Sentence, TextLabel

__all__ = ["EVIDENCE", "FORMAT"]

EVIDENCE = "evidence"
"""The key of the parts of the text that a label rests on."""


def _object(
    sentence: Sentence, text_label: TextLabel, schema: LabelSchema | None
) -> dict[str, Any]:
    label = None if schema is None else schema.text_label(text_label.label)
    attributes = dict(text_label.attributes)
    if label is not None:
        attributes = {key: attributes[key] for key in label.attributes if key in attributes}
    row = {"label": text_label.label, **attributes}
    if (label is None or label.evidence) and text_label.evidence:
        row[EVIDENCE] = [sentence.surface(span) for span in text_label.evidence]
    return row


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    rows = [_object(sentence, label, schema) for label in in_order(sentence.labels, schema)]
    return json.dumps(rows, ensure_ascii=False)


def _read_exact(reply: str, schema: LabelSchema) -> list[Mention] | None:
    try:
        rows = json.loads(reply)
        return [_mention(dict(row), schema) for row in rows]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _mention(row: dict[str, Any], schema: LabelSchema) -> Mention:
    code = row.pop("label")
    label = schema.text_label(code)
    if label is None:
        raise KeyError(code)
    evidence = row.get(EVIDENCE, [])
    if not (label.evidence or not evidence) or not all(isinstance(e, str) for e in evidence):
        raise ValueError("evidence that is not asked for")
    if not row.keys() - {EVIDENCE} <= label.attributes.keys():
        raise ValueError("a key that the schema does not have")
    return Mention(code, "", row)


def _grammar(text: str, schema: LabelSchema) -> str:
    rules = [_rule(label) for label in schema.text_labels]
    lines = ['reply: "[]" | "[" from_0 "]"', *ordered_rules(rules, quoted(", "))]
    terminals = value_rules(schema.text_labels)
    if any(label.evidence for label in schema.text_labels) and text.strip(" "):
        lines.append('evidence: "\\"" MENTION "\\""')
        terminals += mention_terminal(text, json_character)
    return "\n".join(lines) + "\n" + terminals


def _rule(label: Label) -> str:
    parts = [quoted('{"label": ' + json.dumps(label.code, ensure_ascii=False))]
    for name, attribute in label.attributes.items():
        key = quoted(", " + json.dumps(name, ensure_ascii=False) + ": ")
        part = f"{key} {value_grammar(attribute)}"
        parts.append(part if attribute.required else f"({part})?")
    if label.evidence:
        parts.append(
            f'({quoted(", " + json.dumps(EVIDENCE) + ": [")} evidence (", " evidence)* "]")?'
        )
    return " ".join([*parts, quoted("}")])


def _json_schema(schema: LabelSchema) -> dict[str, Any]:
    objects = []
    for label in schema.text_labels:
        properties: dict[str, Any] = {"label": {"type": "string", "enum": [label.code]}}
        properties |= {name: json_schema_of(own) for name, own in label.attributes.items()}
        if label.evidence:
            text = {"type": "string", "minLength": 1}
            properties[EVIDENCE] = {"type": "array", "items": text}
        required = [name for name, attribute in label.attributes.items() if attribute.required]
        objects.append(
            {
                "type": "object",
                "properties": properties,
                "required": ["label", *required],
                "additionalProperties": False,
            }
        )
    return {"type": "array", "items": objects[0] if len(objects) == 1 else {"anyOf": objects}}


FORMAT = LabelFormat("json-list", _write, _read_exact, _grammar, lambda label: None, _json_schema)
