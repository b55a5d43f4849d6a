"""The definition of a metric: how it counts one sentence, and the figures of summed counts."""

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
    "quoted_prf",
    "ratios",
]

Number: TypeAlias = Any
"""One column of a metric. For one sentence it is a number or an array, for example one number per
label. Summed, it is an array of n such values, one for each sum."""

Columns: TypeAlias = tuple[Number, ...]
"""The counts of a metric: a ``NamedTuple`` whose fields are :data:`Number`."""

Figures: TypeAlias = "dict[str, NDArray[Any]]"
"""Arrays of n fractions from 0 to 1 by the figure's name (``micro.f1``)."""

PARTS = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class PRF:
    """Precision, recall and F1, as fractions from 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One way to score predictions.

    Attributes:
        name: Its key in JSON. Its figures are called ``name.part``.
        count: Counts one sentence and returns named columns, or ``None`` if the sentences lack
            something it needs; then it must be ``None`` for all of them. Metrics with the same
            counting function share its columns.
        figures: Computes the figures of summed columns, given the labels in the order of their
            columns. It works on arrays, because each resample is a row of the sums.
        titles: For each figure that reports show, its title and an explanation.
        quote: Computes the value in ``Scores`` from all sentences and their sums. Without it, the
            value is a dict of the figures by part.
    """

    name: str
    count: Callable[[Sides], Any]
    figures: Callable[[Any, Sequence[str]], Figures]
    titles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    quote: Callable[[Whole, Any], Any] | None = None

    def score(self, whole: Whole, sums: Any) -> Any:
        """The metric's value in ``Scores``, given the sums of its columns over all sentences."""
        if self.quote is not None:
            return self.quote(whole, sums)
        figures = self.figures(sums, whole.labels.names)
        return {
            key.removeprefix(f"{self.name}."): float(value[0]) for key, value in figures.items()
        }


class Hits(NamedTuple):
    """The counts for precision and recall: right, gold and predicted items."""

    right: Number
    gold: Number
    predicted: Number


def ratios(right: Number, gold: Number, predicted: Number) -> tuple[Number, Number, Number]:
    """Precision, recall and F1 of summed counts; 0 if there is nothing to count.

    >>> precision, recall, f1 = ratios(1, 2, 4)
    >>> float(precision), float(recall), round(float(f1), 3)
    (0.25, 0.5, 0.333)
    """
    import numpy as np

    return (
        right / np.maximum(predicted, 1),
        right / np.maximum(gold, 1),
        2 * right / np.maximum(gold + predicted, 1),
    )


def mean_ratios(hits: Hits, weights: Number) -> tuple[Number, Number, Number]:
    """Weighted means of the labels' precision, recall and F1; 0 if all weights are 0."""
    import numpy as np

    total = np.maximum(weights.sum(1), 1)
    precision, recall, f1 = ((value * weights).sum(1) / total for value in ratios(*hits))
    return precision, recall, f1


def named(name: str, values: Iterable[Number]) -> Figures:
    """Precision, recall and F1 as figures of a metric.

    >>> named("micro", (0.5, 1.0, 0.667))
    {'micro.precision': 0.5, 'micro.recall': 1.0, 'micro.f1': 0.667}
    """
    return {f"{name}.{part}": value for part, value in zip(PARTS, values, strict=True)}


def prf(values: Iterable[Number]) -> PRF:
    """Precision, recall and F1 of a single sum, given arrays of one value each."""
    return PRF(*(float(value[0]) for value in values))


def quoted_prf(figures: Callable[[Any, Sequence[str]], Figures]) -> Callable[[Whole, Any], PRF]:
    """The ``quote`` of a metric whose figures are precision, recall and F1, in this order."""
    return lambda whole, sums: prf(figures(sums, whole.labels.names).values())
