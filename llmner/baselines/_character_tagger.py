"""An encoder that tags characters: a BiLSTM-CRF over them, each with the state of its token.

A token may reach over the end of a name, as where a name and its particle are one token of a
language model's vocabulary. No tag of such a token is right; tags of its characters are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from llmner._mishaps import Mishap, attempt
from llmner.baselines._alignment import owners
from llmner.baselines._encoder_tagger import CHARACTERS, HEAD, EncoderTagger, Window
from llmner.baselines._network import BilstmCrf, views
from llmner.baselines._syllables import bioes_tags, spans_of
from llmner.baselines._tag_scores import character_offsets
from llmner.engines._denormals import denormals_flushed
from llmner.engines._model_files import check_finite, read_object, read_tensors
from llmner.errors import InputError
from llmner.files import dump_json, whole_file
from llmner.spans import Sentence, Span
from llmner.tagging import is_tag

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = [
    "VIEWS",
    "CharacterModel",
    "CharacterRow",
    "CharacterTagger",
    "collate",
    "make_head",
    "row_tags",
    "window_views",
]

# What a token's state does not say. Words are not among them: the encoder knows them, and files
# that hold words of the training sentences could not be given away.
VIEWS = ("char", "left", "right", "kind", "place", "piece")
_LONGEST_PIECE = 7


@dataclass(frozen=True, slots=True)
class CharacterRow:
    """A window as numbers.

    Attributes:
        window: Its tokens.
        places: Offsets of its characters that are not white space, in the text.
        tokens: For each place, the number of its token in the window. A character that no token
            covers has that of the character before it.
        numbers: For each view, the numbers of its values: (places,).
    """

    window: Window
    places: list[int]
    tokens: list[int]
    numbers: dict[str, list[int]]

    @property
    def ids(self) -> list[int]:
        """Numbers of the window's tokens."""
        return self.window.ids

    def to_dict(self) -> dict[str, Any]:
        """The row as a trainer's data set has it, without labels."""
        return {"input_ids": self.ids, "tokens": self.tokens, **self.numbers}


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


class CharacterTagger(EncoderTagger):
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
            scheme="bioes",
            max_length=max_length,
            stride=stride,
        )
        self._network = model
        self.vocabulary = vocabulary

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

        what = "the head of an encoder of characters"
        path, weights = folder / CHARACTERS, folder / HEAD
        fields = read_object(path, what)
        tags: Any = fields.get("tags")
        vocabulary: Any = fields.get("vocabulary")
        hidden: Any = fields.get("hidden")
        if not _is_head(tags, vocabulary, hidden):
            raise InputError(f"is not {what}", path=path, hint="train it again")
        states = encoder.config.get_text_config().hidden_size
        # First without memory, so that sizes for which no machine has room are an error.
        with torch.device("meta"):
            shapes = make_head(vocabulary, tags, hidden=hidden, states=states).state_dict()
        expected = {name: tuple(tensor.shape) for name, tensor in shapes.items()}
        found = {name: tensor.shape for name, tensor in read_tensors(weights, what).items()}
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
        fields = {
            "tags": self.tags,
            "hidden": head.lstm.hidden_size,
            "vocabulary": self.vocabulary,
        }
        with whole_file(folder / CHARACTERS) as stream:
            stream.write(dump_json(fields) + b"\n")

    unit: ClassVar[Literal["token", "character"]] = "character"

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of the characters that are not white space."""
        return character_offsets(text)

    @property
    def network(self) -> CharacterModel:
        """Encoder and head."""
        return self._network

    def rows(self, text: str) -> list[CharacterRow]:
        """A text as numbers, a row for each window that has characters."""
        return [
            CharacterRow(
                window,
                places,
                tokens,
                {
                    view: [numbers.get(value, 0) for value in values[view]]
                    for view, numbers in self.vocabulary.items()
                },
            )
            for window, places, tokens, values in window_views(self, text)
        ]

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

    def _joined(
        self, text: str, parts: Sequence[tuple[CharacterRow, list[str], list[float]]]
    ) -> tuple[Span, ...]:
        """The spans of a text, from the tags and probabilities of all its windows."""
        places: list[int] = []
        tags: list[str] = []
        probabilities: list[float] = []
        for number, (row, row_tags, row_probabilities) in enumerate(parts):
            kept = set(self.kept(row.window, number, len(parts)))
            for place, token, tag, probability in zip(
                row.places, row.tokens, row_tags, row_probabilities, strict=True
            ):
                if token in kept and not (places and place <= places[-1]):
                    places.append(place)
                    tags.append(tag)
                    probabilities.append(probability)
        return spans_of(tags, places, probabilities)


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


def window_views(
    tagger: EncoderTagger, text: str
) -> Iterator[tuple[Window, list[int], list[int], dict[str, list[str]]]]:
    """Each window of a text that has characters, with their offsets, tokens and views."""
    for window in tagger.windows(text):
        if not window.own:
            continue
        low = min(window.offsets[token][0] for token in window.own)
        high = max(window.offsets[token][1] for token in window.own)
        part = text[low:high]
        owned = owners(part, [(start - low, end - low) for start, end in window.offsets])
        places = [place for place, char in enumerate(part) if not char.isspace()]
        if not places:
            continue
        tokens: list[int] = []
        for place in places:
            token = owned[place]
            tokens.append(token if token is not None else tokens[-1] if tokens else window.own[0])
        values = views(part, places)
        values["piece"] = _pieces(tokens)
        yield (
            window,
            [low + place for place in places],
            tokens,
            {view: values[view] for view in VIEWS},
        )


def row_tags(sentence: Sentence, places: Sequence[int], numbers: Mapping[str, int]) -> list[int]:
    """The numbers of the places' tags; of labels that are not to be learnt, that of ``O``."""
    return [numbers.get(tag, 0) for tag in bioes_tags(sentence, places)]


def _pieces(tokens: Sequence[int]) -> list[str]:
    """For each character, how many of its token are before it and from it on."""
    before: list[int] = []
    for number, token in enumerate(tokens):
        same = number > 0 and tokens[number - 1] == token
        before.append(before[-1] + 1 if same else 0)
    left: list[int] = [0] * len(tokens)
    for number in range(len(tokens) - 1, -1, -1):
        same = number + 1 < len(tokens) and tokens[number + 1] == tokens[number]
        left[number] = left[number + 1] + 1 if same else 1
    return [
        f"{min(first, _LONGEST_PIECE)} {min(last, _LONGEST_PIECE)}"
        for first, last in zip(before, left, strict=True)
    ]


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


def _is_head(tags: Any, vocabulary: Any, hidden: Any) -> bool:
    """Whether values are those of a head's file."""
    valid = attempt(
        lambda: (
            type(hidden) is int
            and 0 < hidden < 1 << 16
            and len(tags) > 1
            and all(is_tag(tag, "bioes") for tag in tags)
            and len(set(tags)) == len(tags)
            and tuple(vocabulary) == VIEWS
            and all(
                type(number) is int and 0 <= number <= len(numbers)
                for numbers in vocabulary.values()
                for number in numbers.values()
            )
        )
    )
    return not isinstance(valid, Mishap) and valid
