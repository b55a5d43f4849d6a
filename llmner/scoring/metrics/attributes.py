"""The attributes of spans: right spans with right attributes, and right values on right spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from llmner.scoring._sides import Sides, Whole
from llmner.scoring.metrics._metric import Figures, Metric, Number, named, ratios
from llmner.spans import Span

__all__ = ["AttributeCounts", "comparable"]


class AttributeCounts(NamedTuple):
    """The counts of one sentence; the last two have one value for each attribute.

    Attributes:
        right: Predicted spans that are right with all their attributes.
        gold: Gold spans.
        predicted: Predicted spans.
        right_values: Of right spans: values of attributes that gold has or the prediction has, and
            both alike.
        values: All those values, alike or not.
    """

    right: Number
    gold: Number
    predicted: Number
    right_values: Number
    values: Number


def comparable(value: Any) -> Any:
    """A value of an attribute in the form in which two are compared: a list without its order.

    >>> comparable(1.0) == comparable("1"), comparable(["b", "a"]) == comparable(["a", "b"])
    (True, True)
    """
    if value is None:
        return None
    if isinstance(value, list | tuple | set | frozenset):
        return frozenset(map(comparable, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pairs(sides: Sides) -> list[tuple[Span, Span]]:
    """Gold spans with the predicted spans of the same place and label."""
    predicted = {span: span for span in sides.predicted}
    return [(span, predicted[span]) for span in sides.gold if span in predicted]


def _count(sides: Sides) -> AttributeCounts | None:
    import numpy as np

    names = sides.labels.attributes
    if not names:
        return None
    right = 0
    right_values, values = np.zeros(len(names)), np.zeros(len(names))
    for gold, predicted in _pairs(sides):
        alike = True
        for number, name in enumerate(names):
            one, other = (comparable(span.attributes.get(name)) for span in (gold, predicted))
            if one is None and other is None:
                continue
            values[number] += 1
            right_values[number] += one == other
            alike = alike and one == other
        right += alike
    return AttributeCounts(right, len(sides.gold), len(sides.predicted), right_values, values)


def _figures(sums: AttributeCounts, labels: Sequence[str]) -> Figures:
    import numpy as np

    figures = {
        f"attributes.span_{name.rpartition('.')[2]}": value
        for name, value in named("", ratios(sums.right, sums.gold, sums.predicted)).items()
    }
    total = sums.values.sum(1)
    accuracy = np.where(total > 0, sums.right_values.sum(1) / np.maximum(total, 1), np.nan)
    return {**figures, "attributes.accuracy": accuracy}


def _quote(whole: Whole, sums: AttributeCounts) -> dict[str, Any]:
    figures = _figures(sums, whole.labels.names)
    values = {
        name.removeprefix("attributes."): None if value[0] != value[0] else float(value[0])
        for name, value in figures.items()
    }
    confusions: dict[str, Counter[tuple[str, str]]] = {
        name: Counter() for name in whole.labels.attributes
    }
    for sides in whole.sides:
        for gold, predicted in _pairs(sides):
            for name in whole.labels.attributes:
                said = gold.attributes.get(name), predicted.attributes.get(name)
                if said != (None, None):
                    confusions[name][_shown(said[0]), _shown(said[1])] += 1
    per_attribute = {
        name: {
            "accuracy": float(right / total) if total else None,
            "support": int(total),
            "confusion": [
                {"gold": gold, "predicted": predicted, "count": count}
                for (gold, predicted), count in sorted(confusions[name].items())
            ],
        }
        for name, right, total in zip(
            whole.labels.attributes, sums.right_values[0], sums.values[0], strict=True
        )
    }
    return {**values, "per_attribute": per_attribute}


def _shown(value: Any) -> str:
    """A value in a table of confusions; empty for none."""
    known = comparable(value)
    if known is None:
        return ""
    return ", ".join(sorted(map(str, known))) if isinstance(known, frozenset) else str(known)


METRIC = Metric(
    "attributes",
    _count,
    _figures,
    {
        "attributes.span_f1": (
            "span + attribute F1",
            "a span is right if its place, its label and all its attributes are",
        ),
        "attributes.accuracy": (
            "attribute accuracy",
            "values of attributes on spans whose place and label are right",
        ),
    },
    _quote,
)
