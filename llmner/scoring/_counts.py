"""What every figure is made of, counted sentence by sentence, and the figures of any sum of
sentences.

Figures are ratios of sums over sentences. Kept a row a sentence, the counts give the figures of
every resample by one matrix product. What is counted and what follows from it is each metric's
(``metrics``), and the quoted figures may come from seqeval and scikit-learn; tests hold the two
together.
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
        columns: The ``NamedTuple`` it gives, which names them.
        shapes: The shape of each one's value for a sentence: ``()``, or ``(labels,)`` and the like.
    """

    count: Callable[[Sides], Any]
    columns: Callable[..., Columns]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of each sentence.

    Attributes:
        labels: The labels that are counted.
        blocks: What the table's columns are, from left to right.
        table: (sentences, columns).
    """

    labels: tuple[str, ...]
    blocks: tuple[Block, ...]
    table: NDArray[Any]

    def columns(self, sums: NDArray[Any]) -> dict[Callable[[Sides], Any], Columns]:
        """Summed counts by counting function, under their names again.

        Args:
            sums: (n, columns), each row the sum over some sentences, as often as they were drawn.

        Returns:
            For each function its columns, arrays of n values (or of n rows, one value a label).
        """
        found: dict[Callable[[Sides], Any], Columns] = {}
        first = 0
        for block in self.blocks:
            values = []
            for shape in block.shapes:
                last = first + (shape[0] if shape else 1)
                values.append(sums[:, first:last] if shape else sums[:, first])
                first = last
            found[block.count] = block.columns(*values)
        return found

    def figures(self, sums: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Figures of summed counts, by name (``micro.f1``, ``per_label.PS.f1``, ``klue.char_f1``).

        Args:
            sums: (n, columns), each row the sum over some sentences, as often as they were drawn.

        Returns:
            Arrays of n fractions. As in seqeval, a label that is neither in gold nor predicted is
            left out of an average, and a figure without anything to count is 0; the label's own
            figure is NaN then. A tag without a character has character F1 1, as KLUE-baseline has
            it.
        """
        columns = self.columns(sums)
        figures: dict[str, NDArray[Any]] = {}
        for metric in METRICS:
            if metric.count in columns:
                figures |= metric.figures(columns[metric.count], self.labels)
        return figures


def count(sides: Sequence[Sides], labels: Labels) -> Counts:
    """Count every sentence once, in each way that some metric counts.

    Args:
        sides: Both sides of each sentence; at least one.
        labels: The labels they share.
    """
    import numpy as np

    blocks, parts = [], []
    for function in dict.fromkeys(metric.count for metric in METRICS):
        first = function(sides[0])
        if first is None:
            continue
        shapes = tuple(np.shape(value) for value in first)
        # Filled a sentence at a time: rows that were kept until all are counted cost more than
        # counting.
        columns = [np.zeros((len(sides), *shape)) for shape in shapes]
        for number, one in enumerate(sides):
            for column, value in zip(columns, function(one), strict=True):
                column[number] = value
        blocks.append(Block(function, type(first), shapes))
        parts += [column.reshape(len(sides), -1) for column in columns]
    return Counts(labels.names, tuple(blocks), np.concatenate(parts, axis=1))
