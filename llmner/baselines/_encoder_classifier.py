"""A fine-tuned encoder as a classifier: texts in, labels with their attributes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from llmner._mishaps import Mishap, attempt
from llmner._unicode import writable
from llmner.baselines._encoders import (
    MODEL_FILES,
    ONNX_CONFIG,
    ONNX_FILES,
    EncoderModel,
    class_names,
    load_folder,
)
from llmner.baselines._text_labels import (
    AttributeClasses,
    LabelChoice,
    Values,
    sigmoid,
    softmax,
    text_labels,
)
from llmner.baselines._types import baseline_config
from llmner.errors import InputError
from llmner.files import dump_json, kind_of, read_json, whole_file
from llmner.spans import TextLabel

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["FILES", "EncoderClassifier"]

ATTRIBUTES = "attributes.safetensors"
CLASSES = "classifier.json"
FILES = (*MODEL_FILES, ATTRIBUTES, CLASSES, *ONNX_FILES)
"""Names of the files of a classifier, exported or not."""

Encoded = dict[str, list[int]]
"""A window as its model takes it: ``input_ids``, ``attention_mask``, and what else it takes."""


class EncoderClassifier(EncoderModel):
    """A fine-tuned encoder with a classification layer for whole texts.

    A text that does not fit into the model is asked about in windows that overlap: a label's
    probability is the highest of them, and its attributes are those of that window.

    Args:
        model: A model for sequence classification, whose ``id2label`` are the labels.
        tokenizer: Its tokenizer.
        choice: Which labels a text is given.
        values: The classes of each attribute.
        attribute_model: A second model, which reads a text and the name of a label. Its classes are
            the values of all attributes, one after another.
        max_length: Longest window, in tokens.
        stride: Tokens that two neighbouring windows share.
    """

    kind: ClassVar[str] = "encoder-classifier"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        choice: LabelChoice,
        *,
        values: Values | None = None,
        attribute_model: PreTrainedModel | None = None,
        max_length: int = 510,
        stride: int = 64,
    ) -> None:
        super().__init__(model, tokenizer, max_length=max_length, stride=stride)
        self.choice = choice
        self.values: Values = values or {}
        self.attribute_model = attribute_model
        self.labels, self.several = self._classes()

    @classmethod
    def load(
        cls,
        folder: Path,
        record: Mapping[str, Any],
        *,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> EncoderClassifier:
        """Load the classifier from a folder that :meth:`save` or ``save_pretrained`` wrote to.

        Args:
            folder: The folder.
            record: The contents of its ``baseline.json``, or what stands for them in a folder
                without it.
            device: ``"auto"`` (CUDA if available), ``"cpu"``, ``"cuda:0"``, ...
            trust_remote_code: Run Python code that comes with the model.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        if kind_of(folder / ONNX_CONFIG) != "missing":
            from llmner.baselines._onnx import load_onnx

            return cast(EncoderClassifier, load_onnx(folder, "texts", device=device))
        config = baseline_config(record, folder, max_length=(8, 1 << 20), stride=(0, 1 << 20))
        lengths: dict[str, Any] = {key: int(value) for key, value in config.items()}
        foreign = record.get("foreign") is True
        hint = "save it again with save_pretrained" if foreign else "train it again"
        model, tokenizer = load_folder(
            folder,
            "*.safetensors",
            layer="texts",
            hint=hint,
            trust_remote_code=trust_remote_code,
        )
        classifier: EncoderClassifier | Mishap
        if foreign:
            classifier = cls(model, tokenizer, _foreign_choice(model), **lengths)
        else:
            fields = read_json(folder / CLASSES, hint=hint)
            classifier = attempt(
                _read, folder, fields, model, tokenizer, trust_remote_code, lengths
            )
        if isinstance(classifier, Mishap):
            raise InputError(
                f"does not fit its weights ({classifier})", path=folder / CLASSES, hint=hint
            )
        classifier.move(device)
        # The tokenizer may have tokens that the model lacks.
        result = attempt(classifier.tag, ["."])
        if isinstance(result, Mishap):
            raise InputError(
                f"cannot be loaded: its files are not of one classifier ({result})",
                path=folder,
                hint=hint,
            )
        return classifier

    def _classes(self) -> tuple[tuple[str, ...], bool]:
        """The labels, and whether the probability of each is its own, apart from the others'."""
        for own in filter(None, (self.model, self.attribute_model)):
            _pad(own, self.tokenizer)
        # It says that padding after all is slower, which is known.
        self.tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
        config = self.model.config
        return tuple(class_names(self.model)), config.problem_type == "multi_label_classification"

    @property
    def network(self) -> Any:
        """All that has weights."""
        from torch import nn

        return nn.ModuleList(filter(None, (self.model, self.attribute_model)))

    def tag(self, texts: Sequence[str]) -> list[tuple[TextLabel, ...]]:
        """The labels of each text, each with its probability and its attributes."""
        if not texts:
            return []
        return self.given(texts, *self.weighed(texts))

    def probabilities(self, texts: Sequence[str]) -> NDArray[Any]:
        """The probability of each label: (texts, labels), in the order of :attr:`labels`."""
        if not texts:
            return np.zeros((0, len(self.labels)))
        return self.weighed(texts)[0]

    def weighed(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The probability of each label, and the number of the window that says it best.

        Both are (texts, labels).
        """
        return _highest(*self._of_windows(texts), len(texts))

    def given(
        self, texts: Sequence[str], probabilities: NDArray[Any], best: NDArray[Any]
    ) -> list[tuple[TextLabel, ...]]:
        """The labels that texts are given, from what :meth:`weighed` says of them."""
        given = list(self.choice.of(probabilities))
        attributes = self._attributes(texts, given, best)
        return text_labels(len(texts), self.labels, given, probabilities, attributes)

    def encoded(self, text: str, label: str | None = None) -> list[Encoded]:
        """The windows of a text, each with the name of a label behind it if one is given."""
        pair = () if label is None else (writable(label),)
        # A slow tokenizer cannot cut a text into windows.
        overlaps = {"stride": self.stride, "return_overflowing_tokens": True}
        encoded = self.tokenizer(
            [writable(text)],
            *([own] for own in pair),
            truncation="only_first" if pair else True,
            max_length=self.max_length,
            **(overlaps if self.tokenizer.is_fast else {}),
        )
        names = [name for name in self.tokenizer.model_input_names if name in encoded]
        windows = [
            {name: list(encoded[name][number]) for name in names}
            for number in range(len(encoded["input_ids"]))
        ]
        # A model reads at least one token, and some tokenizers add none to an empty text.
        blank = {"input_ids": [self.tokenizer.pad_token_id or 0], "attention_mask": [1]}
        return [
            window if window["input_ids"] else {name: blank.get(name, [0]) for name in names}
            for window in windows
        ]

    def padded(self, windows: Sequence[Encoded]) -> dict[str, Tensor]:
        """Windows as a batch: (windows, longest) each."""
        # A language model reads no further than the last token.
        batch = self.tokenizer.pad(list(windows), padding_side="right", return_tensors="pt")
        return dict(batch)

    def _of_windows(self, texts: Sequence[str]) -> tuple[NDArray[Any], list[tuple[int, int]]]:
        """The probabilities of each window, and the numbers of its text and in it."""
        windows: list[Encoded] = []
        owners: list[tuple[int, int]] = []
        for number, text in enumerate(texts):
            own = self.encoded(text)
            windows += own
            owners += [(number, place) for place in range(len(own))]
        scores = self._scores(self.model, windows)
        if self.several:
            return sigmoid(scores), owners
        return softmax(scores), owners

    def _attributes(
        self, texts: Sequence[str], given: Sequence[tuple[int, int]], best: NDArray[Any]
    ) -> list[dict[str, Any]]:
        """The attributes of each label that a text has.

        Args:
            texts: The texts.
            given: For each label that a text is given, the numbers of the two.
            best: For each text and label, the number of the window that says it best.
        """
        attributes: list[dict[str, Any]] = [{} for _ in given]
        having = {label for classes in self.values.values() for label in classes.labels}
        places = [n for n, (_, index) in enumerate(given) if self.labels[index] in having]
        if self.attribute_model is None or not places:
            return attributes
        windows = []
        for place in places:
            number, index = given[place]
            own = self.encoded(texts[number], self.labels[index])
            # The label takes room, so that there may be more windows.
            windows.append(own[min(int(best[number, index]), len(own) - 1)])
        scores = self._scores(self.attribute_model, windows)
        for name, first, last in slices(self.values):
            classes = self.values[name]
            for place, row in zip(places, scores[:, first:last].argmax(1), strict=True):
                if self.labels[given[place][1]] in classes.labels:
                    attributes[place][name] = classes.values[int(row)]
        return attributes

    def _scores(self, model: Any, windows: Sequence[Encoded]) -> NDArray[Any]:
        """The scores of each class, before they are made probabilities: (windows, classes)."""
        scores: NDArray[Any] | None = None
        for batch in self.batches([len(window["input_ids"]) for window in windows]):
            rows = self.scores(model, self.padded([windows[index] for index in batch]))
            if scores is None:
                scores = np.zeros((len(windows), rows.shape[1]))
            scores[batch] = rows
        assert scores is not None, "no window to ask about"
        return scores

    def save(self, folder: Path) -> None:
        """Write the models, their tokenizer and what their classes are into a folder."""
        super().save(folder)
        if self.attribute_model is not None:
            from safetensors.torch import save_model

            save_model(self.attribute_model, str(folder / ATTRIBUTES))
        fields = self.choice.to_dict() | {
            "attributes": {name: classes.to_dict() for name, classes in self.values.items()}
        }
        with whole_file(folder / CLASSES) as stream:
            stream.write(dump_json(fields, indent=2) + b"\n")


def slices(values: Values) -> Iterator[tuple[str, int, int]]:
    """Which classes of the second model are of each attribute: its name, the first, and the end."""
    first = 0
    for name, classes in values.items():
        yield name, first, first + len(classes.values)
        first += len(classes.values)


def _new_attribute_model(model: PreTrainedModel, values: Values, trust_remote_code: bool) -> Any:
    """A model of the same shape with random weights, whose classes are the values of attributes."""
    from copy import deepcopy

    import torch
    from transformers import AutoModelForSequenceClassification

    config = deepcopy(model.config)
    config.num_labels = sum(len(classes.values) for classes in values.values())
    return AutoModelForSequenceClassification.from_config(
        config, dtype=torch.float32, trust_remote_code=trust_remote_code
    )


def _read(
    folder: Path,
    fields: Any,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    trust_remote_code: bool,
    lengths: Mapping[str, int],
) -> EncoderClassifier:
    """A classifier whose parts fit each other.

    Raises:
        ValueError, TypeError, KeyError, RuntimeError: They do not.
    """
    choice = LabelChoice.read(fields, class_names(model))
    values = {name: AttributeClasses.read(own) for name, own in fields["attributes"].items()}
    second = None
    if values:
        from safetensors.torch import load_model

        second = _new_attribute_model(model, values, trust_remote_code)
        load_model(second, folder / ATTRIBUTES)
    return EncoderClassifier(
        model, tokenizer, choice, values=values, attribute_model=second, **lengths
    )


def _foreign_choice(model: PreTrainedModel) -> LabelChoice:
    """What is given by a model that was trained elsewhere: what is likelier than not, or the best.

    Its configuration says whether a text may have several labels.
    """
    several = model.config.problem_type == "multi_label_classification"
    thresholds = (0.5 if several else 0.0,) * model.config.num_labels
    return LabelChoice(thresholds, at_least_one=not several, at_most_one=not several)


def _pad(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Name the token that fills up short texts, which some language models have none of."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    text_config = model.config.get_text_config()
    if text_config.pad_token_id is None:
        text_config.pad_token_id = tokenizer.pad_token_id


def _highest(
    by_window: NDArray[Any], owners: Sequence[tuple[int, int]], texts: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The highest probability of each label in a text's windows, and the number of the window.

    Both are (texts, labels).
    """
    highest = np.full((texts, by_window.shape[1]), -1.0)
    best = np.zeros(highest.shape, dtype=int)
    for row, (number, place) in zip(by_window, owners, strict=True):
        higher = row > highest[number]
        highest[number][higher] = row[higher]
        best[number][higher] = place
    return highest, best
