"""The micro average over all entities of all labels, as seqeval's default mode has it."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring._sides import Whole
from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import PRF, Figures, Hits, Metric, named, prf, ratios


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("micro", ratios(*(column.sum(1) for column in sums)))


def _quote(whole: Whole, sums: Hits) -> PRF:
    return prf(_figures(sums, whole.labels.names).values())


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
    _quote,
)
