"""A trained BiLSTM-CRF as a tagger, and its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from llmner._mishaps import Mishap, attempt
from llmner.baselines._marginals import TagMarginals
from llmner.baselines._syllables import apart, pieces, places_of, spans_of
from llmner.baselines._types import Fields
from llmner.engines._denormals import denormals_flushed
from llmner.engines._model_files import check_finite, read_object, read_tensors
from llmner.errors import InputError, MissingExtraError
from llmner.files import dump_json, whole_file
from llmner.spans import Span
from llmner.tagging import is_tag, labels_of

if TYPE_CHECKING:
    from torch import Tensor

    from llmner.baselines._network import BilstmCrf

__all__ = [
    "VOCABULARY",
    "WEIGHTS",
    "BilstmCrfConfig",
    "BilstmCrfTagger",
    "Row",
    "check_torch",
    "make_network",
    "padded",
]

WEIGHTS = "model.safetensors"
VOCABULARY = "vocabulary.json"
# Pieces of texts tagged together.
_TOGETHER = 64


class BilstmCrfConfig(Fields):
    """The configuration of a BiLSTM-CRF and its training.

    Attributes:
        hidden: Units of each direction of each layer.
        layers: LSTM layers.
        dropout: Share of vector elements dropped in training.
        forget: Share of characters, bigrams and affixes treated as unknown in training.
        min_frequency: The number of times each of these must occur to have its own vector.
        epochs: The maximum number of epochs.
        patience: Training stops after this many epochs without a better held-out F1.
        batch_size: Sentences per step.
        learning_rate: The highest learning rate. It is reached after a tenth of the steps, and then
            falls to 0.
        seed: Seed of initial weights, batches and dropout.

    >>> BilstmCrfConfig(epochs=3).learning_rate
    0.003
    """

    hidden: int = Field(default=200, ge=1, le=1 << 14)
    layers: int = Field(default=1, ge=1, le=64)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    forget: float = Field(default=0.2, ge=0, lt=1)
    min_frequency: int = Field(default=2, ge=1)
    epochs: int = Field(default=8, ge=1)
    patience: int = Field(default=5, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    seed: int = Field(default=42, ge=0)


@dataclass(frozen=True, slots=True)
class Row:
    """A text (or a piece of one) as numbers.

    Attributes:
        places: Offsets of its characters that are not white space.
        numbers: For each view, the numbers of its values: (places,).
        tags: Numbers of its tags, for training: (places,).
    """

    places: list[int]
    numbers: dict[str, Tensor]
    tags: Tensor | None = None

    def __len__(self) -> int:
        return len(self.places)


class BilstmCrfTagger:
    """A trained BiLSTM-CRF.

    Args:
        network: The network.
        tags: Its BIOES tags, in the order of its scores.
        vocabulary: For each view, the number of each value.
        config: Its configuration.
    """

    kind: ClassVar[str] = "bilstm-crf"

    def __init__(
        self,
        network: BilstmCrf,
        tags: Sequence[str],
        vocabulary: dict[str, dict[str, int]],
        config: BilstmCrfConfig,
    ) -> None:
        self.network = network
        self.tags = tuple(tags)
        self.vocabulary = vocabulary
        self.config = config
        self.labels = labels_of(tags)

    @classmethod
    def load(
        cls,
        folder: Path,
        record: Mapping[str, Any],
        *,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> BilstmCrfTagger:
        """Load the tagger from a folder that :meth:`save` wrote to; ``device`` is ignored.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        check_torch()
        import torch
        from safetensors.torch import load_file

        path, weights = folder / VOCABULARY, folder / WEIGHTS
        fields = read_object(path, "the vocabulary of a BiLSTM-CRF")
        tags, vocabulary = fields.get("tags"), fields.get("vocabulary")
        config = attempt(BilstmCrfConfig.model_validate, fields.get("config"))
        for name, valid in (
            ("vocabulary", _is_vocabulary(vocabulary)),
            ("tags", _are_tags(tags)),
            ("config", not isinstance(config, Mishap)),
        ):
            if not valid:
                raise InputError(
                    f"is not of a BiLSTM-CRF ({name!r} is invalid)",
                    path=path,
                    hint="train it again",
                )
        assert not isinstance(config, Mishap)
        assert tags is not None
        assert vocabulary is not None
        # First without memory, so that sizes for which no machine has room are an error.
        with torch.device("meta"):
            shapes = make_network(vocabulary, tags, config).state_dict()
        expected = {name: tuple(tensor.shape) for name, tensor in shapes.items()}
        tensors = read_tensors(weights, "the weights of a BiLSTM-CRF")
        if {name: tensor.shape for name, tensor in tensors.items()} != expected:
            raise InputError(
                f"does not fit the {VOCABULARY} beside it", path=weights, hint="train it again"
            )
        check_finite(weights)
        network = make_network(vocabulary, tags, config)
        network.load_state_dict(load_file(weights))
        return cls(network, tags, vocabulary, config)

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and vocabulary (JSON) into a folder."""
        from safetensors.torch import save_file

        save_file(
            {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()},
            folder / WEIGHTS,
        )
        fields = {
            "tags": self.tags,
            "config": self.config.model_dump(),
            "vocabulary": self.vocabulary,
        }
        with whole_file(folder / VOCABULARY) as stream:
            stream.write(dump_json(fields) + b"\n")

    def parameters(self) -> int:
        """The number of weights of embeddings, LSTM, output layer and chain."""
        return sum(weights.numel() for weights in self.network.parameters())

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The spans of each text.

        Texts of more than a thousand characters are tagged in overlapping pieces.
        """
        spans_by_text: list[list[Span]] = [[] for _ in texts]
        cuts = []
        for number, text in enumerate(texts):
            places = places_of(text)
            row = self.row(text, places)
            for low, high, first, last in pieces(len(places)):
                cut = {view: numbers[low:high] for view, numbers in row.items()}
                cuts.append((number, (places[first], places[last - 1]), Row(places[low:high], cut)))
        cuts.sort(key=lambda piece: len(piece[2]))
        for start in range(0, len(cuts), _TOGETHER):
            batch = cuts[start : start + _TOGETHER]
            answers = self._tagged([row for *_, row in batch])
            for (number, (first, last), _), spans in zip(batch, answers, strict=True):
                # A span counts if it begins in the piece's own part.
                spans_by_text[number] += [span for span in spans if first <= span.start <= last]
        return [apart(spans) for spans in spans_by_text]

    def marginals(self, texts: Sequence[str]) -> list[TagMarginals]:
        """The probability of every tag at every character of each text."""
        import numpy as np
        import torch

        found = []
        self.network.eval()
        with torch.inference_mode(), denormals_flushed():
            for text in texts:
                places = places_of(text)
                row = self.row(text, places)
                parts = [np.zeros((0, len(self.tags)), np.float32)]
                for low, high, first, last in pieces(len(places)):
                    cut = {view: numbers[low:high] for view, numbers in row.items()}
                    scores, mask = self.network(*padded([Row(places[low:high], cut)]))
                    values = self.network.chain.marginals(scores, mask)[0].numpy()
                    parts.append(values[first - low : last - low])
                values = np.concatenate(parts)
                found.append(TagMarginals(tuple(places), tuple(self.tags), values))
        return found

    def row(self, text: str, places: Sequence[int]) -> dict[str, Tensor]:
        """A text as numbers: a tensor (places,) for each view."""
        import torch

        from llmner.baselines._views import views

        values = views(text, places)
        return {
            view: torch.tensor([numbers.get(value, 0) for value in values[view]], dtype=torch.long)
            for view, numbers in self.vocabulary.items()
        }

    def _tagged(self, rows: Sequence[Row]) -> Iterator[tuple[Span, ...]]:
        import torch

        chain = self.network.chain
        self.network.eval()
        with torch.inference_mode(), denormals_flushed():
            scores, mask = self.network(*padded(rows))
            paths = chain.decode(scores, mask)
            marginals = chain.marginals(scores, mask)
            for number, (row, path) in enumerate(zip(rows, paths, strict=True)):
                steps = torch.arange(len(path))
                probabilities = marginals[number, steps, torch.tensor(path)].tolist()
                yield spans_of([self.tags[tag] for tag in path], row.places, probabilities)


