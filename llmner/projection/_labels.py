"""The labels of a whole text: what a reply says of it, read by the schema, with an outcome each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from llmner.projection._attributes import confidence_beside, read_attributes
from llmner.projection._outcome import LabelOutcome
from llmner.schema import LabelSchema
from llmner.spans import Mention, Span, TextLabel

__all__ = ["label_outcomes"]

_EVIDENCE: Final = "evidence"


def label_outcomes(
    labels: Iterable[Mention],
    schema: LabelSchema | None,
    place: Callable[[list[Mention]], tuple[Span, ...]],
) -> tuple[LabelOutcome, ...]:
    """The outcome of each label that a reply gives a text.

    Args:
        labels: The labels, with attributes; what they rest on is the attribute ``evidence``.
        schema: Has the labels; ``None`` takes every label as it is.
        place: Finds the places of evidence.
    """
    outcomes: list[LabelOutcome] = []
    given: set[str] = set()
    for mention in labels:
        code = mention.label if schema is None else schema.resolve_text_label(mention.label)
        if code is None:
            outcomes.append(LabelOutcome(mention, "unknown_label"))
            continue
        said = dict(mention.attributes)
        label = None if schema is None else schema.text_label(code)
        wants = label is None or label.evidence
        evidence = _surfaces(said.pop(_EVIDENCE, None)) if wants else []
        rest = Mention(mention.label, mention.text, said)
        values, attributes = read_attributes(rest, label)
        if code in given:
            outcomes.append(LabelOutcome(mention, "repeated", None, attributes))
            continue
        given.add(code)
        spans = place([Mention(code, surface) for surface in evidence]) if evidence else ()
        found = TextLabel(code, values, confidence_beside(mention, attributes), spans)
        outcomes.append(LabelOutcome(mention, "given", found, attributes))
    return tuple(outcomes)


def _surfaces(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else [value]
    return [part for part in parts if isinstance(part, str) and part.strip()]
