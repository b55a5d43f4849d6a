"""The counts of each sentence, and the figures of any sum of them.

Figures are ratios of sums over sentences. With one row of counts per sentence, the figures of all
bootstrap resamples follow from one matrix product. Metrics define what is counted. Tests hold the
figures against seqeval's and scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmner.scoring._sides import Labels, Sides
from llmner.scoring.metrics import METRICS, Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Block", "Counts", "count"]


@dataclass(frozen=True, slots=True)
class Block:
    """The columns of one counting function, side by side in the table.

    Attributes:
        count: The function.
        columns: The ``NamedTuple`` class that the function returns, which names the columns.
        shapes: The shape of each column's value for one sentence, such as ``()`` or ``(labels,)``.
    """

    count: Callable[[Sides], Any]
    columns: Callable[..., Columns]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of each sentence.

    Attributes:
        labels: The labels that are counted.
        blocks: The blocks of the table's columns, from left to right.
        table: (sentences, columns).
    """

    labels: tuple[str, ...]
    blocks: tuple[Block, ...]
    table: NDArray[Any]

    def columns(self, sums: NDArray[Any]) -> dict[Callable[[Sides], Any], Columns]:
        """Split summed counts into the named columns of each counting function.

        Args:
            sums: (n, columns); each row is a sum over some sentences, as often as they were drawn.

        Returns:
            The columns of each function: arrays of n values, or of n rows with one value per label.
        """
        columns: dict[Callable[[Sides], Any], Columns] = {}
        first = 0
        for block in self.blocks:
            values = []
            for shape in block.shapes:
                last = first + (shape[0] if shape else 1)
                values.append(sums[:, first:last] if shape else sums[:, first])
                first = last
            columns[block.count] = block.columns(*values)
        return columns

    def figures(self, sums: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Figures of summed counts by name (``micro.f1``, ``per_label.PS.f1``, ``klue.char_f1``).

        Args:
            sums: (n, columns); each row is a sum over some sentences, as often as they were drawn.

        Returns:
            Arrays of n fractions from 0 to 1. As in seqeval, a label that is neither in gold nor in
            the predictions is left out of averages, and its own figures are NaN. A figure with
            nothing to count is 0. As in KLUE-baseline, a tag without a character has a character F1
            of 1.
        """
        columns = self.columns(sums)
        figures: dict[str, NDArray[Any]] = {}
        for metric in METRICS:
            if metric.count in columns:
                figures |= metric.figures(columns[metric.count], self.labels)
        return figures


def count(sides: Sequence[Sides], labels: Labels) -> Counts:
    """Count every sentence with the counting functions of all metrics.

    Args:
        sides: Gold and predictions of each sentence; at least one sentence.
        labels: The labels of all sentences.
    """
    import numpy as np

    blocks, parts = [], []
    for function in dict.fromkeys(metric.count for metric in METRICS):
        first = function(sides[0])
        if first is None:
            continue
        shapes = tuple(np.shape(value) for value in first)
        # Arrays are filled in place: collecting rows first would take longer than counting.
        columns = [np.zeros((len(sides), *shape)) for shape in shapes]
        for number, sentence_sides in enumerate(sides):
            for column, value in zip(columns, function(sentence_sides), strict=True):
                column[number] = value
        blocks.append(Block(function, type(first), shapes))
        parts += [column.reshape(len(sides), -1) for column in columns]
    return Counts(labels.names, tuple(blocks), np.concatenate(parts, axis=1))
