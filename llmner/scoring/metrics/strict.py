"""seqeval's strict micro average with scheme IOB2: an ``I-`` without its ``B-`` is not an entity.

Spans always give valid tags, so it differs from ``micro`` only if predictions were read from broken
tags.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring._sides import Sides, Whole
from llmner.scoring.metrics._metric import PRF, Figures, Hits, Metric, named, ratios
from llmner.scoring.metrics._seqeval import strict_prf


def _count(sides: Sides) -> Hits:
    if sides.strict is sides.gold:
        return Hits(len(sides.gold), len(sides.gold), len(sides.gold))
    gold, predicted = set(sides.gold), set(sides.strict)
    return Hits(len(gold & predicted), len(gold), len(predicted))


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("strict", ratios(*sums))


def _quote(whole: Whole, sums: Hits) -> PRF:
    return strict_prf(whole, "micro avg")


METRIC = Metric(
    "strict",
    _count,
    _figures,
    {"strict.f1": ("micro F1, strict IOB2", "seqeval's strict mode with scheme IOB2")},
    _quote,
)
