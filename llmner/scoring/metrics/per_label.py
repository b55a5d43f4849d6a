"""The figures of each label, in seqeval's default mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from llmner.scoring._sides import Whole
from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import PRF, Figures, Hits, Metric, named, ratios
from llmner.scoring.metrics._seqeval import lenient_label_rows, row_prf

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
    rows = lenient_label_rows(whole)
    return {
        label: LabelScore(**asdict(row_prf(row)), support=int(row["support"]))
        for label, row in rows.items()
    }


METRIC = Metric("per_label", count_entities, _figures, quote=_quote)
