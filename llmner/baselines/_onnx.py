"""Encoders that were exported to ONNX: taggers and classifiers that need no torch.

onnxruntime computes, and tokenizers cuts texts into tokens. All else is the code of the encoders
themselves, so that windows, spans and scores are made in one place.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt

from llmner._mishaps import Mishap, attempt
from llmner.baselines._characters import HEAD_FILES, CharacterRow, CharacterRows, read_head
from llmner.baselines._encoder_classifier import Encoded, EncoderClassifier
from llmner.baselines._encoder_tagger import CHARACTERS, HEAD, EncoderTagger
from llmner.baselines._encoders import ONNX_CONFIG, ONNX_FILES, EncoderModel, padded
from llmner.baselines._paths import Edges, best_path, path_marginals
from llmner.baselines._text_labels import AttributeClasses, LabelChoice
from llmner.engines._model_files import read_object, read_tensors
from llmner.errors import InputError, MissingExtraError
from llmner.files import kind_of
from llmner.tagging import Scheme

__all__ = [
    "ATTRIBUTES",
    "HEAD_MODEL",
    "MODEL",
    "OnnxConfig",
    "OnnxNetwork",
    "load_onnx",
]

MODEL, HEAD_MODEL, ATTRIBUTES = ONNX_FILES[1:4]
_TOKENIZER = "tokenizer.json"
_EXPECTED = "what llmner export wrote"
_AGAIN = "export it again"


class OnnxConfig(BaseModel):
    """What an exported model's files do not say of themselves: ``onnx.json``.

    Attributes:
        weights: The type of its weights.
        inputs: Names of its inputs, in the tokenizer's order.
        pad_token_id: Number of the token that short windows are filled up with.
        max_length: Longest window, in tokens.
        stride: Tokens that two neighbouring windows share.
        parameters: The number of its weights.
        tags: A tagger's tags, in the order of its scores; none for a classifier.
        scheme: Their scheme.
        foreign: Whether it was trained elsewhere.
        labels: A classifier's labels, in the order of its scores.
        several: Whether the probability of each label is its own.
        choice: Which labels a text is given.
        attributes: The values of each attribute.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    weights: Literal["float32", "int8"]
    inputs: list[str]
    pad_token_id: int
    max_length: PositiveInt
    stride: int
    parameters: PositiveInt
    tags: list[str] = []
    scheme: Scheme = "iob2"
    foreign: bool = False
    labels: list[str] = []
    several: bool = False
    choice: dict[str, Any] = {}
    attributes: dict[str, Any] = {}


class OnnxNetwork:
    """A network that onnxruntime computes, on the CPU.

    Args:
        path: An ``.onnx`` file.

    Raises:
        InputError: It is missing or broken.
        MissingExtraError: The ``onnx`` extra is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError("onnx", "an exported model") from None
        options = onnxruntime.SessionOptions()
        # Warnings about the machine's other devices would be among a command's own lines.
        options.log_severity_level = 4
        # ``session.set_denormal_as_zero`` stays unset: it changes all later arithmetic of the
        # thread, also Python's, and onnxruntime has no way back. It is no slower without.
        providers = ["CPUExecutionProvider"]
        session = attempt(
            onnxruntime.InferenceSession, str(path), sess_options=options, providers=providers
        )
        if isinstance(session, Mishap):
            raise InputError(f"cannot be loaded ({session})", path=path, hint=_AGAIN)
        self._session = session

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Its first output."""
        output: NDArray[np.float32] = self._session.run(None, dict(inputs))[0]
        return output


