"""The description of a format for the labels of whole texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llmner.schema import Label, LabelSchema
from llmner.spans import Mention, Sentence, TextLabel

__all__ = ["LabelFormat", "in_order"]


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """One way in which a model may write down the labels of a whole text.

    Attributes:
        name: Its name in recipes and on the command line.
        write: Writes the reply for a sentence with gold labels, in the schema's order.
        read_exact: Reads a reply that is exactly what the format writes; ``None`` for any other.
            The text of a mention is the evidence.
        grammar: Writes a grammar for a text and a schema, in llguidance's dialect of Lark. Each
            label comes once at most, in the schema's order, so that replies end.
        problem: Why the format has no room for a label's attributes; ``None`` if it has. Evidence
            is left out where there is no room.
        json_schema: The JSON schema of all replies; ``None`` if they are no JSON.
    """

    name: str
    write: Callable[[Sentence, LabelSchema | None], str]
    read_exact: Callable[[str, LabelSchema], Sequence[Mention] | None]
    grammar: Callable[[str, LabelSchema], str]
    problem: Callable[[Label], str | None]
    json_schema: Callable[[LabelSchema], dict[str, Any]] | None = None


def in_order(labels: Iterable[TextLabel], schema: LabelSchema | None) -> list[TextLabel]:
    """Labels in the schema's order; those that it does not have come last."""
    labels = list(labels)
    if schema is None:
        return labels
    places = {label.code: number for number, label in enumerate(schema.text_labels)}
    return sorted(labels, key=lambda label: places.get(label.label, len(places)))
