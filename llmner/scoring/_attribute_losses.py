"""What wrong attributes cost, by attribute and by cause.

A span or a label of the whole text that is right but for its attributes counts as missed and as
predicted wrongly, where attributes count. Its cost is shared by its wrong attributes, so that the
costs of a side, and those of spans or labels that are wrong themselves, add up to what is missing
to an F1 of 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llmner.scoring._predictions import Prediction
from llmner.scoring.metrics.attributes import comparable
from llmner.spans import Sentence, Span, TextLabel

__all__ = ["ATTRIBUTE_CAUSES", "AttributeLoss", "attribute_losses"]

ATTRIBUTE_CAUSES: dict[str, tuple[str, str]] = {
    "value": ("another value", "the value that is said is not the right one"),
    "unknown": ("an unknown value", "a value is said that the schema does not know"),
    "missing": ("no value", "no value is said, and gold has one"),
    "unasked": ("a value too many", "a value is said, and gold has none"),
}
"""A title and an explanation of each cause, by the cause's name."""


@dataclass(frozen=True, slots=True)
class AttributeLoss:
    """What one cause costs of one attribute.

    Attributes:
        of: ``"spans"``, or ``"texts"`` for labels of whole texts.
        attribute: The attribute.
        cause: One of :data:`ATTRIBUTE_CAUSES`.
        count: How many values of right spans or labels are wrong because of it.
        f1_lost: What it costs of the F1 that counts attributes, from 0 to 1.
    """

    of: Literal["spans", "texts"]
    attribute: str
    cause: str
    count: int
    f1_lost: float


def attribute_losses(
    gold: Sequence[Sentence], predictions: Sequence[Prediction]
) -> tuple[AttributeLoss, ...]:
    """What wrong attributes cost; nothing for corpora without attributes.

    Args:
        gold: The sentences.
        predictions: Their predictions.

    >>> gold = Sentence("good food", labels=(TextLabel("food", {"polarity": "positive"}),))
    >>> said = Prediction("good food", (), labels=(TextLabel("food", {"polarity": "neutral"}),))
    >>> (loss,) = attribute_losses([gold], [said])
    >>> loss.attribute, loss.cause, loss.f1_lost
    ('polarity', 'value', 1.0)
    """
    losses: list[AttributeLoss] = []
    for of in ("spans", "texts"):
        counts: Counter[tuple[str, str]] = Counter()
        costs: dict[tuple[str, str], float] = {}
        total = 0
        for sentence, prediction in zip(gold, predictions, strict=True):
            mine = sentence.spans if of == "spans" else sentence.labels
            its = prediction.spans if of == "spans" else prediction.labels
            total += len(mine) + len(its)
            unknown = _unknown(prediction) if of == "spans" else {}
            for right, said in _alike(mine, its):
                wrong = list(_wrong(right.attributes, said.attributes, unknown.get(said, ())))
                for key in wrong:
                    counts[key] += 1
                    costs[key] = costs.get(key, 0.0) + 2 / len(wrong)
        order = list(ATTRIBUTE_CAUSES)
        losses += [
            AttributeLoss(of, *key, counts[key], costs[key] / total)
            for key in sorted(counts, key=lambda key: (key[0], order.index(key[1])))
        ]
    return tuple(losses)


def _alike(
    gold: Sequence[Span | TextLabel], predicted: Sequence[Span | TextLabel]
) -> Iterator[tuple[Span | TextLabel, Span | TextLabel]]:
    """What is in both, attributes not looked at."""
    said = {_key(item): item for item in predicted}
    return ((item, said[_key(item)]) for item in gold if _key(item) in said)


def _key(item: Span | TextLabel) -> tuple[str, int, int]:
    return (item.label, item.start, item.end) if isinstance(item, Span) else (item.label, 0, 0)


def _unknown(prediction: Prediction) -> dict[Span | TextLabel, set[str]]:
    """The attributes of each span of which a reply said a value that the schema does not know."""
    return {
        outcome.span: {own.name for own in outcome.attributes if own.kind == "unknown_value"}
        for outcome in prediction.outcomes
        if outcome.span is not None
    }


def _wrong(
    right: Mapping[str, Any], said: Mapping[str, Any], unknown: Sequence[str] | set[str]
) -> Iterator[tuple[str, str]]:
    """Each attribute that is wrong, and why."""
    for name in {**right, **said}:
        one, other = comparable(right.get(name)), comparable(said.get(name))
        if one == other:
            continue
        if one is None:
            yield name, "unasked"
        elif other is not None:
            yield name, "value"
        else:
            yield name, "unknown" if name in unknown else "missing"
