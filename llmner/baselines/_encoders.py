"""Encoders of ``transformers``: how they are loaded, and what taggers and classifiers share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from llmner._mishaps import Mishap, attempt
from llmner._numbers import is_whole
from llmner.engines._denormals import denormals_flushed
from llmner.engines._loading import check_available, load_pretrained
from llmner.engines._model_files import check_finite
from llmner.engines.embedded import EMBEDDED_MODEL, embedded_model
from llmner.errors import GenerationError, InputError, MissingExtraError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = [
    "MODEL_FILES",
    "ONNX_CONFIG",
    "ONNX_FILES",
    "EncoderModel",
    "class_names",
    "config_fields",
    "load_encoder",
    "load_folder",
    "model_path",
    "padded",
]

TOKENIZER_FILES = ("special_tokens_map.json", "tokenizer_config.json", "vocab.txt")
MODEL_FILES = ("model.safetensors", "config.json", "tokenizer.json", *TOKENIZER_FILES)
"""Names of the files that ``save_pretrained`` may write. Not all models have all of them."""
ONNX_CONFIG = "onnx.json"
ONNX_FILES = (
    ONNX_CONFIG,
    "model.onnx",
    "head.onnx",
    "attributes.onnx",
    "model.onnx.data",
    "attributes.onnx.data",
)
"""Names of the files of an exported encoder. Not all have all of them; the tokenizer's is another.

