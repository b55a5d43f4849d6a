"""What classifiers of whole texts share: which labels a text is given, and values of attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmner.errors import InputError
from llmner.scoring.metrics.attributes import comparable
from llmner.spans import Sentence, TextLabel

__all__ = [
    "AttributeClasses",
    "LabelChoice",
    "Values",
    "attribute_classes",
    "best_thresholds",
    "judge_labels",
    "label_targets",
    "learnt_text_labels",
    "sigmoid",
    "softmax",
    "text_labels",
]

# Thresholds that are tried for a label.
_THRESHOLDS = np.arange(0.05, 0.96, 0.05)
_MOST_VALUES = 50
# A label that fewer texts have has no threshold of its own.
_FEW = 5

Values = Mapping[str, "AttributeClasses"]
"""The classes of each attribute, by name."""


@dataclass(frozen=True, slots=True)
class AttributeClasses:
    """The classes of an attribute.

    Attributes:
        values: Its values, sorted.
        labels: The labels that have it, sorted.
    """

    values: tuple[Any, ...]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> AttributeClasses:
        """From the fields of a file.

        Raises:
            ValueError, TypeError, KeyError: They are malformed.
        """
        values, labels = tuple(fields["values"]), tuple(fields["labels"])
        if not values or not all(_is_plain(value) for value in values):
            raise ValueError("the values of an attribute are malformed")
        if not all(isinstance(label, str) for label in labels):
            raise TypeError("the labels of an attribute are not all names")
        return cls(values, labels)

    def index(self, value: Any) -> int | None:
        """The number of a value; ``None`` for one that is not among them."""
        wanted = comparable(value) if _is_plain(value) else None
        known = (number for number, own in enumerate(self.values) if comparable(own) == wanted)
        return next(known, None)

    def to_dict(self) -> dict[str, Any]:
        """The fields of a file."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """Which labels a text is given, by their probabilities.

    Attributes:
        thresholds: The lowest probability of each label.
        at_least_one: Whether every text is given a label: the one that is highest above its
            threshold, or the least below.
        at_most_one: Whether no text is given two: it is given the most probable one.
    """

    thresholds: tuple[float, ...]
    at_least_one: bool = False
    at_most_one: bool = False

    @classmethod
    def learnt(cls, sentences: Sequence[Sentence], labels: Sequence[str]) -> LabelChoice:
        """That of training texts, with thresholds of one half.

        >>> LabelChoice.learnt([Sentence("a", labels=(TextLabel("x"),))], ["x"]).at_most_one
        True
        """
        counts = {len({label.label for label in sentence.labels}) for sentence in sentences}
        return cls((0.5,) * len(labels), at_least_one=0 not in counts, at_most_one=max(counts) < 2)

    @classmethod
    def read(cls, fields: Mapping[str, Any], labels: Sequence[str]) -> LabelChoice:
        """From the fields of a file.

        Raises:
            ValueError, TypeError, KeyError: They are malformed.
        """
        if not labels or not all(isinstance(label, str) and label for label in labels):
            raise ValueError("its labels are not all names")
        thresholds = tuple(map(float, fields["thresholds"]))
        if len(thresholds) != len(labels):
            raise ValueError("it has not one threshold for each label")
        return cls(
            thresholds, fields["at_least_one"] is True, fields.get("at_most_one", False) is True
        )

    def of(self, probabilities: NDArray[Any]) -> Iterator[tuple[int, int]]:
        """What is given: numbers of the text and of its label.

        Args:
            probabilities: (texts, labels).
        """
        above = probabilities - np.array(self.thresholds)
        for number, row in enumerate(above):
            chosen = np.flatnonzero(row >= 0)
            if self.at_most_one and len(chosen):
                chosen = chosen[[np.argmax(probabilities[number, chosen])]]
            elif not len(chosen) and self.at_least_one:
                best = probabilities[number] if self.at_most_one else row
                chosen = np.array([np.argmax(best)])
            yield from ((number, int(index)) for index in chosen)

    def to_dict(self) -> dict[str, Any]:
        """The fields of a file."""
        return asdict(self)


def text_labels(
    texts: int,
    labels: Sequence[str],
    given: Sequence[tuple[int, int]],
    probabilities: NDArray[Any],
    attributes: Sequence[Mapping[str, Any]],
) -> list[tuple[TextLabel, ...]]:
    """The labels of each text.

    Args:
        texts: The number of texts.
        labels: The names of labels.
        given: For each label that a text is given, the numbers of the two.
        probabilities: (texts, labels).
        attributes: The attributes of each that is given.
    """
    found: list[list[TextLabel]] = [[] for _ in range(texts)]
    for (number, index), own in zip(given, attributes, strict=True):
        score = round(float(probabilities[number, index]), 6)
        found[number].append(TextLabel(labels[index], own, score))
    return list(map(tuple, found))


def learnt_text_labels(sentences: Iterable[Sentence]) -> list[str]:
    """The labels of all texts, sorted.

    Raises:
        InputError: There are none.

    >>> learnt_text_labels([Sentence("a", labels=(TextLabel("x"),))])
    ['x']
    """
    labels = sorted({label.label for sentence in sentences for label in sentence.labels})
    if not labels:
        raise InputError(
            "the training texts have no labels", hint="spans are for crf, bilstm-crf and encoder"
        )
    return labels


def judge_labels(
    gold: Sequence[Sentence], predicted: Sequence[tuple[TextLabel, ...]]
) -> tuple[float, float, float]:
    """Micro precision, recall and F1 of the labels that a classifier gave.

    If they have attributes, a label counts once for each, and is right if its value is.
    """
    from llmner.scoring import score

    empty: list[tuple[Any, ...]] = [()] * len(gold)
    scores = score(empty, empty, text_labels=([sentence.labels for sentence in gold], predicted))
    labels = scores.others["text_labels"]
    has_attributes = any(label.attributes for sentence in gold for label in sentence.labels)
    counts = labels["pairs" if has_attributes else "micro"]
    return counts["precision"], counts["recall"], counts["f1"]


def label_targets(sentences: Sequence[Sentence], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Which text has which label: (texts, labels)."""
    given = [{label.label for label in sentence.labels} for sentence in sentences]
    return np.array([[label in own for label in labels] for own in given], dtype=bool)


