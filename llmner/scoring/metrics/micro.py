"""seqeval's micro average in its default mode, over all entities of all labels."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring._sides import Whole
from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import PRF, Figures, Hits, Metric, named, ratios
from llmner.scoring.metrics._seqeval import lenient_prf


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("micro", ratios(*(column.sum(1) for column in sums)))


def _quote(whole: Whole, sums: Hits) -> PRF:
    return lenient_prf(whole, "micro avg")


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
