"""seqeval's weighted average in its default mode: labels are weighted by their gold entities."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring._sides import Whole
from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import PRF, Figures, Hits, Metric, mean_ratios, named
from llmner.scoring.metrics._seqeval import lenient_prf


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("weighted", mean_ratios(sums, sums.gold))


def _quote(whole: Whole, sums: Hits) -> PRF:
    return lenient_prf(whole, "weighted avg")


METRIC = Metric(
    "weighted",
    count_entities,
    _figures,
    {"weighted.f1": ("weighted F1", "mean over labels, weighted by their entities")},
    _quote,
)
