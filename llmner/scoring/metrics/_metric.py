"""What a metric is: how it counts one sentence, and what follows from sums of its counts.

It knows neither sentences nor bootstraps, and no single metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmner.scoring._sides import Sides, Whole

__all__ = [
    "PRF",
    "Columns",
    "Figures",
    "Hits",
    "Metric",
    "Number",
    "mean_ratios",
    "named",
    "prf",
    "ratios",
]

Number: TypeAlias = Any
"""One column of a metric. Of one sentence: a number, or an array of one for each label or the like.
Summed: an array of n such, one for each sum."""

Columns: TypeAlias = tuple[Number, ...]
"""What a metric counts: a ``NamedTuple``, one :data:`Number` a field."""

Figures: TypeAlias = "dict[str, NDArray[Any]]"
"""Arrays of n fractions from 0 to 1, by the figure's name (``micro.f1``)."""

PARTS = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class PRF:
    """Precision, recall and F1, as fractions from 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to judge predictions. Scores, intervals, comparisons and reports go over all of them.

    Attributes:
        name: Its key in JSON; figures are called ``name.part``.
        count: Counts one sentence, in columns with names; ``None`` where the sentence lacks what it
            takes, which goes for all sentences of a scoring then. Metrics with one counting
            function share its columns.
        figures: Figures of summed columns, given the labels in their columns' order. Every resample
            is a row of the sums, so it works on arrays.
        titles: Of each figure that reports show: its title, and what it is or who quotes it.
        quote: What ``Scores`` has under the name, from all sentences and the sums over them: for
            figures that another package is quoted for. Without it, the figures' numbers by part.
    """

    name: str
    count: Callable[[Sides], Any]
    figures: Callable[[Any, Sequence[str]], Figures]
    titles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    quote: Callable[[Whole, Any], Any] | None = None

    def score(self, whole: Whole, sums: Any) -> Any:
        """What the metric says of all sentences, given the sums of its columns over them."""
        if self.quote is not None:
            return self.quote(whole, sums)
        figures = self.figures(sums, whole.labels.names)
        return {
            key.removeprefix(f"{self.name}."): float(value[0]) for key, value in figures.items()
        }


class Hits(NamedTuple):
    """What precision and recall are made of, whatever is counted."""

    right: Number
    gold: Number
    predicted: Number


def ratios(right: Number, gold: Number, predicted: Number) -> tuple[Number, Number, Number]:
    """Precision, recall and F1 of summed counts; 0 where there is nothing to count."""
    import numpy as np

    return (
        right / np.maximum(predicted, 1),
        right / np.maximum(gold, 1),
        2 * right / np.maximum(gold + predicted, 1),
    )


def mean_ratios(hits: Hits, weights: Number) -> tuple[Number, Number, Number]:
    """Means of each label's precision, recall and F1, weighted; 0 where no label has any weight."""
    import numpy as np

    total = np.maximum(weights.sum(1), 1)
    precision, recall, f1 = ((value * weights).sum(1) / total for value in ratios(*hits))
    return precision, recall, f1


def named(name: str, values: Iterable[Number]) -> Figures:
    """Precision, recall and F1 under their names."""
    return {f"{name}.{part}": value for part, value in zip(PARTS, values, strict=True)}


def prf(values: Iterable[Number]) -> PRF:
    """Precision, recall and F1 of one sum."""
    return PRF(*(float(value[0]) for value in values))
