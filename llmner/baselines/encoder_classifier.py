"""Fine-tuning of any encoder of the Hub as a classifier of whole texts, and of Gemma 3.

Labels are told apart by one model, several a text. Their attributes are told by a second one of the
same shape, which reads the text and the name of one label: a chain, of which the first model's
answer is the second one's question. Both learn in one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmner.baselines._encoder_classifier import FILES, Encoded, EncoderClassifier, slices
from llmner.baselines._encoders import load_encoder, model_path
from llmner.baselines._fine_tuning import FineTuningConfig, FineTuningTask, fine_tune
from llmner.baselines._text_labels import (
    LabelChoice,
    Values,
    attribute_classes,
    best_thresholds,
    judge_labels,
    label_targets,
    learnt_text_labels,
)
from llmner.baselines._types import Epoch, Report, Trained
from llmner.spans import Sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

__all__ = ["FILES", "EncoderClassifier", "EncoderClassifierConfig", "train_encoder_classifier"]

# A value that the training texts do not have; losses ignore it.
_NO_VALUE = -100


class EncoderClassifierConfig(FineTuningConfig):
    """The configuration of an encoder's fine-tuning as a classifier.

    The other fields are those of :class:`FineTuningConfig`. With held-out texts, these choose the
    threshold of each label; without, it is one half.

    Attributes:
        class_weight: ``"balanced"`` weights texts by how rare their labels and values are.

    >>> EncoderClassifierConfig(model="klue/bert-base").class_weight
    'none'
    """

    class_weight: Literal["none", "balanced"] = "none"


def train_encoder_classifier(
    sentences: Sequence[Sentence],
    config: EncoderClassifierConfig,
    folder: Path,
    *,
    held_out: Sequence[Sentence] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Trained:
    """Fine-tune an encoder; with held-out texts the epoch with the best F1 on them is kept.

    That F1 is of labels, and of their values if they have attributes. A training that was
    interrupted goes on from its last checkpoint.

    Args:
        sentences: The training texts, with their labels.
        config: The configuration.
        folder: Where checkpoints and logs for TensorBoard are written.
        held_out: Texts that choose the best epoch and the thresholds, and stop the training early.
        on_epoch: Called after each epoch.
        report: Called with a sentence about what is being done.

    Raises:
        InputError: No text has a label, or the precision is not for this machine.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    labels = learnt_text_labels(sentences)
    trained = fine_tune(
        partial(_task, config, labels, sentences),
        sentences,
        config,
        folder,
        held_out=held_out,
        on_epoch=on_epoch,
        report=report,
    )
    if held_out and isinstance(trained.baseline, EncoderClassifier):
        # Those of the epoch that was kept, not of the last one.
        texts = [sentence.text for sentence in held_out]
        _choose(trained.baseline, held_out, trained.baseline.probabilities(texts))
    return trained


def _task(
    config: EncoderClassifierConfig,
    labels: Sequence[str],
    sentences: Sequence[Sentence],
    say: Report,
) -> FineTuningTask:
    values = attribute_classes(sentences)
    path = model_path(config.model, say)
    load = partial(
        load_encoder,
        path,
        name=config.model,
        layer="texts",
        trust_remote_code=config.trust_remote_code,
        dropout=config.dropout,
        problem_type="multi_label_classification",
    )
    model, tokenizer = load(labels)
    second = None
    if values:
        names = [f"{name}={value}" for name, own in values.items() for value in own.values]
        second, _ = load(names)
    classifier = EncoderClassifier(
        model,
        tokenizer,
        LabelChoice.learnt(sentences, labels),
        values=values,
        attribute_model=second,
        max_length=config.max_length,
        stride=config.stride,
    )
    balanced = config.class_weight == "balanced"
    network = _network(
        classifier,
        _label_weights(label_targets(sentences, labels)) if balanced else None,
        _value_weights(sentences, values) if balanced else {},
    )
    return FineTuningTask(
        classifier,
        network,
        [own for own in (model, second) if own is not None],
        partial(_rows, classifier),
        partial(_collate, classifier),
        partial(_judge, classifier),
        _warnings,
    )


