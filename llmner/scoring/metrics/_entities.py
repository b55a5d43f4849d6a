"""Entities by label: right where place and label both are. Several metrics average these counts."""

from __future__ import annotations

from llmner.scoring._sides import Sides
from llmner.scoring.metrics._metric import Hits

__all__ = ["count_entities"]


def count_entities(sides: Sides) -> Hits:
    """Right, gold and predicted entities of each label."""
    gold, predicted = set(sides.gold), set(sides.predicted)
    count = sides.labels.count
    return Hits(count(gold & predicted), count(gold), count(predicted))
