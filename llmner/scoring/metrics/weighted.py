"""The mean over labels, each weighted by its gold entities, as seqeval's default mode has it."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring._sides import Whole
from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import PRF, Figures, Hits, Metric, mean_ratios, named, prf


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("weighted", mean_ratios(sums, sums.gold))


def _quote(whole: Whole, sums: Hits) -> PRF:
    return prf(_figures(sums, whole.labels.names).values())


METRIC = Metric(
    "weighted",
    count_entities,
    _figures,
    {"weighted.f1": ("weighted F1", "mean over labels, weighted by their entities")},
    _quote,
)