class OnnxTokenizer:
    """A tokenizer that needs no transformers, and is called as theirs.

    Args:
        path: A ``tokenizer.json``.
        config: What else is known of it.

    Raises:
        InputError: The file is missing or broken.
        MissingExtraError: The ``onnx`` extra is not installed.
    """

    is_fast = True

    def __init__(self, path: Path, config: OnnxConfig) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingExtraError("onnx", "an exported model") from None
        tokenizer = attempt(Tokenizer.from_file, str(path))
        if isinstance(tokenizer, Mishap):
            raise InputError(f"cannot be loaded ({tokenizer})", path=path, hint=_AGAIN)
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(
            config.max_length, stride=config.stride, strategy="only_first"
        )
        self.pad_token_id = config.pad_token_id
        self.model_max_length = config.max_length
        self.model_input_names = config.inputs

    def __call__(
        self, text: str | Sequence[str], pair: Sequence[str] | None = None, **_: Any
    ) -> dict[str, Any]:
        """The windows of one text, a list for each field of them.

        Args:
            text: The text, or a list with it alone.
            pair: A list with what stands behind each window.
            **_: How long windows are, which the configuration says.
        """
        (only,) = [text] if isinstance(text, str) else text
        encoding = self._tokenizer.encode(only, pair[0] if pair else None)
        windows = [encoding, *encoding.overflowing]
        return {
            "input_ids": [window.ids for window in windows],
            "attention_mask": [window.attention_mask for window in windows],
            "token_type_ids": [window.type_ids for window in windows],
            "offset_mapping": [window.offsets for window in windows],
            "special_tokens_mask": [window.special_tokens_mask for window in windows],
        }

    def get_vocab(self) -> dict[str, int]:
        """The number of each token."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        return vocabulary


class _OnnxModel(EncoderModel):
    """What exported taggers and classifiers share.

    Attributes:
        config: What is known of the model.
        folder: Its folder.
    """

    config: OnnxConfig
    folder: Path
    together = 8

    def move(self, device: str) -> None:
        """Say that there is no choice of devices."""
        if device not in ("auto", "cpu"):
            raise InputError(
                f"device {device!r} cannot be used: an exported model runs on the CPU",
                hint="use cpu",
            )

    def scores(self, model: Any, inputs: Mapping[str, Any]) -> NDArray[np.float32]:
        """What a network gives for a batch of windows."""
        scores: NDArray[np.float32] = model(inputs)
        return scores

    def parameters(self) -> int:
        """The number of weights."""
        return self.config.parameters

    def save(self, folder: Path) -> None:
        """Copy the model's files into a folder."""
        for name in (*ONNX_FILES, CHARACTERS, HEAD, _TOKENIZER):
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, folder / name)

    def _longest(self, max_length: int) -> int:
        return max_length


class OnnxTagger(_OnnxModel, EncoderTagger):
    """An exported tagger of tokens, from the folder of its files."""

    def __init__(self, folder: Path, config: OnnxConfig) -> None:
        self.config, self.folder = config, folder
        network: Any = OnnxNetwork(folder / MODEL)
        tokenizer: Any = OnnxTokenizer(folder / _TOKENIZER, config)
        super().__init__(
            network,
            tokenizer,
            tags=config.tags,
            scheme=config.scheme,
            foreign=config.foreign,
            max_length=config.max_length,
            stride=config.stride,
        )


class OnnxClassifier(_OnnxModel, EncoderClassifier):
    """An exported classifier of whole texts, from the folder of its files."""

    def __init__(self, folder: Path, config: OnnxConfig) -> None:
        self.config, self.folder = config, folder
        choice = attempt(LabelChoice.read, config.choice, config.labels)
        values = attempt(
            lambda: {name: AttributeClasses.read(own) for name, own in config.attributes.items()}
        )
        if isinstance(choice, Mishap) or isinstance(values, Mishap):
            raise InputError(f"is not {_EXPECTED}", path=folder / ONNX_CONFIG, hint=_AGAIN)
        network: Any = OnnxNetwork(folder / MODEL)
        tokenizer: Any = OnnxTokenizer(folder / _TOKENIZER, config)
        second: Any = OnnxNetwork(folder / ATTRIBUTES) if values else None
        super().__init__(
            network,
            tokenizer,
            choice,
            values=values,
            attribute_model=second,
            max_length=config.max_length,
            stride=config.stride,
        )

    def padded(self, windows: Sequence[Encoded]) -> dict[str, Any]:
        """Windows as a batch: (windows, longest) each."""
        fill = {"input_ids": self.config.pad_token_id}
        return {
            name: padded([window[name] for window in windows], fill.get(name, 0))
            for name in self.config.inputs
        }

    def _classes(self) -> tuple[tuple[str, ...], bool]:
        return tuple(self.config.labels), self.config.several


