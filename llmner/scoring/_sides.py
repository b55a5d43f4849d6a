"""What metrics are given: both sides of each sentence, and the labels that all sentences share.

How a metric counts them is its own affair (``metrics``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from llmner.projection import canonical_surface
from llmner.spans import Span
from llmner.tagging import OUTSIDE, Labelled, label_tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Claims", "Labels", "Sides", "Whole", "surfaces"]

Claims: TypeAlias = frozenset[tuple[str, str]]
"""(label, canonical surface) of a sentence, each once."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a scoring, with a column each.

    Attributes:
        names: The labels that are counted, at least all that occur.
        task: The labels of the task, whatever else was predicted.
        numbers: Each label's column.
        tag_numbers: A column for each IOB2 tag of the task's labels, ``O`` last, in KLUE-baseline's
            order: 13 for KLUE's own.
    """

    names: tuple[str, ...]
    task: tuple[str, ...] = ()
    numbers: dict[str, int] = field(init=False)
    tag_numbers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        tags = [*label_tags(self.task), OUTSIDE]
        object.__setattr__(self, "numbers", {name: at for at, name in enumerate(self.names)})
        object.__setattr__(self, "tag_numbers", {tag: at for at, tag in enumerate(tags)})

    def count(self, spans: Iterable[Labelled]) -> NDArray[Any]:
        """How many of the spans have each label: (labels,)."""
        import numpy as np

        row = np.zeros(len(self.names))
        for span in spans:
            row[self.numbers[span.label]] += 1
        return row


@dataclass(frozen=True, slots=True)
class Sides:
    """Gold and predictions of one sentence; where all is right, both sides are one object.

    Attributes:
        labels: The labels of all sentences.
        gold: Gold spans, sorted and lying apart.
        predicted: Predicted spans, likewise.
        strict: Those of the predicted spans that strict IOB2 counts.
        gold_tags: IOB2 tags of the gold spans, one a character.
        predicted_tags: Those of the predicted spans.
        read_tags: The tags that the predictions were read from: ``predicted_tags`` unless they were
            broken.
        text: The sentence, where it was given.
        gold_claims: What gold says of the text, places forgotten; ``None`` without a text.
        predicted_claims: What was predicted, likewise.
    """

    labels: Labels
    gold: tuple[Span, ...]
    predicted: tuple[Span, ...]
    strict: tuple[Span, ...]
    gold_tags: list[str]
    predicted_tags: list[str]
    read_tags: list[str]
    text: str | None = None
    gold_claims: Claims | None = None
    predicted_claims: Claims | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """All sentences of a scoring.

    Attributes:
        labels: Their labels.
        sides: Each sentence, in order.
        reports: Reports of other packages on them by name, since several metrics quote one report.
    """

    labels: Labels
    sides: tuple[Sides, ...]
    reports: dict[str, Any] = field(default_factory=dict)


def surfaces(text: str, spans: Sequence[Span]) -> Claims:
    """What spans say once their places are forgotten, in the canonical form that projection
    compares.
    """
    return frozenset((span.label, canonical_surface(text[span.start : span.end])) for span in spans)
