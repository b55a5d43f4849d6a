"""A linear classifier of whole texts on hashed character n-grams (scikit-learn), which trains in
seconds: several labels a text, and the attributes of each.

Each label is a logistic regression. An attribute is a second model on a text and a label that it
has: it sees the text's n-grams, and once more those of this label alone, so that words mean for
each label what they mean there.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from llmner._mishaps import Mishap, attempt
from llmner.baselines._types import Epoch, Fields, Trained, baseline_config
from llmner.errors import InputError, MissingExtraError
from llmner.files import dump_json, read_json, whole_file
from llmner.scoring.metrics.attributes import comparable
from llmner.spans import Sentence, TextLabel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

__all__ = ["ClassifierConfig", "LinearClassifier", "train_classifier"]

WEIGHTS = "classifier.npz"
CLASSES = "classifier.json"
_HINT = "train it again"
# Thresholds that are tried for a label.
_THRESHOLDS = np.arange(0.05, 0.96, 0.05)
_MOST_VALUES = 50
# A label that fewer texts have has no threshold of its own.
_FEW = 5


class ClassifierConfig(Fields):
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

    >>> ClassifierConfig(c=1.0).ngrams
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
        classes: Labels, thresholds, values of attributes, and how texts are hashed.
    """

    kind: ClassVar[str] = "classifier"

    def __init__(self, weights: Mapping[str, NDArray[Any]], classes: Mapping[str, Any]) -> None:
        self._weights = dict(weights)
        self._classes = dict(classes)
        self.labels: tuple[str, ...] = tuple(classes["labels"])
        self._thresholds = np.array(classes["thresholds"], dtype=float)

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
        given: list[tuple[int, int]] = []
        for number, row in enumerate(probabilities):
            chosen = np.flatnonzero(row >= self._thresholds)
            if not len(chosen) and self._classes["at_least_one"]:
                chosen = np.array([int(np.argmax(row - self._thresholds))])
            given += [(number, int(index)) for index in chosen]
        found: list[list[TextLabel]] = [[] for _ in texts]
        attributes = self._attributes(features, given)
        for (number, index), own in zip(given, attributes, strict=True):
            score = round(float(probabilities[number, index]), 6)
            found[number].append(TextLabel(self.labels[index], own, score))
        return [tuple(labels) for labels in found]

    def probabilities(self, texts: Sequence[str]) -> NDArray[Any]:
        """The probability of each label: (texts, labels), in the order of :attr:`labels`."""
        return self._probabilities(self._features(texts))

    def _features(self, texts: Sequence[str]) -> csr_matrix:
        return _weighted(_hashed(texts, self._classes), self._weights["idf"])

    def _probabilities(self, features: csr_matrix) -> NDArray[Any]:
        return _sigmoid(_scores(features, self._weights["labels"]))

    def _attributes(
        self, features: csr_matrix, given: Sequence[tuple[int, int]]
    ) -> list[dict[str, Any]]:
        """The attributes of each label that a text has: (number of the text, of the label)."""
        attributes: list[dict[str, Any]] = [{} for _ in given]
        for name, values in self._classes["attributes"].items():
            places = [
                place
                for place, (_, index) in enumerate(given)
                if self.labels[index] in values["labels"]
            ]
            if not places:
                continue
            rows = features[[given[place][0] for place in places]]
            rows = _with_label(rows, [self.labels[given[place][1]] for place in places])
            scores = _scores(rows, self._weights[f"attribute {name}"])
            for place, best in zip(places, scores.argmax(1), strict=True):
                attributes[place][name] = values["values"][int(best)]
        return attributes

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
    buckets, labels = int(classes["buckets"]), classes["labels"]
    if not all(isinstance(label, str) and label for label in labels) or not labels:
        raise ValueError("its labels are not all names")
    if len(classes["thresholds"]) != len(labels):
        raise ValueError("it has not one threshold for each label")
    shapes = {"idf": (buckets,), "labels": (len(labels), buckets + 1)}
    for name, own in classes["attributes"].items():
        shapes[f"attribute {name}"] = (len(own["values"]), 2 * buckets + 1)
    if {name: array.shape for name, array in weights.items()} != shapes:
        raise ValueError("an array has another shape")
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise ValueError("a weight is not a number")
    classifier = LinearClassifier(weights, classes)
    classifier.tag(["."])
    return classifier


def _scores(features: csr_matrix, weights: NDArray[Any]) -> NDArray[Any]:
    """The scores of each class: (texts, classes); the last weight of a class is its intercept."""
    return np.asarray(features @ weights[:, :-1].T + weights[:, -1])


def _sigmoid(scores: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -40, 40))))


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


