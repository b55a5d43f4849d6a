"""Entities by label: right where place and label both are. Several metrics average these counts."""

from __future__ import annotations

from llmner.scoring._sides import Sides
from llmner.scoring.metrics._metric import Hits

__all__ = ["count_entities"]


def count_entities(sides: Sides) -> Hits:
    """Right, gold and predicted entities of each label."""
    count = sides.labels.count
    if sides.predicted is sides.gold:
        right = count(sides.gold)
        return Hits(right, right, right)
    gold, predicted = set(sides.gold), set(sides.predicted)
    return Hits(count(gold & predicted), count(gold), count(predicted))
