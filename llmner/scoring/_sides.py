"""The input of metrics: gold and predictions of each sentence, and the labels of all sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from llmner.projection import canonical_surface
from llmner.spans import Span, TextLabel
from llmner.tagging import OUTSIDE, Labelled, label_tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Claims", "Labels", "Sides", "Whole", "surfaces"]

Claims: TypeAlias = frozenset[tuple[str, str]]
"""(label, canonical surface) of a sentence, each once."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of all sentences, and the column of each label in the counts.

    Attributes:
        names: The labels that are counted; at least all labels that occur.
        task: The labels of the task, without other labels that were predicted.
        attributes: The attributes that gold spans have.
        text_labels: The labels of whole texts, in gold or predicted.
        numbers: The column of each label.
        tag_numbers: The column of each IOB2 tag of the task's labels, in KLUE-baseline's order with
            ``O`` last. KLUE has 13 tags.
    """

    names: tuple[str, ...]
    task: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    text_labels: tuple[str, ...] = ()
    numbers: dict[str, int] = field(init=False)
    tag_numbers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        tags = [*label_tags(self.task), OUTSIDE]
        object.__setattr__(self, "numbers", {name: n for n, name in enumerate(self.names)})
        object.__setattr__(self, "tag_numbers", {tag: n for n, tag in enumerate(tags)})

    def count(self, spans: Iterable[Labelled]) -> NDArray[Any]:
        """The number of spans with each label: an array (labels,)."""
        import numpy as np

        row = np.zeros(len(self.names))
        for span in spans:
            row[self.numbers[span.label]] += 1
        return row


@dataclass(frozen=True, slots=True)
class Sides:
    """Gold and predictions of one sentence.

    If all predictions are right, ``predicted is gold``, which lets metrics skip work.

    Attributes:
        labels: The labels of all sentences.
        gold: Gold spans, sorted and without overlaps.
        predicted: Predicted spans, sorted and without overlaps.
        strict: The predicted spans that strict IOB2 counts.
        gold_tags: IOB2 tags of the gold spans, one per character.
        read_tags: The tags from which the predictions were read, one per character; those of the
            predicted spans unless they were broken.
        text: The sentence's text, if it is known.
        gold_claims: The (label, surface) pairs of gold; ``None`` without a text.
        predicted_claims: The (label, surface) pairs of the predictions; ``None`` without a text.
        gold_labels: The gold labels of the whole text.
        predicted_labels: Its predicted labels.
    """

    labels: Labels
    gold: tuple[Span, ...]
    predicted: tuple[Span, ...]
    strict: tuple[Span, ...]
    gold_tags: list[str]
    read_tags: list[str]
    text: str | None = None
    gold_claims: Claims | None = None
    predicted_claims: Claims | None = None
    gold_labels: tuple[TextLabel, ...] = ()
    predicted_labels: tuple[TextLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """All sentences that are scored together.

    Attributes:
        labels: Their labels.
        sides: The sides of each sentence, in order.
    """

    labels: Labels
    sides: tuple[Sides, ...]


def surfaces(text: str, spans: Sequence[Span]) -> Claims:
    """The (label, surface) pairs of spans, with surfaces in the canonical form of projection."""
    return frozenset((span.label, canonical_surface(text[span.start : span.end])) for span in spans)