def attribute_classes(sentences: Iterable[Sentence]) -> dict[str, AttributeClasses]:
    """The classes of each attribute that has few values."""
    values: dict[str, dict[Any, Any]] = {}
    labels: dict[str, set[str]] = {}
    for sentence in sentences:
        for label in sentence.labels:
            for name, value in label.attributes.items():
                if _is_plain(value):
                    values.setdefault(name, {}).setdefault(comparable(value), value)
                    labels.setdefault(name, set()).add(label.label)
    return {
        name: AttributeClasses(
            tuple(sorted(own.values(), key=lambda value: (isinstance(value, str), value))),
            tuple(sorted(labels[name])),
        )
        for name, own in sorted(values.items())
        if len(own) <= _MOST_VALUES
    }


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def best_thresholds(probabilities: NDArray[Any], targets: NDArray[np.bool_]) -> tuple[float, ...]:
    """For each label the threshold with the best F1.

    A label that few texts have takes the one that is best for all labels together. Of several
    thresholds that are as good, the one in the middle is taken.

    Args:
        probabilities: (texts, labels).
        targets: Which text has which label: (texts, labels).
    """
    # (texts, labels, thresholds)
    predicted = probabilities[:, :, None] >= _THRESHOLDS
    right = (predicted & targets[:, :, None]).sum(0)
    given, gold = predicted.sum(0), targets.sum(0)
    together = _middle(2 * right.sum(0) / np.maximum(given.sum(0) + gold.sum(), 1))
    return tuple(
        _middle(2 * right[label] / np.maximum(given[label] + gold[label], 1))
        if gold[label] >= _FEW
        else together
        for label in range(len(gold))
    )


def sigmoid(scores: NDArray[Any]) -> NDArray[Any]:
    """Probabilities of scores."""
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -40, 40))))


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """Probabilities of scores that exclude each other, which are in the last dimension."""
    shifted = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def _middle(f1: NDArray[Any]) -> float:
    """The threshold in the middle of the best ones."""
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return round(float(_THRESHOLDS[best[len(best) // 2]]), 2)