def train_classifier(
    sentences: Sequence[Sentence],
    config: ClassifierConfig,
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
    labels = sorted({label.label for sentence in sentences for label in sentence.labels})
    if not labels:
        raise InputError(
            "the training texts have no labels", hint="spans are for crf, bilstm-crf and encoder"
        )
    classes: dict[str, Any] = {
        "buckets": config.buckets,
        "ngrams": config.ngrams,
        "labels": labels,
        "at_least_one": all(sentence.labels for sentence in sentences),
        "attributes": {},
    }
    counts = _hashed([sentence.text for sentence in sentences], classes)
    frequency = np.bincount(counts.indices, minlength=config.buckets)
    idf = np.log((1 + len(sentences)) / (1 + frequency)) + 1
    features = _weighted(counts, idf)
    targets = _targets(sentences, labels)
    weights = {"idf": idf.astype(np.float32), "labels": _fit(features, targets, config)}
    for name, own in _values(sentences).items():
        rows = [
            (number, label.label, label.attributes[name])
            for number, sentence in enumerate(sentences)
            for label in sentence.labels
            if _is_plain(label.attributes.get(name))
        ]
        crossed = _with_label(features[[number for number, *_ in rows]], [row[1] for row in rows])
        indices = {comparable(value): index for index, value in enumerate(own)}
        chosen = np.array([indices[comparable(value)] for *_, value in rows])
        one_hot = np.eye(len(own), dtype=bool)[chosen]
        weights[f"attribute {name}"] = _fit(crossed, one_hot, config)
        classes["attributes"][name] = {
            "values": own,
            "labels": sorted({label for _, label, _ in rows}),
        }
    classes["thresholds"] = [0.5] * len(labels)
    classifier = LinearClassifier(weights, classes)
    if held_out:
        probabilities = classifier.probabilities([sentence.text for sentence in held_out])
        classes["thresholds"] = _best(probabilities, _targets(held_out, labels))
    elif config.folds > 1 and len(sentences) >= 2 * config.folds:
        if report is not None:
            report(f"choosing thresholds on {config.folds} parts")
        probabilities = _crossed(features, targets, config)
        classes["thresholds"] = _best(probabilities, targets)
    classifier = LinearClassifier(weights, classes)
    seconds = time.perf_counter() - started
    epoch = Epoch(1, None, seconds=seconds)
    if held_out:
        precision, recall, f1 = judge_labels(held_out, classifier)
        epoch = Epoch(1, None, None, precision, recall, f1, seconds)
    if on_epoch is not None:
        on_epoch(epoch)
    return Trained(classifier, seconds, (epoch,), None)


def judge_labels(
    gold: Sequence[Sentence], classifier: LinearClassifier
) -> tuple[float, float, float]:
    """Micro precision, recall and F1 of a classifier's labels."""
    from llmner.scoring import score

    empty: list[tuple[Any, ...]] = [()] * len(gold)
    predicted = classifier.tag([sentence.text for sentence in gold])
    scores = score(empty, empty, text_labels=([sentence.labels for sentence in gold], predicted))
    micro = scores.others["text_labels"]["micro"]
    return micro["precision"], micro["recall"], micro["f1"]


def _targets(sentences: Sequence[Sentence], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Which text has which label: (texts, labels)."""
    given = [{label.label for label in sentence.labels} for sentence in sentences]
    return np.array([[label in own for label in labels] for own in given], dtype=bool)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _values(sentences: Iterable[Sentence]) -> dict[str, list[Any]]:
    """The values of each attribute that has few, sorted."""
    values: dict[str, dict[Any, Any]] = {}
    for sentence in sentences:
        for label in sentence.labels:
            for name, value in label.attributes.items():
                if _is_plain(value):
                    values.setdefault(name, {}).setdefault(comparable(value), value)
    return {
        name: sorted(own.values(), key=lambda value: (isinstance(value, str), value))
        for name, own in sorted(values.items())
        if len(own) <= _MOST_VALUES
    }


def _fit(features: csr_matrix, targets: NDArray[np.bool_], config: ClassifierConfig) -> Any:
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
    features: csr_matrix, targets: NDArray[np.bool_], config: ClassifierConfig
) -> NDArray[Any]:
    """The probabilities of each text by a model that was trained on the other parts."""
    from sklearn.model_selection import KFold

    probabilities = np.zeros(targets.shape)
    parts = KFold(config.folds, shuffle=True, random_state=config.seed)
    for train, test in parts.split(features):
        weights = _fit(features[train], targets[train], config)
        probabilities[test] = _sigmoid(_scores(features[test], weights))
    return probabilities


def _best(probabilities: NDArray[Any], targets: NDArray[np.bool_]) -> list[float]:
    """For each label the threshold with the best F1.

    A label that few texts have takes the one that is best for all labels together. Of several
    thresholds that are as good, the one in the middle is taken.
    """
    # (texts, labels, thresholds)
    predicted = probabilities[:, :, None] >= _THRESHOLDS
    right = (predicted & targets[:, :, None]).sum(0)
    given, gold = predicted.sum(0), targets.sum(0)
    together = _middle(2 * right.sum(0) / np.maximum(given.sum(0) + gold.sum(), 1))
    return [
        _middle(2 * right[label] / np.maximum(given[label] + gold[label], 1))
        if gold[label] >= _FEW
        else together
        for label in range(len(gold))
    ]


def _middle(f1: NDArray[Any]) -> float:
    """The threshold in the middle of the best ones."""
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return round(float(_THRESHOLDS[best[len(best) // 2]]), 2)
