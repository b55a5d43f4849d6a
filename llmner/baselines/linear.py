"""A linear classifier of whole texts on hashed character n-grams (scikit-learn), which trains in
seconds: several labels a text, and the attributes of each.

Each label is a logistic regression. An attribute is a second model on a text and a label that it
has: it sees the text's n-grams, and once more those of this label alone, so that words mean for
each label what they mean there.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from llmner._mishaps import Mishap, attempt
from llmner.baselines._text_labels import (
    AttributeClasses,
    LabelChoice,
    Values,
    attribute_classes,
    best_thresholds,
    judge_labels,
    label_targets,
    learnt_text_labels,
    sigmoid,
    softmax,
    text_labels,
)
from llmner.baselines._types import Epoch, Fields, Trained, baseline_config
from llmner.errors import InputError, MissingExtraError
from llmner.files import dump_json, read_json, whole_file
from llmner.spans import Sentence, TextLabel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

__all__ = ["LinearClassifier", "LinearClassifierConfig", "train_linear_classifier"]

WEIGHTS = "classifier.npz"
CLASSES = "classifier.json"
_HINT = "train it again"


class LinearClassifierConfig(Fields):
    """The configuration of a linear classifier.

    Attributes:
        ngrams: The longest n-grams of characters, within words.
        buckets: The number of hashed features; weights are kept for each label and feature.
        c: Inverse strength of the L2 regularisation.
        class_weight: ``"balanced"`` weights texts by how rare their side of a label is.
        folds: Parts into which the training texts are divided to choose a threshold for each
            label, each by a model of the others; 0 for 0.5 throughout. Held-out texts choose them
            instead, where there are any.
        seed: Seed of the division into parts.

    >>> LinearClassifierConfig(c=1.0).ngrams
    4
    """

    ngrams: int = Field(default=4, ge=1, le=8)
    buckets: int = Field(default=1 << 17, ge=1 << 8, le=1 << 22)
    c: float = Field(default=10.0, gt=0)
    class_weight: Literal["none", "balanced"] = "none"
    folds: int = Field(default=3, ge=0, le=20)
    seed: int = Field(default=42, ge=0)


class LinearClassifier:
    """A trained linear classifier.

    Args:
        weights: The arrays of the model: ``idf`` (buckets,), ``labels`` (labels, buckets + 1) and
            for each attribute its weights (values, 2 * buckets + 1).
        classes: Labels, how they are chosen, values of attributes, and how texts are hashed.

    Raises:
        ValueError, TypeError, KeyError: The classes are malformed.
    """

    kind: ClassVar[str] = "linear-classifier"

    def __init__(self, weights: Mapping[str, NDArray[Any]], classes: Mapping[str, Any]) -> None:
        self._weights = dict(weights)
        self._classes = dict(classes)
        self.labels: tuple[str, ...] = tuple(classes["labels"])
        self._choice = LabelChoice.read(classes, self.labels)
        self._values: Values = {
            name: AttributeClasses.read(own) for name, own in classes["attributes"].items()
        }

    @classmethod
    def load(
        cls,
        folder: Path,
        record: Mapping[str, Any],
        *,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> LinearClassifier:
        """Load the classifier from a folder that :meth:`save` wrote to; ``device`` is ignored.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        baseline_config(record, folder, buckets=(1 << 8, 1 << 22))
        path = folder / WEIGHTS
        loaded = attempt(_arrays, path)
        if isinstance(loaded, Mishap):
            raise InputError(f"cannot be read ({loaded})", path=path, hint=_HINT)
        classes = read_json(folder / CLASSES, hint=_HINT)
        made = attempt(_checked, loaded, classes)
        if isinstance(made, Mishap):
            raise InputError(
                f"does not fit its weights ({made})", path=folder / CLASSES, hint=_HINT
            )
        return made

    def tag(self, texts: Sequence[str]) -> list[tuple[TextLabel, ...]]:
        """The labels of each text, each with its probability and its attributes. O(characters)."""
        if not texts:
            return []
        features = self._features(texts)
        probabilities = self._probabilities(features)
        given = list(self._choice.of(probabilities))
        attributes = self._attributes(features, given)
        return text_labels(len(texts), self.labels, given, probabilities, attributes)

    def probabilities(self, texts: Sequence[str]) -> NDArray[Any]:
        """The probability of each label: (texts, labels), in the order of :attr:`labels`."""
        return self._probabilities(self._features(texts))

    def values(
        self, texts: Sequence[str], labels: Sequence[Sequence[str]]
    ) -> list[dict[tuple[str, str], dict[Any, float]]]:
        """The probability of each value of the attributes of labels that texts are known to have.

        Args:
            texts: The texts.
            labels: The labels of each.

        Returns:
            For each text, by label and name of the attribute, the probability of each value.
        """
        found: list[dict[tuple[str, str], dict[Any, float]]] = [{} for _ in texts]
        if not texts:
            return found
        features = self._features(texts)
        given = [
            (number, self.labels.index(label))
            for number, own in enumerate(labels)
            for label in own
            if label in self.labels
        ]
        for name, places, scores in self._attribute_scores(features, given):
            values = self._values[name].values
            for place, row in zip(places, softmax(scores).tolist(), strict=True):
                number, index = given[place]
                found[number][self.labels[index], name] = dict(zip(values, row, strict=True))
        return found

    def _features(self, texts: Sequence[str]) -> csr_matrix:
        return _weighted(_hashed(texts, self._classes), self._weights["idf"])

    def _probabilities(self, features: csr_matrix) -> NDArray[Any]:
        return sigmoid(_scores(features, self._weights["labels"]))

    def _attributes(
        self, features: csr_matrix, given: Sequence[tuple[int, int]]
    ) -> list[dict[str, Any]]:
        """The attributes of each label that a text has: (number of the text, of the label)."""
        attributes: list[dict[str, Any]] = [{} for _ in given]
        for name, places, scores in self._attribute_scores(features, given):
            for place, best in zip(places, scores.argmax(1), strict=True):
                attributes[place][name] = self._values[name].values[int(best)]
        return attributes

    def _attribute_scores(
        self, features: csr_matrix, given: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[str, list[int], NDArray[Any]]]:
        """Each attribute, which of the given labels have it, and the scores: (those, values)."""
        for name, classes in self._values.items():
            places = [
                place
                for place, (_, index) in enumerate(given)
                if self.labels[index] in classes.labels
            ]
            if not places:
                continue
            rows = features[[given[place][0] for place in places]]
            rows = _with_label(rows, [self.labels[given[place][1]] for place in places])
            yield name, places, _scores(rows, self._weights[f"attribute {name}"])

    def parameters(self) -> int:
        """The number of weights that are not zero."""
        return int(sum(np.count_nonzero(array) for array in self._weights.values()))

    def save(self, folder: Path) -> None:
        """Write the weights, and what they are of, into an existing folder."""
        with whole_file(folder / WEIGHTS) as stream:
            np.savez_compressed(stream, **self._weights)  # type: ignore[arg-type]
        with whole_file(folder / CLASSES) as stream:
            stream.write(dump_json(self._classes, indent=2) + b"\n")


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _checked(weights: Mapping[str, NDArray[Any]], classes: Any) -> LinearClassifier:
    """A classifier whose parts fit each other.

    Raises:
        ValueError, TypeError, KeyError: They do not.
    """
    classifier = LinearClassifier(weights, classes)
    buckets = int(classes["buckets"])
    shapes = {"idf": (buckets,), "labels": (len(classifier.labels), buckets + 1)}
    for name, own in classes["attributes"].items():
        shapes[f"attribute {name}"] = (len(own["values"]), 2 * buckets + 1)
    if {name: array.shape for name, array in weights.items()} != shapes:
        raise ValueError("an array has another shape")
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise ValueError("a weight is not a number")
    classifier.tag(["."])
    return classifier


