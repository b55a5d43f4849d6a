"""A BiLSTM-CRF on characters, trained on a CPU in minutes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from llmner._mishaps import Mishap, attempt
from llmner.baselines._syllables import apart, bioes_tags, pieces, places_of, spans_of
from llmner.baselines._types import BestEpoch, Epoch, Fields, Trained, judge, learnt_labels
from llmner.engines._denormals import denormals_flushed
from llmner.engines._model_files import check_finite, read_object, read_tensors
from llmner.errors import InputError, MissingExtraError
from llmner.files import dump_json, whole_file
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, is_tag, label_tags, labels_of

if TYPE_CHECKING:
    from torch import Tensor

    from llmner.baselines._network import BilstmCrf

__all__ = ["BilstmCrfConfig", "BilstmCrfTagger", "train_bilstm_crf"]

WEIGHTS = "model.safetensors"
VOCABULARY = "vocabulary.json"
# Batches of equal lengths are drawn from so many at a time.
_POOL = 20
# Pieces of texts tagged together.
_TOGETHER = 64
# Share of the steps in which the learning rate rises.
_RISE = 0.1


class BilstmCrfConfig(Fields):
    """How a BiLSTM-CRF is built and trained.

    Attributes:
        hidden: Units of each direction of each layer.
        layers: LSTM layers.
        dropout: Share of vector elements left out in training.
        forget: Share of looked-up characters, bigrams and affixes taken for unknown in training.
        min_frequency: How often each of these must occur to have a vector of its own.
        epochs: Passes over the sentences at the most.
        patience: Epochs without a better F1 on held-out sentences after which training stops.
        batch_size: Sentences a step.
        learning_rate: Its highest value; it rises over the first tenth of the steps and falls to
            nothing.
        seed: Of initial weights, batches and dropout.
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
class _Row:
    """A text as numbers."""

    places: list[int]
    numbers: dict[str, Tensor]
    tags: Tensor | None = None

    def __len__(self) -> int:
        return len(self.places)


