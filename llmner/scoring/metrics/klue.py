"""KLUE's official figures: entity F1 and character F1, as KLUE-baseline computes them.

Spaces are dropped, and an ``O`` is added before and after each sentence. KLUE-baseline joins all
sentences into one sequence. Because of the ``O``, no entity can cross a boundary, so one sequence
per sentence gives the same entities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

from llmner.scoring._sides import Labels, Sides, Whole
from llmner.scoring.metrics._metric import Figures, Hits, Metric, Number, mean_ratios, ratios
from llmner.tagging import OUTSIDE, tags_to_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KLUE_LABELS", "KlueScores", "task_labels"]

KLUE_LABELS = ("PS", "LC", "OG", "DT", "TI", "QT")
"""The labels of KLUE-NER. Character F1 is the macro average over their 13 tags."""


@dataclass(frozen=True, slots=True)
class KlueScores:
    """KLUE's official figures, as fractions from 0 to 1.

    Attributes:
        entity_f1: Macro F1 over labels, strict IOB2.
        char_f1: Macro F1 over character tags.
        gold_entities: Number of strict gold entities after spaces are dropped. An entity that
            begins with a space loses its ``B-`` tag and does not count.
    """

    entity_f1: float
    char_f1: float
    gold_entities: int


class _Columns(NamedTuple):
    """Counts of entities by label, then of characters by tag."""

    right_entities: Number
    gold_entities: Number
    predicted_entities: Number
    right_characters: Number
    gold_characters: Number
    predicted_characters: Number


def task_labels(gold: set[str]) -> tuple[str, ...]:
    """The labels over whose tags character F1 is averaged, given the labels of gold.

    >>> task_labels({"PS"}) == KLUE_LABELS, task_labels({"PER", "LOC"})
    (True, ('LOC', 'PER'))
    """
    return KLUE_LABELS if gold <= set(KLUE_LABELS) else tuple(sorted(gold))


def _count(sides: Sides) -> _Columns | None:
    import numpy as np

    if sides.text is None:
        return None
    labels = sides.labels
    gold_tags = _without_spaces(sides.text, sides.gold_tags)
    gold, gold_numbers = _entities(gold_tags), _tag_numbers(gold_tags, labels)
    if sides.read_tags == sides.gold_tags:
        predicted, read_numbers = gold, gold_numbers
    else:
        read_tags = _without_spaces(sides.text, sides.read_tags)
        predicted, read_numbers = _entities(read_tags), _tag_numbers(read_tags, labels)

    def characters(numbers: NDArray[Any]) -> NDArray[Any]:
        # The last number stands for all tags that are not averaged over.
        return np.bincount(numbers, minlength=len(labels.tag_numbers) + 1)[:-1]

    return _Columns(
        labels.count(gold & predicted),
        labels.count(gold),
        labels.count(predicted),
        characters(gold_numbers[gold_numbers == read_numbers]),
        characters(gold_numbers),
        characters(read_numbers),
    )


def _without_spaces(text: str, tags: Sequence[str]) -> list[str]:
    return [OUTSIDE, *compress(tags, map(" ".__ne__, text)), OUTSIDE]


def _entities(tags: Sequence[str]) -> set[Any]:
    return set(tags_to_spans(tags, drop=True)[0])


def _tag_numbers(tags: Sequence[str], labels: Labels) -> NDArray[Any]:
    import numpy as np

    numbers, other = labels.tag_numbers, len(labels.tag_numbers)
    return np.array([numbers.get(tag, other) for tag in tags])


def _figures(sums: _Columns, labels: Sequence[str]) -> Figures:
    """Labels that do not occur are left out of the mean. A tag without a character has F1 1."""
    import numpy as np

    entities, characters = Hits(*sums[:3]), Hits(*sums[3:])
    occurs = (entities.gold + entities.predicted) > 0
    tags = np.where(characters.gold + characters.predicted > 0, ratios(*characters)[2], 1.0)
    return {"klue.entity_f1": mean_ratios(entities, occurs)[2], "klue.char_f1": tags.mean(1)}


def _quote(whole: Whole, sums: _Columns) -> KlueScores:
    figures = _figures(sums, whole.labels.names)
    return KlueScores(
        entity_f1=float(figures["klue.entity_f1"][0]),
        char_f1=float(figures["klue.char_f1"][0]),
        gold_entities=int(sums.gold_entities.sum()),
    )


METRIC = Metric(
    "klue",
    _count,
    _figures,
    {
        "klue.entity_f1": (
            "KLUE entity F1",
            "the KLUE benchmark's first figure: strict macro, spaces dropped",
        ),
        "klue.char_f1": (
            "KLUE character F1",
            "the KLUE benchmark's second: macro over character tags",
        ),
    },
    _quote,
)