Networks of more than two gigabytes have their weights beside them.
"""
# Windows asked about together: on a CPU few, of nearly one length, since padding costs there what
# tokens cost.
_TOGETHER, _TOGETHER_ON_CPU = 32, 8
# Names of a configuration's dropout, of the encoder and of the classification layer.
_DROPOUTS = ("hidden_dropout_prob", "hidden_dropout", "resid_dropout", "dropout")
_HEAD_DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout")


class EncoderModel:
    """A model and its tokenizer, on one device.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        max_length: Longest window, in tokens; less if the model cannot take as many.
        stride: Tokens that two neighbouring windows of a text share.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        max_length: int,
        stride: int,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = self._longest(max_length)
        self.stride = min(stride, self.max_length // 4)

    @property
    def network(self) -> Any:
        """All that has weights."""
        return self.model

    def move(self, device: str) -> None:
        """Move the weights to a device.

        Args:
            device: ``"auto"`` (CUDA if available), ``"cpu"``, ``"cuda:0"``, ...

        Raises:
            InputError: There is no such device here.
        """
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.network.to(device)
        except (RuntimeError, AssertionError) as error:
            why = str(error).strip().splitlines()[0]
            raise InputError(
                f"device {device!r} cannot be used ({why})", hint="expected cpu, cuda, cuda:1"
            ) from None

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer into a folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def parameters(self) -> int:
        """The number of all weights, including frozen ones."""
        return sum(weights.numel() for weights in self.network.parameters())

    @property
    def together(self) -> int:
        """How many windows are asked about together."""
        return _TOGETHER_ON_CPU if self.model.device.type == "cpu" else _TOGETHER

    def scores(self, model: Any, inputs: Mapping[str, Any]) -> NDArray[np.float32]:
        """What a model gives for a batch of windows, before it is made probabilities.

        Args:
            model: :attr:`model`, or another one of this tagger.
            inputs: Its inputs, integers of (windows, longest) each.
        """
        import torch

        model.eval()
        tensors = {name: torch.as_tensor(own, device=model.device) for name, own in inputs.items()}
        with torch.inference_mode(), denormals_flushed():
            scores: NDArray[np.float32] = model(**tensors).logits.float().cpu().numpy()
        return scores

    def _longest(self, max_length: int) -> int:
        """The longest window in tokens: less than ``max_length`` if the model cannot take it."""
        limits = [max_length, self.tokenizer.model_max_length]
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if is_whole(positions) and positions > 0:
            limits.append(positions - _unused_positions(self.model))
        return int(min(limits))

    def batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """The numbers of windows to ask about together: of similar lengths, the longest first.

        Args:
            lengths: The tokens of each window.
        """
        order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        for start in range(0, len(order), self.together):
            yield order[start : start + self.together]


def padded(rows: Sequence[Sequence[int]], value: int) -> NDArray[np.int64]:
    """Rows of numbers as (rows, longest), short ones filled up with a value at their end.

    >>> padded([[1, 2], [3]], 0).tolist()
    [[1, 2], [3, 0]]
    """
    filled = np.full((len(rows), max(map(len, rows))), value, np.int64)
    for number, row in enumerate(rows):
        filled[number, : len(row)] = row
    return filled


def load_encoder(
    path: str,
    classes: Sequence[str] | None = None,
    *,
    trust_remote_code: bool = False,
    name: str | None = None,
    layer: Literal["tokens", "texts", "none"] = "tokens",
    dropout: float | None = None,
    **options: Any,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model in float32, and its tokenizer.

    Args:
        path: Its name on the Hub, or its folder.
        classes: Names of the classes for which a new classification layer is made.
        trust_remote_code: Run Python code that comes with the model.
        name: What errors call it, if not ``path``.
        layer: What its classification layer is of; ``"none"`` for a model without one. A language
            model without one reads in both directions, if it can.
        dropout: Share of its hidden states that is dropped in training, if not its own.
        **options: Fields of its configuration.

    Raises:
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    try:
        import torch
        from transformers import (
            AutoModel,
            AutoModelForSequenceClassification,
            AutoModelForTokenClassification,
        )
        from transformers.utils import logging as transformers_logging
    except ImportError:
        raise MissingExtraError("baselines", "an encoder") from None
    transformers_logging.disable_progress_bar()
    # Its warnings concern models that are spread over several devices.
    logging.getLogger("transformers.distributed.tensor_parallel").setLevel(logging.ERROR)
    is_new = classes is not None or layer == "none"
    if is_new:
        # Its warning that a layer is new, or not used, is not needed here.
        logging.getLogger("transformers.modeling_utils").setLevel(logging.ERROR)
    if classes is not None:
        options |= {
            "num_labels": len(classes),
            "id2label": dict(enumerate(classes)),
            "label2id": {name: number for number, name in enumerate(classes)},
            "ignore_mismatched_sizes": True,
        }
    fields = config_fields(path, trust_remote_code=trust_remote_code)
    if layer == "none" and "use_bidirectional_attention" in fields:
        options["use_bidirectional_attention"] = True
    if dropout is not None:
        options |= {key: dropout for key in _DROPOUTS if isinstance(fields.get(key), (int, float))}
        options |= {key: dropout for key in _HEAD_DROPOUTS if key in fields}
    kinds = {
        "tokens": AutoModelForTokenClassification,
        "texts": AutoModelForSequenceClassification,
        "none": AutoModel,
    }
    model, tokenizer = load_pretrained(
        kinds[layer],
        name or path,
        path,
        dtype=torch.float32,
        trust_remote_code=trust_remote_code,
        # The classification layer has no weights to load before training.
        new_layers=is_new,
        **options,
    )
    return model, tokenizer


def load_folder(
    folder: Path,
    weights: str,
    *,
    layer: Literal["tokens", "texts", "none"],
    hint: str,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The model and the tokenizer of a folder, whose weights are all numbers.

    Args:
        folder: The folder.
        weights: Which of its files are checked: a pattern of their names.
        layer: What its classification layer is of.
        hint: What to do about a broken folder.
        trust_remote_code: Run Python code that comes with the model.

    Raises:
        InputError: A file is missing or broken.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    try:
        loaded = load_encoder(str(folder), layer=layer, trust_remote_code=trust_remote_code)
    except GenerationError as error:
        raise InputError(str(error), path=folder, hint=hint) from None
    for path in sorted(folder.glob(weights)):
        check_finite(path)
    return loaded


def model_path(name: str, report: Callable[[str], None] | None = None) -> str:
    """Where a model is loaded from: its name on the Hub, or its folder.

    Args:
        name: A name on the Hub, a folder, or ``gemma-3-270m``.
        report: Called with a sentence before anything that takes long.

    Raises:
        GenerationError: It is neither, or the Hub does not answer.
    """
    if name == EMBEDDED_MODEL:
        return str(embedded_model(report))
    check_available(name)
    return name


def config_fields(path: str, *, trust_remote_code: bool = False) -> dict[str, Any]:
    """What a model's configuration says; nothing if it cannot be read, which loading tells."""
    from transformers import AutoConfig

    config = attempt(AutoConfig.from_pretrained, path, trust_remote_code=trust_remote_code)
    return {} if isinstance(config, Mishap) else config.to_dict()


def class_names(model: PreTrainedModel) -> list[str]:
    """The names of a model's classes, in their order."""
    return [str(model.config.id2label[number]) for number in range(model.config.num_labels)]


def _unused_positions(model: PreTrainedModel) -> int:
    """How many position embeddings no token has: models like RoBERTa count from the padding's."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings"):
            padding = getattr(module, "padding_idx", None)
            return 0 if padding is None else int(padding) + 1
    return 0
