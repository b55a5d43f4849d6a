"""The micro average computed from offsets, without tags."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.scoring.metrics._entities import count_entities
from llmner.scoring.metrics._metric import Figures, Hits, Metric, named, quoted_prf, ratios


def _figures(sums: Hits, labels: Sequence[str]) -> Figures:
    return named("spans", ratios(*(column.sum(1) for column in sums)))


# No title, because it equals the micro average of seqeval.
METRIC = Metric("spans", count_entities, _figures, quote=quoted_prf(_figures))
