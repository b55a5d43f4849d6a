"""The figures of each label, as seqeval's default mode has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmner.scoring._sides import Whole
from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import PRF, Figures, Hits, Metric, named, ratios

__all__ = ["LabelScore"]


@dataclass(frozen=True, slots=True)
class LabelScore(PRF):
    """The figures of one label; ``support`` is the number of its gold entities."""

    support: int


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    """NaN if a label is neither in gold nor predicted: such a resample says nothing about it."""
    import numpy as np

    values = ratios(*sums)
    occurs = (sums.gold + sums.predicted) > 0
    figures: Figures = {}
    for number, label in enumerate(labels):
        parts = (np.where(occurs[:, number], value[:, number], np.nan) for value in values)
        figures |= named(f"per_label.{label}", parts)
    return figures


def _quote(whole: Whole, sums: Hits) -> dict[str, LabelScore]:
    rows = zip(*ratios(*(column[0] for column in sums)), strict=True)
    return {
        label: LabelScore(float(precision), float(recall), float(f1), int(gold))
        for label, (precision, recall, f1), gold, predicted in zip(
            whole.labels.names, rows, sums.gold[0], sums.predicted[0], strict=True
        )
        if gold or predicted
    }


METRIC = Metric("per_label", count_entities, _figures, quote=_quote)