def _scores(features: csr_matrix, weights: NDArray[Any]) -> NDArray[Any]:
    """The scores of each class: (texts, classes); the last weight of a class is its intercept."""
    return np.asarray(features @ weights[:, :-1].T + weights[:, -1])


def _hashed(texts: Sequence[str], classes: Mapping[str, Any]) -> csr_matrix:
    """Counts of hashed n-grams: (texts, buckets)."""
    try:
        from sklearn.feature_extraction.text import HashingVectorizer
    except ImportError:
        raise MissingExtraError("baselines", "the classifier") from None
    vectorizer = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(1, int(classes["ngrams"])),
        n_features=int(classes["buckets"]),
        alternate_sign=False,
        norm=None,
    )
    # Lone surrogates cannot be hashed.
    plain = [text.encode("utf-8", "replace").decode() for text in texts]
    return vectorizer.transform(plain).tocsr()


def _weighted(counts: csr_matrix, idf: NDArray[Any]) -> csr_matrix:
    """Counts as tf-idf with logarithmic counts and rows of length 1."""
    from sklearn.preprocessing import normalize

    features = counts.astype(np.float64)
    features.data = 1 + np.log(features.data)
    return normalize(features.multiply(idf).tocsr())


def _with_label(features: csr_matrix, labels: Sequence[str]) -> csr_matrix:
    """A text's features, and once more those of its label alone: (texts, 2 * buckets)."""
    from scipy.sparse import csr_matrix, hstack

    buckets = features.shape[1]
    own = features.tocoo()
    # Odd steps reach every bucket, another one for each label.
    steps = np.array([2 * zlib.crc32(label.encode()) + 1 for label in labels], dtype=np.int64)
    columns = (own.col.astype(np.int64) * 31 + steps[own.row]) % buckets
    alone = csr_matrix((own.data, (own.row, columns)), shape=features.shape)
    return hstack([features, alone], format="csr")


