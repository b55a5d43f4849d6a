"""The strict micro average: an ``I-`` without its ``B-`` is no entity, as in seqeval's strict mode
with scheme IOB2.

Spans always give valid tags, so it differs from ``micro`` only if predictions were read from broken
tags.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring._sides import Sides
from llmner.scoring.metrics._metric import Figures, Hits, Metric, named, quoted_prf, ratios


def _count(sides: Sides) -> Hits:
    if sides.strict is sides.gold:
        return Hits(len(sides.gold), len(sides.gold), len(sides.gold))
    gold, predicted = set(sides.gold), set(sides.strict)
    return Hits(len(gold & predicted), len(gold), len(predicted))


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("strict", ratios(*sums))


METRIC = Metric(
    "strict",
    _count,
    _figures,
    {"strict.f1": ("micro F1, strict IOB2", "seqeval's strict mode with scheme IOB2")},
    quoted_prf(_figures),
)
