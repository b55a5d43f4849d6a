"""The labels of whole texts: micro, macro, weighted and samples averages, as scikit-learn has them,
exact matches, and (label, attributes) pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from llmner.scoring._sides import Sides, Whole
from llmner.scoring.metrics._metric import Figures, Hits, Metric, Number, mean_ratios, named, ratios
from llmner.scoring.metrics.attributes import comparable
from llmner.spans import TextLabel

__all__ = ["TextLabelCounts"]

Item = tuple[str, frozenset[tuple[str, Any]]]
"""A label with its attributes."""


class TextLabelCounts(NamedTuple):
    """The counts of one text; the first three have one value for each label.

    Attributes:
        right: Labels that are in gold and predicted.
        gold: Labels in gold.
        predicted: Predicted labels.
        right_pairs: Labels with their attributes that are in gold and predicted.
        gold_pairs: Labels with their attributes in gold.
        predicted_pairs: Predicted labels with their attributes.
        exact: 1 if the labels are those of gold.
        samples_precision: Precision of this text alone; 1 if there is no label on either side.
        samples_recall: Its recall, likewise.
        samples: Its F1, likewise.
        texts: 1.
    """

    right: Number
    gold: Number
    predicted: Number
    right_pairs: Number
    gold_pairs: Number
    predicted_pairs: Number
    exact: Number
    samples_precision: Number
    samples_recall: Number
    samples: Number
    texts: Number


def _items(labels: Iterable[TextLabel]) -> set[Item]:
    return {
        (
            label.label,
            frozenset(
                (name, comparable(value))
                for name, value in label.attributes.items()
                if value is not None
            ),
        )
        for label in labels
    }


def _count(sides: Sides) -> TextLabelCounts | None:
    import numpy as np

    names = sides.labels.text_labels
    if not names:
        return None
    gold_items, predicted_items = _items(sides.gold_labels), _items(sides.predicted_labels)
    gold = {label for label, _ in gold_items}
    predicted = {label for label, _ in predicted_items}

    def row(labels: set[str]) -> Any:
        return np.array([float(name in labels) for name in names])

    right = len(gold & predicted)
    return TextLabelCounts(
        row(gold & predicted),
        row(gold),
        row(predicted),
        len(gold_items & predicted_items),
        len(gold_items),
        len(predicted_items),
        float(gold == predicted),
        right / len(predicted) if predicted else float(not gold),
        right / len(gold) if gold else float(not predicted),
        2 * right / (len(gold) + len(predicted)) if gold or predicted else 1.0,
        1,
    )


def _averages(sums: TextLabelCounts) -> dict[str, tuple[Number, Number, Number]]:
    hits = Hits(sums.right, sums.gold, sums.predicted)
    return {
        "micro": ratios(*(column.sum(1) for column in hits)),
        "macro": mean_ratios(hits, (sums.gold + sums.predicted) > 0),
        "weighted": mean_ratios(hits, sums.gold),
        "pairs": ratios(sums.right_pairs, sums.gold_pairs, sums.predicted_pairs),
    }


def _figures(sums: TextLabelCounts, labels: Sequence[str]) -> Figures:
    figures: Figures = {}
    for name, values in _averages(sums).items():
        figures |= named(f"text_labels.{name}", values)
    return {
        **figures,
        "text_labels.samples.precision": sums.samples_precision / sums.texts,
        "text_labels.samples.recall": sums.samples_recall / sums.texts,
        "text_labels.samples.f1": sums.samples / sums.texts,
        "text_labels.exact_match": sums.exact / sums.texts,
    }


def _quote(whole: Whole, sums: TextLabelCounts) -> dict[str, Any]:
    figures = {name: float(value[0]) for name, value in _figures(sums, ()).items()}
    result: dict[str, Any] = {}
    for name, value in figures.items():
        average, _, part = name.removeprefix("text_labels.").partition(".")
        if part:
            result.setdefault(average, {})[part] = value
        else:
            result[average] = value
    values = ratios(sums.right[0], sums.gold[0], sums.predicted[0])
    result["per_label"] = {
        label: {
            **{part: float(value[number]) for part, value in zip(_PARTS, values, strict=True)},
            "support": int(sums.gold[0][number]),
        }
        for number, label in enumerate(whole.labels.text_labels)
    }
    return result


_PARTS = ("precision", "recall", "f1")

METRIC = Metric(
    "text_labels",
    _count,
    _figures,
    {
        "text_labels.micro.f1": ("text labels, micro F1", "labels of whole texts"),
        "text_labels.macro.f1": ("text labels, macro F1", "mean over labels, each label alike"),
        "text_labels.pairs.f1": (
            "text labels with attributes, F1",
            "a label is right if all its attributes are",
        ),
        "text_labels.exact_match": ("exact match", "texts of which all labels are right"),
    },
    _quote,
)
