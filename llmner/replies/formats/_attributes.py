"""Attributes of mentions in replies: their values written, and the grammar and schema of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmner.attributes import Attribute
from llmner.replies.formats._grammar import quoted
from llmner.schema import Label, LabelSchema

__all__ = ["declared", "json_schema_of", "value_grammar", "value_rules"]

_TERMINALS = {
    "text": 'ATTRIBUTE_TEXT: "\\"" /[^"\\\\\\x00-\\x1f]{1,200}/ "\\""',
    "number": r"ATTRIBUTE_NUMBER: /-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?/",
    "integer": r"ATTRIBUTE_INTEGER: /-?(0|[1-9][0-9]{0,14})/",
    "boolean": 'ATTRIBUTE_BOOLEAN: "true" | "false"',
}


def declared(
    attributes: Mapping[str, Any], code: str, schema: LabelSchema | None
) -> dict[str, Any]:
    """The attributes that a reply has room for, in the schema's order.

    >>> from llmner.schema import Label
    >>> schema = LabelSchema(labels=(Label(code="A", attributes=["b", "c"]),))
    >>> declared({"c": 1, "b": 2, "d": 3}, "A", schema)
    {'b': 2, 'c': 1}
    """
    if schema is None:
        return {key: value for key, value in attributes.items() if key not in ("label", "text")}
    label = schema.by_code.get(code)
    if label is None:
        return {}
    return {name: attributes[name] for name in label.attributes if name in attributes}


def value_grammar(attribute: Attribute) -> str:
    """What a value may be, in JSON, as a part of a grammar's rule."""
    if attribute.values:
        texts = [json.dumps(code, ensure_ascii=False) for code in attribute.codes]
        value = "(" + " | ".join(map(quoted, texts)) + ")"
    else:
        value = f"ATTRIBUTE_{attribute.type.upper()}"
    return f'("[" {value} (", " {value})* "]")' if attribute.several else value


def value_rules(labels: tuple[Label, ...]) -> str:
    """The terminals that :func:`value_grammar` names, each on a line of its own."""
    used = {
        attribute.type
        for label in labels
        for attribute in label.attributes.values()
        if not attribute.values
    }
    return "".join(f"{_TERMINALS[kind]}\n" for kind in sorted(used))


def json_schema_of(attribute: Attribute) -> dict[str, Any]:
    """The JSON schema of an attribute's value."""
    value: dict[str, Any]
    if attribute.values:
        value = {"enum": list(attribute.codes)}
    elif attribute.type == "text":
        value = {"type": "string", "minLength": 1}
    else:
        value = {"type": attribute.type}
    if not attribute.several:
        return value
    return {"type": "array", "items": value, "minItems": 1}
