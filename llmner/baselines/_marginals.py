"""The probability of every tag at every character of a text, and what follows of spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from llmner.tagging import OUTSIDE

__all__ = ["MarginalTagger", "TagMarginals"]


@dataclass(frozen=True, slots=True)
class TagMarginals:
    """The probabilities of BIOES tags in a text.

    Attributes:
        places: Offsets of the characters that are not white space, in code points.
        tags: The tags.
        values: (places, tags), from 0 to 1.

    >>> values = np.array([[0.1, 0.9, 0.0], [0.2, 0.0, 0.8]])
    >>> found = TagMarginals((0, 1), ("O", "B-PER", "E-PER"), values)
    >>> round(found.of_span(0, 2, "PER"), 1), round(found.outside(0, 2), 1)
    (0.8, 0.1)
    """

    places: tuple[int, ...]
    tags: tuple[str, ...]
    values: NDArray[np.float32]
    _columns: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._columns.update({tag: number for number, tag in enumerate(self.tags)})

    def of_span(self, start: int, end: int, label: str) -> float:
        """The probability of a span: the lowest one of its tags, as a tagger's scores are."""
        rows = self._rows(start, end)
        if not len(rows):
            return 0.0
        if len(rows) == 1:
            tags = [f"S-{label}"]
        else:
            tags = [f"B-{label}", *[f"I-{label}"] * (len(rows) - 2), f"E-{label}"]
        columns = [self._columns.get(tag, -1) for tag in tags]
        if -1 in columns:
            return 0.0
        return float(self.values[rows, columns].min())

    def outside(self, start: int, end: int) -> float:
        """The lowest probability, among the characters of a range, of being in no span."""
        rows = self._rows(start, end)
        column = self._columns.get(OUTSIDE)
        if not len(rows) or column is None:
            return 0.0
        return float(self.values[rows, column].min())

    def _rows(self, start: int, end: int) -> NDArray[np.intp]:
        first, last = np.searchsorted(self.places, (start, end))
        return np.arange(first, last)


@runtime_checkable
class MarginalTagger(Protocol):
    """A tagger that knows the probability of every tag, and not only of those it gives."""

    def marginals(self, texts: Sequence[str]) -> list[TagMarginals]:
        """The probabilities of each text's tags."""
        ...
