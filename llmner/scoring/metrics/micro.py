"""The micro average over all entities of all labels, as seqeval's default mode has it."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import Figures, Hits, Metric, named, quoted_prf, ratios


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("micro", ratios(*(column.sum(1) for column in sums)))


METRIC = Metric(
    "micro",
    count_entities,
    _figures,
    {
        "micro.f1": (
            "micro F1",
            "seqeval's default; most NER papers and the Hugging Face trainers quote it",
        )
    },
    quoted_prf(_figures),
)
