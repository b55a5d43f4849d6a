"""The unweighted mean over labels that occur, as seqeval's default mode has it."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import Figures, Hits, Metric, mean_ratios, named, quoted_prf


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("macro", mean_ratios(sums, (sums.gold + sums.predicted) > 0))


METRIC = Metric(
    "macro",
    count_entities,
    _figures,
    {"macro.f1": ("macro F1", "mean over labels, each label alike")},
    quoted_prf(_figures),
)
