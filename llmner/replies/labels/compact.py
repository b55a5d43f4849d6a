"""``labels``: the labels of a text on one line, ``디자인: 1, 배송: -1``.

The values of a label's attributes follow it in the schema's order with slashes between, ``-`` for
one that it lacks. A text without a label is ``-``.
"""

from __future__ import annotations

import json
from typing import Any

from llmner.attributes import Attribute
from llmner.replies._types import NOTHING
from llmner.replies.formats._grammar import alternatives, ordered_rules, quoted
from llmner.replies.labels._format import LabelFormat, in_order
from llmner.schema import Label, LabelSchema
from llmner.spans import Mention, Sentence, TextLabel

__all__ = ["FORMAT"]

_BETWEEN, _BEFORE, _SLASH = ", ", ": ", " / "
_SIGNS = (",", ":", "/", "\n")
# Numbers that a grammar allows where a schema names none.
_NUMBERS = {
    "number": r"/-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,4})?/",
    "integer": "/-?(0|[1-9][0-9]{0,8})/",
}


def _problem(label: Label) -> str | None:
    for name, attribute in label.attributes.items():
        if attribute.several:
            return f"no room for several values of {name}"
        if attribute.type == "text" and not attribute.values:
            return f"no room for any text as {name}"
        if any(sign in str(code) for code in attribute.codes for sign in _SIGNS):
            return f"no room for commas, colons and slashes in values of {name}"
    return None


def _value(value: Any) -> str:
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value)


def _item(text_label: TextLabel, schema: LabelSchema | None) -> str:
    label = None if schema is None else schema.text_label(text_label.label)
    names = list(text_label.attributes) if label is None else list(label.attributes)
    if not names:
        return text_label.label
    values = _SLASH.join(_value(text_label.attributes.get(name)) for name in names)
    return f"{text_label.label}{_BEFORE}{values}"


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    items = [_item(label, schema) for label in in_order(sentence.labels, schema)]
    return _BETWEEN.join(items) or NOTHING


def _read_exact(reply: str, schema: LabelSchema) -> list[Mention] | None:
    if reply == NOTHING:
        return []
    mentions = []
    for item in reply.split(_BETWEEN):
        code, colon, values = item.partition(_BEFORE)
        label = schema.text_label(code)
        if label is None or bool(colon) != bool(label.attributes):
            return None
        cells = values.split(_SLASH) if colon else []
        if len(cells) != len(label.attributes):
            return None
        try:
            attributes = {
                name: _read_value(cell, attribute)
                for cell, (name, attribute) in zip(cells, label.attributes.items(), strict=True)
                if cell != NOTHING
            }
        except (ValueError, RecursionError):
            return None
        if not all(label.attributes[name].has(value) for name, value in attributes.items()):
            return None
        mentions.append(Mention(code, "", attributes))
    return mentions if len({mention.label for mention in mentions}) == len(mentions) else None


def _read_value(cell: str, attribute: Attribute) -> Any:
    """The value in a cell.

    Raises:
        ValueError: The cell holds none.
    """
    return cell if attribute.has_texts else json.loads(cell)


def _grammar(text: str, schema: LabelSchema) -> str:
    rules = []
    for label in schema.text_labels:
        parts = [quoted(label.code)]
        for number, attribute in enumerate(label.attributes.values()):
            parts += [quoted(_SLASH if number else _BEFORE), f"({_values(attribute)})"]
        rules.append(" ".join(parts))
    lines = [f"reply: {quoted(NOTHING)} | from_0", *ordered_rules(rules, quoted(_BETWEEN))]
    return "\n".join(lines) + "\n"


def _values(attribute: Attribute) -> str:
    if attribute.values:
        values = alternatives(_value(code) for code in attribute.codes)
    elif attribute.type == "boolean":
        values = alternatives(("true", "false"))
    else:
        values = _NUMBERS[attribute.type]
    return values if attribute.required else f"{values} | {quoted(NOTHING)}"


FORMAT = LabelFormat("labels", _write, _read_exact, _grammar, _problem)