def train_linear_classifier(
    sentences: Sequence[Sentence],
    config: LinearClassifierConfig,
    folder: Path,
    *,
    held_out: Sequence[Sentence] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Trained:
    """Train a linear classifier on one core.

    Args:
        sentences: The training texts, with their labels.
        config: The configuration.
        folder: Not used; the model is small.
        held_out: Texts that choose the thresholds, and are judged.
        on_epoch: Called once, at the end.
        report: Called with a sentence about what is being done.

    Raises:
        InputError: No text has a label.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    started = time.perf_counter()
    labels = learnt_text_labels(sentences)
    choice = LabelChoice.learnt(sentences, labels)
    values = attribute_classes(sentences)
    classes: dict[str, Any] = {
        "buckets": config.buckets,
        "ngrams": config.ngrams,
        "labels": labels,
        "attributes": {name: own.to_dict() for name, own in values.items()},
    }
    counts = _hashed([sentence.text for sentence in sentences], classes)
    frequency = np.bincount(counts.indices, minlength=config.buckets)
    idf = np.log((1 + len(sentences)) / (1 + frequency)) + 1
    features = _weighted(counts, idf)
    targets = label_targets(sentences, labels)
    weights = {"idf": idf.astype(np.float32), "labels": _fit(features, targets, config)}
    for name, own in values.items():
        rows = [
            (number, label.label, value)
            for number, sentence in enumerate(sentences)
            for label in sentence.labels
            if (value := own.index(label.attributes.get(name))) is not None
        ]
        crossed = _with_label(features[[number for number, *_ in rows]], [row[1] for row in rows])
        one_hot = np.eye(len(own.values), dtype=bool)[[value for *_, value in rows]]
        weights[f"attribute {name}"] = _fit(crossed, one_hot, config)
    classifier = LinearClassifier(weights, classes | choice.to_dict())
    thresholds = None
    if held_out:
        probabilities = classifier.probabilities([sentence.text for sentence in held_out])
        thresholds = best_thresholds(probabilities, label_targets(held_out, labels))
    elif config.folds > 1 and len(sentences) >= 2 * config.folds:
        if report is not None:
            report(f"choosing thresholds on {config.folds} parts")
        thresholds = best_thresholds(_crossed(features, targets, config), targets)
    if thresholds is not None:
        choice = replace(choice, thresholds=thresholds)
        classifier = LinearClassifier(weights, classes | choice.to_dict())
    seconds = time.perf_counter() - started
    epoch = Epoch(1, None, seconds=seconds)
    if held_out:
        precision, recall, f1 = judge_labels(
            held_out, classifier.tag([sentence.text for sentence in held_out])
        )
        epoch = Epoch(1, None, None, precision, recall, f1, seconds)
    if on_epoch is not None:
        on_epoch(epoch)
    return Trained(classifier, seconds, (epoch,), None)


def _fit(features: csr_matrix, targets: NDArray[np.bool_], config: LinearClassifierConfig) -> Any:
    """The weights of a logistic regression for each column, and its intercept last."""
    from sklearn.linear_model import LogisticRegression

    weights = np.zeros((targets.shape[1], features.shape[1] + 1), dtype=np.float32)
    class_weight = None if config.class_weight == "none" else config.class_weight
    for number, target in enumerate(targets.T):
        if target.all() or not target.any():
            weights[number, -1] = 20.0 if target.all() else -20.0
            continue
        model = LogisticRegression(
            C=config.c, solver="liblinear", class_weight=class_weight, random_state=config.seed
        ).fit(features, target)
        weights[number, :-1] = model.coef_[0]
        weights[number, -1] = model.intercept_[0]
    # Weights that say nothing take room in the file.
    weights[:, :-1][np.abs(weights[:, :-1]) < 1e-3] = 0
    return weights


def _crossed(
    features: csr_matrix, targets: NDArray[np.bool_], config: LinearClassifierConfig
) -> NDArray[Any]:
    """The probabilities of each text by a model that was trained on the other parts."""
    from sklearn.model_selection import KFold

    probabilities = np.zeros(targets.shape)
    parts = KFold(config.folds, shuffle=True, random_state=config.seed)
    for train, test in parts.split(features):
        weights = _fit(features[train], targets[train], config)
        probabilities[test] = sigmoid(_scores(features[test], weights))
    return probabilities