class OnnxCharacterTagger(_OnnxModel, CharacterRows):
    """An exported tagger of characters, from the folder of its files.

    It is an encoder, a BiLSTM and a chain of tags. Rows are asked about one at a time: an exported
    LSTM does not know which ones end early.
    """

    def __init__(self, folder: Path, config: OnnxConfig) -> None:
        self.config, self.folder = config, folder
        tags, vocabulary, _ = read_head(folder)
        network: Any = OnnxNetwork(folder / MODEL)
        tokenizer: Any = OnnxTokenizer(folder / _TOKENIZER, config)
        super().__init__(
            network,
            tokenizer,
            tags=tags,
            vocabulary=vocabulary,
            max_length=config.max_length,
            stride=config.stride,
        )
        self.head = OnnxNetwork(folder / HEAD_MODEL)
        self.edges = _read_edges(folder / HEAD, len(tags))

    def _predict(self, rows: Sequence[CharacterRow]) -> Iterator[tuple[list[str], list[float]]]:
        for row in rows:
            ids = np.array([row.ids], np.int64)
            states = self.scores(
                self.model, {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            )
            views = {name: np.array([own], np.int64) for name, own in row.numbers.items()}
            tokens = np.array([row.tokens], np.int64)
            (scores,) = self.head({"states": states, "tokens": tokens, **views})
            path = best_path(scores, self.edges)
            marginals = path_marginals(scores, self.edges)
            probabilities = marginals[np.arange(len(path)), path].tolist()
            yield [self.tags[tag] for tag in path], probabilities


def load_onnx(
    folder: Path, about: Literal["spans", "texts"], *, device: str
) -> OnnxTagger | OnnxCharacterTagger | OnnxClassifier:
    """Load an exported tagger or classifier.

    Args:
        folder: What ``llmner export`` wrote.
        about: Whether it tags spans or classifies texts.
        device: ``auto`` or ``cpu``.

    Raises:
        InputError: A file is missing or broken.
        MissingExtraError: The ``onnx`` extra is not installed.
    """
    fields = read_object(folder / ONNX_CONFIG, _EXPECTED)
    config = attempt(OnnxConfig.model_validate, fields)
    if isinstance(config, Mishap):
        raise InputError(f"is not {_EXPECTED}", path=folder / ONNX_CONFIG, hint=_AGAIN)
    model: OnnxTagger | OnnxCharacterTagger | OnnxClassifier
    if about == "texts":
        model = OnnxClassifier(folder, config)
    elif kind_of(folder / HEAD_MODEL) != "missing":
        model = OnnxCharacterTagger(folder, config)
    else:
        model = OnnxTagger(folder, config)
    model.move(device)
    # Files of several exports may have been mixed.
    result = attempt(model.tag, ["."])
    if isinstance(result, Mishap):
        raise InputError(
            f"cannot be loaded: its files are not of one model ({result})", path=folder, hint=_AGAIN
        )
    return model


def _read_edges(path: Path, tags: int) -> Edges:
    """The edges of a chain.

    Raises:
        InputError: The file is missing or broken.
    """
    shapes = {"between": (tags, tags), "first": (tags,), "last": (tags,)}
    found = {name: tensor.shape for name, tensor in read_tensors(path, HEAD_FILES).items()}
    if found != shapes:
        raise InputError(f"does not fit the {CHARACTERS} beside it", path=path, hint=_AGAIN)
    from safetensors.numpy import load_file

    return Edges(**load_file(path))
