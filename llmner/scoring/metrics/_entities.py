"""Counts of entities by label, which several metrics average.

An entity is right if both its place and its label are right.
"""

from __future__ import annotations

from llmner.scoring._sides import Sides
from llmner.scoring.metrics._metric import Hits

__all__ = ["count_entities"]


def count_entities(sides: Sides) -> Hits:
    """The numbers of right, gold and predicted entities of each label."""
    count = sides.labels.count
    if sides.predicted is sides.gold:
        right = count(sides.gold)
        return Hits(right, right, right)
    gold, predicted = set(sides.gold), set(sides.predicted)
    return Hits(count(gold & predicted), count(gold), count(predicted))