class BilstmCrfTagger:
    """A trained BiLSTM-CRF.

    Args:
        network: The network.
        tags: Its tags, BIOES, in the order of its scores.
        vocabulary: Numbers of what is looked up, for each view.
        config: How it was built.
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
        """The tagger in a folder that :meth:`save` wrote to; it computes on the CPU, whatever
        ``device`` says.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        _needs_torch()
        import torch
        from safetensors.torch import load_file

        path, weights = folder / VOCABULARY, folder / WEIGHTS
        held = read_object(path, "the vocabulary of a BiLSTM-CRF")
        tags, vocabulary = held.get("tags"), held.get("vocabulary")
        config = attempt(BilstmCrfConfig.model_validate, held.get("config"))
        for name, right in (("vocabulary", _is_vocabulary(vocabulary)), ("tags", _are_tags(tags))):
            if not right:
                raise InputError(
                    f"holds no BiLSTM-CRF ({name!r} is none)", path=path, hint="train it again"
                )
        if isinstance(config, Mishap):
            raise InputError(
                "holds no BiLSTM-CRF ('config' is none)", path=path, hint="train it again"
            )
        assert tags is not None
        assert vocabulary is not None
        # Made of nothing first: sizes that no machine has room for show here.
        with torch.device("meta"):
            shapes = _network(vocabulary, tags, config).state_dict()
        wanted = {name: tuple(tensor.shape) for name, tensor in shapes.items()}
        found = read_tensors(weights, "the weights of a BiLSTM-CRF")
        if {name: tensor.shape for name, tensor in found.items()} != wanted:
            raise InputError(
                f"is not of the {VOCABULARY} beside it", path=weights, hint="train it again"
            )
        check_finite(weights)
        network = _network(vocabulary, tags, config)
        network.load_state_dict(load_file(weights))
        return cls(network, tags, vocabulary, config)

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and vocabulary (JSON) into a folder."""
        from safetensors.torch import save_file

        save_file(
            {name: held.contiguous() for name, held in self.network.state_dict().items()},
            folder / WEIGHTS,
        )
        known = {
            "tags": self.tags,
            "config": self.config.model_dump(),
            "vocabulary": self.vocabulary,
        }
        with whole_file(folder / VOCABULARY) as stream:
            stream.write(dump_json(known) + b"\n")

    def parameters(self) -> int:
        """Weights of embeddings, LSTM, output layer and chain."""
        return sum(held.numel() for held in self.network.parameters())

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Spans of each text. Texts of over a thousand characters are tagged in pieces that
        overlap.
        """
        found: list[list[Span]] = [[] for _ in texts]
        cuts = []
        for number, text in enumerate(texts):
            places = places_of(text)
            row = self.row(text, places)
            for low, high, first, last in pieces(len(places)):
                cut = {view: held[low:high] for view, held in row.items()}
                cuts.append(
                    (number, (places[first], places[last - 1]), _Row(places[low:high], cut))
                )
        cuts.sort(key=lambda piece: len(piece[2]))
        for at in range(0, len(cuts), _TOGETHER):
            batch = cuts[at : at + _TOGETHER]
            answers = self._tagged([row for *_, row in batch])
            for (number, (first, last), _), spans in zip(batch, answers, strict=True):
                # A span is its piece's that it begins in.
                found[number] += [span for span in spans if first <= span.start <= last]
        return [apart(spans) for spans in found]

    def row(self, text: str, places: Sequence[int]) -> dict[str, Tensor]:
        """A text as numbers, for each view (length,)."""
        import torch

        from llmner.baselines._network import views

        looked = views(text, places)
        return {
            view: torch.tensor([held.get(value, 0) for value in looked[view]], dtype=torch.long)
            for view, held in self.vocabulary.items()
        }

    def _tagged(self, rows: Sequence[_Row]) -> Iterator[tuple[Span, ...]]:
        import torch

        chain = self.network.chain
        self.network.eval()
        with torch.inference_mode(), denormals_flushed():
            scores, mask = self.network(*_padded(rows))
            paths = chain.decode(scores, mask)
            sure = chain.marginals(scores, mask)
            for number, (row, path) in enumerate(zip(rows, paths, strict=True)):
                probabilities = sure[number, torch.arange(len(path)), torch.tensor(path)].tolist()
                yield spans_of([self.tags[tag] for tag in path], row.places, probabilities)


