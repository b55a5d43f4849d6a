"""An encoder that tags characters: a BiLSTM-CRF over them, each with the state of its token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from llmner.baselines._characters import HEAD_FILES, CharacterRow, CharacterRows, read_head
from llmner.baselines._encoder_tagger import CHARACTERS, HEAD
from llmner.baselines._network import BilstmCrf
from llmner.baselines._syllables import bioes_tags
from llmner.engines._denormals import denormals_flushed
from llmner.engines._model_files import check_finite, read_tensors
from llmner.errors import InputError
from llmner.files import dump_json, whole_file
from llmner.spans import Sentence

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["CharacterModel", "CharacterTagger", "collate", "make_head", "row_tags"]


class CharacterModel(nn.Module):  # type: ignore[misc]
    """The encoder and the BiLSTM-CRF on top.

    Args:
        encoder: A model that gives a state for each token.
        head: The BiLSTM-CRF.
    """

    def __init__(self, encoder: PreTrainedModel, head: BilstmCrf) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.head.scores.weight.device

    def scores(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The scores of tags: (batch, places, tags), and their mask.

        Args:
            batch: What :func:`collate` made.
        """
        states = self.encoder(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        index = batch["tokens"][..., None].expand(-1, -1, states.shape[-1])
        # Sums of many small numbers, of little work: these stay exact in mixed precision.
        with torch.autocast(states.device.type, enabled=False):
            scores, mask = self.head(
                {view: batch[view] for view in self.head.embeddings},
                batch["lengths"],
                states.gather(1, index).float(),
            )
        return scores, mask

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """The mean loss of the batch, in nats a character."""
        scores, mask = self.scores(batch)
        with torch.autocast(scores.device.type, enabled=False):
            losses = self.head.chain.loss(scores.float(), batch["labels"], mask)
        return {"loss": losses.sum() / mask.sum()}


class CharacterTagger(CharacterRows):
    """A trained encoder of characters.

    Args:
        model: Encoder and BiLSTM-CRF.
        tokenizer: The encoder's tokenizer, a fast one.
        tags: The BIOES tags, in the order of the scores.
        vocabulary: For each view, the number of each value.
        max_length: Longest window, in tokens.
        stride: Tokens that two neighbouring windows share.

    Raises:
        InputError: The tokenizer has no offsets, because it is not a fast one.
    """

    def __init__(
        self,
        model: CharacterModel,
        tokenizer: PreTrainedTokenizerFast,
        tags: Sequence[str],
        vocabulary: Mapping[str, Mapping[str, int]],
        *,
        max_length: int = 510,
        stride: int = 64,
    ) -> None:
        super().__init__(
            model.encoder,
            tokenizer,
            tags=tags,
            vocabulary=vocabulary,
            max_length=max_length,
            stride=stride,
        )
        self._network = model

    @classmethod
    def read(
        cls,
        folder: Path,
        encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        **options: int,
    ) -> CharacterTagger:
        """Read the head from a folder that :meth:`save` wrote to, and put it on the encoder.

        Args:
            folder: The folder.
            encoder: The encoder of the same folder.
            tokenizer: Its tokenizer.
            **options: Passed on.

        Raises:
            InputError: A file is missing or broken.
        """
        from safetensors.torch import load_file

        weights = folder / HEAD
        tags, vocabulary, hidden = read_head(folder)
        states = encoder.config.get_text_config().hidden_size
        # First without memory, so that sizes for which no machine has room are an error.
        with torch.device("meta"):
            shapes = make_head(vocabulary, tags, hidden=hidden, states=states).state_dict()
        expected = {name: tuple(tensor.shape) for name, tensor in shapes.items()}
        found = {name: tensor.shape for name, tensor in read_tensors(weights, HEAD_FILES).items()}
        if found != expected:
            raise InputError(
                f"does not fit the {CHARACTERS} beside it", path=weights, hint="train it again"
            )
        check_finite(weights)
        head = make_head(vocabulary, tags, hidden=hidden, states=states)
        head.load_state_dict(load_file(weights))
        return cls(CharacterModel(encoder, head), tokenizer, tags, vocabulary, **options)

    def save(self, folder: Path) -> None:
        """Write the encoder, its tokenizer and the head into a folder."""
        from safetensors.torch import save_file

        super().save(folder)
        head = self.network.head
        save_file(
            {name: tensor.contiguous() for name, tensor in head.state_dict().items()},
            folder / HEAD,
        )
        self.save_vocabulary(folder)

    def save_vocabulary(self, folder: Path) -> None:
        """Write what the head's weights are of into a folder."""
        fields = {
            "tags": self.tags,
            "hidden": self.network.head.lstm.hidden_size,
            "vocabulary": self.vocabulary,
        }
        with whole_file(folder / CHARACTERS) as stream:
            stream.write(dump_json(fields) + b"\n")

    @property
    def network(self) -> CharacterModel:
        """Encoder and head."""
        return self._network

    def _predict(self, rows: Sequence[CharacterRow]) -> Iterator[tuple[list[str], list[float]]]:
        """The tags of each row's places, and their probabilities."""
        chain = self.network.head.chain
        self.network.eval()
        pad = self.tokenizer.pad_token_id or 0
        batch = collate([row.to_dict() for row in rows], pad)
        device = self.network.device
        with torch.inference_mode(), denormals_flushed():
            scores, mask = self.network.scores(
                {name: tensor.to(device) for name, tensor in batch.items()}
            )
            paths = chain.decode(scores, mask)
            marginals = chain.marginals(scores, mask)
            for number, path in enumerate(paths):
                steps = torch.arange(len(path))
                probabilities = marginals[number, steps, torch.tensor(path)].tolist()
                yield [self.tags[tag] for tag in path], probabilities


def make_head(
    vocabulary: Mapping[str, Mapping[str, int]],
    tags: Sequence[str],
    *,
    hidden: int,
    states: int,
    dropout: float = 0.0,
    forget: float = 0.0,
) -> BilstmCrf:
    """A head with random weights.

    Args:
        vocabulary: For each view, the number of each value.
        tags: The tags, BIOES.
        hidden: Units of each direction of the LSTM.
        states: Size of the encoder's states.
        dropout: Share of vector elements dropped in training.
        forget: Share of characters treated as unknown in training.
    """
    sizes = {view: len(numbers) + 1 for view, numbers in vocabulary.items()}
    return BilstmCrf(sizes, tags, hidden=hidden, states=states, dropout=dropout, forget=forget)


def row_tags(sentence: Sentence, places: Sequence[int], numbers: Mapping[str, int]) -> list[int]:
    """The numbers of the places' tags; of labels that are not to be learnt, that of ``O``."""
    return [numbers.get(tag, 0) for tag in bioes_tags(sentence, places)]


def collate(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Tensor]:
    """A batch of rows: tensors of (rows, longest), ``attention_mask`` and ``lengths`` added.

    Args:
        rows: What :meth:`CharacterRow.to_dict` gave.
        pad: Number of the token that short rows are filled up with.
    """
    batch = {
        name: pad_sequence(
            [torch.tensor(row[name], dtype=torch.long) for row in rows],
            batch_first=True,
            padding_value=pad if name == "input_ids" else 0,
        )
        for name in rows[0]
    }
    batch["attention_mask"] = pad_sequence(
        [torch.ones(len(row["input_ids"]), dtype=torch.long) for row in rows], batch_first=True
    )
    batch["lengths"] = torch.tensor([len(row["tokens"]) for row in rows])
    return batch
