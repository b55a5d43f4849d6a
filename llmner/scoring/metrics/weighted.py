"""The mean over labels, each weighted by its gold entities, as seqeval's default mode has it."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import Figures, Hits, Metric, mean_ratios, named, quoted_prf


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("weighted", mean_ratios(sums, sums.gold))


METRIC = Metric(
    "weighted",
    count_entities,
    _figures,
    {"weighted.f1": ("weighted F1", "mean over labels, weighted by their entities")},
    quoted_prf(_figures),
)