def train_bilstm_crf(
    sentences: Sequence[Sentence],
    config: BilstmCrfConfig,
    folder: Path,
    *,
    held_out: Sequence[Sentence] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Trained:
    """Train a BiLSTM-CRF; with held-out sentences the epoch with the best F1 on them is kept.

    Args:
        sentences: What to learn from.
        config: How.
        folder: Not used: the model is in memory until it is saved.
        held_out: Sentences to choose the epoch by, and to stop early. Without them the last epoch
            is kept.
        on_epoch: Called after each epoch.
        report: Not used.

    Raises:
        InputError: No entity to learn.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    _needs_torch()
    import torch
    from torch.nn.utils import clip_grad_norm_
    from torch.nn.utils.rnn import pad_sequence

    from llmner.baselines._network import views, vocabularies

    started = time.perf_counter()
    labels = learnt_labels(sentences)
    tags = [OUTSIDE, *label_tags(labels, "bioes")]
    number_of = {tag: number for number, tag in enumerate(tags)}
    learnt = [(sentence, places) for sentence in sentences if (places := places_of(sentence.text))]
    vocabulary = vocabularies((views(s.text, places) for s, places in learnt), config.min_frequency)
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    network = _network(vocabulary, tags, config)
    tagger = BilstmCrfTagger(network, tags, vocabulary, config)
    rows = [
        _Row(
            places,
            tagger.row(s.text, places),
            torch.tensor([number_of[t] for t in bioes_tags(s, places)]),
        )
        for s, places in learnt
    ]
    # Most rows of the embeddings are in no batch: their gradients are sparse, and so is their Adam.
    dense = [
        weights
        for name, weights in network.named_parameters()
        if not name.startswith("embeddings.")
    ]
    optimizers = [
        torch.optim.Adam(dense, lr=config.learning_rate),
        torch.optim.SparseAdam(list(network.embeddings.parameters()), lr=config.learning_rate),
    ]
    steps = 1 + config.epochs * -(-len(rows) // config.batch_size)
    # OneCycleLR divides by the length of the rise less one step.
    steps += steps * _RISE == 1
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            config.learning_rate,
            steps,
            pct_start=_RISE,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
        for optimizer in optimizers
    ]
    epochs: list[Epoch] = []
    choice = BestEpoch(config.patience)
    with denormals_flushed():
        for number in range(1, config.epochs + 1):
            began = time.perf_counter()
            network.train()
            total = 0.0
            for batch in _batches(rows, config.batch_size, rng):
                scores, mask = network(*_padded(batch))
                wanted = pad_sequence([row.tags for row in batch], batch_first=True)
                loss = network.chain.loss(scores, wanted, mask).mean()
                for optimizer in optimizers:
                    optimizer.zero_grad()
                loss.backward()
                clip_grad_norm_(dense, 5.0)
                for optimizer, schedule in zip(optimizers, schedules, strict=True):
                    optimizer.step()
                    schedule.step()
                total += loss.item() * len(batch)
            figures: tuple[float, float, float] | tuple[()] = ()
            if held_out:
                figures = judge(held_out, tagger.tag([sentence.text for sentence in held_out]))
            epoch = Epoch(number, total / len(rows), None, *figures)
            epochs.append(replace(epoch, seconds=round(time.perf_counter() - began, 1)))
            if on_epoch is not None:
                on_epoch(epochs[-1])
            choice.judged(epochs[-1], network)
            if choice.over(epochs[-1]):
                break
    choice.restore(network)
    seconds = time.perf_counter() - started
    return Trained(tagger, seconds, tuple(epochs), choice.epoch)


def _is_vocabulary(held: Any) -> bool:
    """Whether it has numbers of what is looked up, for each view, none of them too high."""
    from llmner.baselines._network import VIEWS

    return (
        isinstance(held, dict)
        and set(held) == set(VIEWS)
        and all(isinstance(numbers, dict) for numbers in held.values())
        and all(
            type(number) is int and 0 <= number <= len(numbers)
            for numbers in held.values()
            for number in numbers.values()
        )
    )


def _are_tags(held: Any) -> bool:
    """Whether they are different BIOES tags."""
    return (
        isinstance(held, list)
        and len(held) > 1
        and all(isinstance(tag, str) and is_tag(tag, "bioes") for tag in held)
        and len(set(held)) == len(held)
    )


def _network(
    vocabulary: Mapping[str, Mapping[str, int]], tags: Sequence[str], config: BilstmCrfConfig
) -> BilstmCrf:
    from llmner.baselines._network import BilstmCrf

    return BilstmCrf(
        {view: len(held) + 1 for view, held in vocabulary.items()},
        tags,
        hidden=config.hidden,
        layers=config.layers,
        dropout=config.dropout,
        forget=config.forget,
    )


def _padded(rows: Sequence[_Row]) -> tuple[dict[str, Tensor], Tensor]:
    """Numbers of each view, (rows, longest), and lengths, (rows,)."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    views = rows[0].numbers
    numbers = {
        view: pad_sequence([row.numbers[view] for row in rows], batch_first=True) for view in views
    }
    return numbers, torch.tensor([len(row) for row in rows])


def _batches(rows: Sequence[_Row], size: int, rng: random.Random) -> list[list[_Row]]:
    """Batches of rows of about equal lengths, in another order each time."""
    order = list(rows)
    rng.shuffle(order)
    batches = []
    for at in range(0, len(order), size * _POOL):
        pool = sorted(order[at : at + size * _POOL], key=len)
        batches += [pool[start : start + size] for start in range(0, len(pool), size)]
    rng.shuffle(batches)
    return batches


def _needs_torch() -> None:
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("baselines", "the BiLSTM-CRF") from None