def _network(
    classifier: EncoderClassifier,
    label_weights: NDArray[Any] | None,
    value_weights: Mapping[str, NDArray[Any]],
) -> nn.Module:
    """Both models with their losses.

    Args:
        classifier: The classifier that they are of.
        label_weights: How much more a text that has a label counts than one without: (labels,).
        value_weights: How much each value of an attribute counts: (values,).
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.labels = classifier.model
            self.attributes = classifier.attribute_model
            self.spans = list(slices(classifier.values))
            self.label_weights = None if label_weights is None else torch.tensor(label_weights)
            self.value_weights = {name: torch.tensor(own) for name, own in value_weights.items()}

        def forward(
            self,
            texts: Mapping[str, Tensor],
            labels: Tensor,
            pairs: Mapping[str, Tensor] | None = None,
            values: Tensor | None = None,
        ) -> dict[str, Tensor]:
            """The mean loss of the batch, in nats.

            Args:
                texts: What a batch of texts is to a model.
                labels: 1 for the labels that a text has, 0 for others: (texts, labels).
                pairs: The same of texts that each have the name of a label behind them.
                values: The number of the value of each attribute, -100 for none: (pairs, names).
            """
            scores = self.labels(**texts).logits.float()
            weights = self.label_weights
            loss = functional.binary_cross_entropy_with_logits(
                scores, labels, pos_weight=None if weights is None else weights.to(scores)
            )
            if self.attributes is not None and pairs is not None and values is not None:
                scores = self.attributes(**pairs).logits.float()
                for number, (name, first, last) in enumerate(self.spans):
                    if (values[:, number] != _NO_VALUE).any():
                        weights = self.value_weights.get(name)
                        loss = loss + functional.cross_entropy(
                            scores[:, first:last],
                            values[:, number],
                            weight=None if weights is None else weights.to(scores),
                        )
            return {"loss": loss}

    return Network()


def _rows(
    classifier: EncoderClassifier, sentences: Sequence[Sentence]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The training rows of texts, and a note on how many are cut.

    Of a long text the first window counts: nobody says which of the others a label is about.
    """
    rows: list[dict[str, Any]] = []
    cut = 0
    for sentence in sentences:
        first, *others = classifier.encoded(sentence.text)
        cut += bool(others)
        pairs: list[Encoded] = []
        values: list[list[int]] = []
        for label in sentence.labels:
            own = [
                classes.index(label.attributes.get(name))
                for name, classes in classifier.values.items()
            ]
            if any(number is not None for number in own):
                pairs.append(classifier.encoded(sentence.text, label.label)[0])
                values.append([_NO_VALUE if number is None else number for number in own])
        (targets,) = label_targets([sentence], classifier.labels)
        rows.append(first | {"labels": targets, "pairs": pairs, "values": values})
    return rows, {"cut_texts": cut}


def _collate(classifier: EncoderClassifier, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch of rows, as the network takes it."""
    import torch

    names = [name for name in rows[0] if name not in ("labels", "pairs", "values")]
    batch: dict[str, Any] = {
        "texts": classifier.padded([{name: row[name] for name in names} for row in rows]),
        "labels": torch.tensor(np.stack([row["labels"] for row in rows]), dtype=torch.float32),
    }
    pairs = [pair for row in rows for pair in row["pairs"]]
    if pairs:
        batch["pairs"] = classifier.padded(pairs)
        batch["values"] = torch.tensor([own for row in rows for own in row["values"]])
    return batch


def _judge(
    classifier: EncoderClassifier, held_out: Sequence[Sentence]
) -> tuple[float, float, float]:
    """Figures with the thresholds that are best for the held-out texts."""
    texts = [sentence.text for sentence in held_out]
    probabilities, best = classifier.weighed(texts)
    _choose(classifier, held_out, probabilities)
    return judge_labels(held_out, classifier.given(texts, probabilities, best))


def _choose(
    classifier: EncoderClassifier, held_out: Sequence[Sentence], probabilities: NDArray[Any]
) -> None:
    """Choose thresholds on held-out texts."""
    targets = label_targets(held_out, classifier.labels)
    classifier.choice = replace(
        classifier.choice, thresholds=best_thresholds(probabilities, targets)
    )


def _warnings(notes: Mapping[str, Any], texts: int) -> Iterator[str]:
    if cut := notes["cut_texts"]:
        yield f"{cut} of {texts} texts are too long for the model: it learns from their beginning"


def _label_weights(targets: NDArray[np.bool_]) -> NDArray[Any]:
    """Texts without a label for each text with it: (labels,)."""
    having = targets.sum(0)
    return np.asarray((len(targets) - having) / np.maximum(having, 1), dtype=np.float32)


def _value_weights(sentences: Sequence[Sentence], values: Values) -> dict[str, NDArray[Any]]:
    """How much each value counts, so that all values count as much together."""
    weights = {}
    for name, classes in values.items():
        counts = np.zeros(len(classes.values), dtype=np.float32)
        for sentence in sentences:
            for label in sentence.labels:
                number = classes.index(label.attributes.get(name))
                if number is not None:
                    counts[number] += 1
        weights[name] = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return weights
