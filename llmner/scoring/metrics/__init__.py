"""The metrics, one per module.

Scores, intervals, comparisons, JSON and reports iterate over all of them. A new metric is a new
module here with a ``METRIC``; nothing else is told of it::

    class Edges(NamedTuple):
        right: Number
        gold: Number
        predicted: Number

    def _count(sides: Sides) -> Edges:
        gold, predicted = ({edge for span in side for edge in (span.start, span.end)}
                           for side in (sides.gold, sides.predicted))
        return Edges(len(gold & predicted), len(gold), len(predicted))

    def _figures(sums: Edges, labels: Sequence[str]) -> Figures:
        return named("boundary", ratios(*sums))

    TITLES = {"boundary.f1": ("boundary F1", "edges, labels ignored")}
    METRIC = Metric("boundary", _count, _figures, TITLES)

Modules whose names begin with ``_`` contain what metrics share.
"""

from __future__ import annotations

from importlib import import_module

from llmner._plugins import own_modules
from llmner.scoring.metrics._metric import (
    PRF,
    Columns,
    Figures,
    Hits,
    Metric,
    Number,
    named,
    prf,
    ratios,
)

__all__ = [
    "METRICS",
    "PRF",
    "Columns",
    "Figures",
    "Hits",
    "Metric",
    "Number",
    "named",
    "prf",
    "ratios",
]

# The order of figures in JSON since 0.1. Metrics that are not named here come after, by name.
_ORDER = ("micro", "spans", "macro", "weighted", "per_label", "strict", "klue", "text", "partial")


METRICS: tuple[Metric, ...] = tuple(
    import_module(f"{__name__}.{name}").METRIC for name in own_modules(__path__, _ORDER)
)
"""All metrics, in the order of figures in JSON."""
