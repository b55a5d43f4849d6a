"""Figures of (label, surface) pairs; places are ignored, and a pair counts once per sentence."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring._sides import Sides
from llmner.scoring.metrics._metric import Figures, Hits, Metric, named, quoted_prf, ratios


def _count(sides: Sides) -> Hits | None:
    gold, predicted = sides.gold_claims, sides.predicted_claims
    if gold is None or predicted is None:
        return None
    return Hits(len(gold & predicted), len(gold), len(predicted))


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("text", ratios(*sums))


METRIC = Metric(
    "text",
    _count,
    _figures,
    {
        "text.f1": (
            "text-level F1",
            "label and surface, offsets ignored: for models that give no offsets",
        )
    },
    quoted_prf(_figures),
)
