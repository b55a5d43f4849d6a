"""The attributes of spans: what mentions say of them, read by the schema, with an outcome each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from llmner.projection._outcome import AttributeOutcome, Outcome
from llmner.schema import Label, LabelSchema
from llmner.spans import Mention, Span

__all__ = ["attributed", "confidence_beside", "read_attributes"]

# Keys that hold all attributes of a mention.
_ALL = ("attributes", "attrs", "properties", "속성", "属性", "屬性")
_SCORES = ("score", "점수")
# What replies say of a mention that is about no attribute: how sure they are, and where it stands.
_NO_ATTRIBUTES = frozenset(
    "confidence score probability 신뢰도 확신도 start end id index idx position offset offsets "
    "span start_offset end_offset "
    "start_char end_char begin char_start char_end char_interval".split()
)


def attributed(outcomes: Iterable[Outcome], schema: LabelSchema | None) -> tuple[Outcome, ...]:
    """The outcomes, whose spans have the attributes of their mentions.

    Without a schema a span has all that its mention says, as the mention says it.
    """
    if schema is None:
        return tuple(_as_said(outcome) for outcome in outcomes)
    if not schema.has_attributes:
        return tuple(outcomes)
    return tuple(_by_schema(outcome, schema) for outcome in outcomes)


def _as_said(outcome: Outcome) -> Outcome:
    if outcome.span is None or not outcome.mention.attributes:
        return outcome
    said = _flat(outcome.mention, None)
    return _with(outcome, {key: value for key, value in said.items() if value is not None}, ())


def _by_schema(outcome: Outcome, schema: LabelSchema) -> Outcome:
    if outcome.span is None:
        return outcome
    label = schema.by_code[outcome.span.label]
    if not label.attributes:
        return outcome
    return _with(outcome, *read_attributes(outcome.mention, label))


def read_attributes(
    mention: Mention, label: Label | None
) -> tuple[dict[str, Any], tuple[AttributeOutcome, ...]]:
    """The values of a mention's attributes, and what became of each.

    Args:
        mention: The mention.
        label: Its label; ``None`` takes everything as the mention says it.
    """
    if label is None:
        said_of = _flat(mention, None)
        return {key: value for key, value in said_of.items() if value is not None}, ()
    if not label.attributes:
        return {}, ()
    read: dict[str, AttributeOutcome] = {}
    others: list[AttributeOutcome] = []
    for key, said in _flat(mention, label).items():
        name = label.resolve_attribute(key)
        if name is None or name in read:
            others.append(AttributeOutcome(key, "unknown_attribute", said))
            continue
        value = label.attributes[name].read(said)
        if value.kind == "unknown":
            read[name] = AttributeOutcome(name, "unknown_value", said)
        elif value.kind != "missing":
            read[name] = AttributeOutcome(name, value.kind, said, value.value)
    for other in tuple(others):
        # "sentiment": "bad" for a polarity: another name, but a value that only one of them has.
        fits = [
            name
            for name, attribute in label.attributes.items()
            if attribute.values and attribute.takes(other.said)
        ]
        if len(fits) == 1 and fits[0] not in read:
            value = label.attributes[fits[0]].read(other.said)
            read[fits[0]] = AttributeOutcome(fits[0], "normalized", other.said, value.value)
            others.remove(other)
    for name, attribute in label.attributes.items():
        if attribute.values and name not in read:
            # {"label": "배송", "score": -1}: no confidence, but the value that was asked for.
            said = next((mention.attributes[k] for k in _SCORES if k in mention.attributes), None)
            value = attribute.read(said)
            if value.kind in ("exact", "normalized"):
                read[name] = AttributeOutcome(name, "normalized", said, value.value)
        if attribute.required and name not in read:
            read[name] = AttributeOutcome(name, "missing")
    values = {name: read[name].value for name in label.attributes if name in read}
    known = {name: value for name, value in values.items() if value is not None}
    return known, (*read.values(), *others)


def _with(
    outcome: Outcome, values: Mapping[str, Any], attributes: tuple[AttributeOutcome, ...]
) -> Outcome:
    assert outcome.span is not None
    score = confidence_beside(outcome.mention, attributes)

    def given(span: Span) -> Span:
        return replace(span, score=score, attributes=dict(values))

    return replace(
        outcome,
        span=given(outcome.span),
        repeats=tuple(map(given, outcome.repeats)),
        attributes=attributes,
    )


def confidence_beside(mention: Mention, attributes: Iterable[AttributeOutcome]) -> float | None:
    """The confidence of a mention; ``None`` if its score was read as an attribute's value."""
    scores = [mention.attributes[key] for key in _SCORES if key in mention.attributes]
    taken = any(own.kind == "normalized" and own.said in scores for own in attributes)
    return None if taken else mention.confidence


def _flat(mention: Mention, label: Label | None) -> dict[str, Any]:
    """What a mention says of itself, without objects around it and without what is no attribute."""
    said: dict[str, Any] = {}
    for key, value in mention.attributes.items():
        declared = label is not None and label.resolve_attribute(key) is not None
        if key in _ALL and isinstance(value, Mapping) and not declared:
            said |= {str(name): item for name, item in value.items()}
        elif key in _ALL and isinstance(value, list) and not declared:
            for item in value:
                said |= _listed(item)
        elif declared or key not in _NO_ATTRIBUTES:
            said[key] = value
    return said


def _listed(item: Any) -> dict[str, Any]:
    """An attribute in a list: ``{"polarity": "positive"}``, ``{"name": ..., "value": ...}``."""
    if not isinstance(item, Mapping):
        return {}
    if {"name", "value"} <= item.keys():
        return {str(item["name"]): item["value"]}
    return {str(name): value for name, value in item.items()}