def _is_vocabulary(value: Any) -> bool:
    """Whether a value has numbers for each view, all of them in range."""
    from llmner.baselines._views import VIEWS

    return (
        isinstance(value, dict)
        and set(value) == set(VIEWS)
        and all(isinstance(numbers, dict) for numbers in value.values())
        and all(
            type(number) is int and 0 <= number <= len(numbers)
            for numbers in value.values()
            for number in numbers.values()
        )
    )


def _are_tags(value: Any) -> bool:
    """Whether a value is a list of two or more different BIOES tags."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(tag, str) and is_tag(tag, "bioes") for tag in value)
        and len(set(value)) == len(value)
    )


def make_network(
    vocabulary: Mapping[str, Mapping[str, int]], tags: Sequence[str], config: BilstmCrfConfig
) -> BilstmCrf:
    """A network with random weights."""
    from llmner.baselines._network import BilstmCrf

    return BilstmCrf(
        {view: len(numbers) + 1 for view, numbers in vocabulary.items()},
        tags,
        hidden=config.hidden,
        layers=config.layers,
        dropout=config.dropout,
        forget=config.forget,
    )


def padded(rows: Sequence[Row]) -> tuple[dict[str, Tensor], Tensor]:
    """The numbers of each view, padded to (rows, longest), and the lengths (rows,)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    views = rows[0].numbers
    numbers = {
        view: pad_sequence([row.numbers[view] for row in rows], batch_first=True) for view in views
    }
    return numbers, torch.tensor([len(row) for row in rows])


def check_torch() -> None:
    """Raise :class:`MissingExtraError` if torch or safetensors is not installed."""
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("baselines", "the BiLSTM-CRF") from None
