"""The network of the BiLSTM-CRF: embeddings, a BiLSTM and a linear-chain CRF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from llmner.baselines._chain import LinearChain
from llmner.baselines._features import character_kind, folded

__all__ = ["VIEWS", "BilstmCrf", "views", "vocabularies"]

# The properties of each character that have embeddings, and the size of their vectors.
VIEWS: dict[str, int] = {
    "char": 100,
    "left": 48,
    "right": 48,
    "prefix": 40,
    "suffix": 40,
    "word": 20,
    "kind": 8,
    "place": 8,
}
# The place of a character in its token, for a network that is given states of tokens.
_SIZES = {**VIEWS, "piece": 8}
_UNKNOWN = 0
_LONGEST = 8


def views(text: str, places: Sequence[int]) -> dict[str, list[str]]:
    """The values of all :data:`VIEWS` for each of ``places``.

    Args:
        text: The text.
        places: Offsets of its characters that are not white space.

    Returns:
        For each view, one string per place.

    >>> views("a bc", [0, 2, 3])["word"]
    ['a', 'bc', 'bc']
    """
    flat = folded(text)
    chars = [flat[place] for place in places]
    starts: list[int] = []
    for number, place in enumerate(places):
        new = number == 0 or place != places[number - 1] + 1
        starts.append(number if new else starts[-1])
    ends = [0] * len(places)
    for number in range(len(places) - 1, -1, -1):
        last = number + 1 == len(places) or starts[number + 1] == number + 1
        ends[number] = number + 1 if last else ends[number + 1]
    # White space counts as a neighbour.
    padded = f" {flat} "
    values: dict[str, list[str]] = {view: [] for view in VIEWS}
    for number, (place, start, end) in enumerate(zip(places, starts, ends, strict=True)):
        values["char"].append(chars[number])
        values["left"].append(padded[place : place + 2])
        values["right"].append(padded[place + 1 : place + 3])
        values["prefix"].append("".join(chars[max(start, number + 1 - _LONGEST) : number + 1]))
        values["suffix"].append("".join(chars[number : min(end, number + _LONGEST)]))
        values["word"].append("".join(chars[start : min(end, start + 2 * _LONGEST)]))
        values["kind"].append(character_kind(text[place]))
        values["place"].append(f"{min(number - start, 5)} {min(end - number, 5)}")
    return values


def vocabularies(
    texts: Iterable[dict[str, list[str]]], least: int = 2
) -> dict[str, dict[str, int]]:
    """The number of each value that occurs at least ``least`` times, for each view.

    The most frequent value has number 1. Number 0 is for all other values.
    """
    counts: dict[str, Counter[str]] = {}
    for text_views in texts:
        for view, values in text_views.items():
            counts.setdefault(view, Counter()).update(values)
    return {
        view: {
            value: number
            for number, (value, _) in enumerate(
                (
                    (value, count)
                    for value, count in sorted(
                        view_counts.items(), key=lambda item: (-item[1], item[0])
                    )
                    if count >= least
                ),
                1,
            )
        }
        for view, view_counts in counts.items()
    }


class BilstmCrf(nn.Module):  # type: ignore[misc]
    """A BiLSTM-CRF (Huang, Xu and Yu 2015) on characters.

    Args:
        sizes: The number of entries of each view's vocabulary, including the unknown one. Views
            that are not in it are not used.
        tags: The tags, BIOES.
        hidden: Units of each direction of each layer.
        layers: LSTM layers.
        dropout: Share of vector elements dropped in training, before and after the LSTM.
        forget: Share of values replaced by the unknown one in training, so that its vector is
            trained too.
        states: Size of an encoder's states, if each character has one.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        tags: Sequence[str],
        *,
        hidden: int = 200,
        layers: int = 1,
        dropout: float = 0.5,
        forget: float = 0.1,
        states: int = 0,
    ) -> None:
        super().__init__()
        self.forget = forget
        # Sparse gradients need an optimiser of their own, which does not pay beside an encoder.
        self.embeddings = nn.ModuleDict(
            {
                view: nn.Embedding(size, _SIZES[view], sparse=not states)
                for view, size in sizes.items()
            }
        )
        for table in self.embeddings.values():
            nn.init.normal_(table.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        if states:
            self.norm = nn.LayerNorm(states)
        self.lstm = nn.LSTM(
            states + sum(_SIZES[view] for view in sizes),
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.scores = nn.Linear(2 * hidden, len(tags))
        self.chain = LinearChain(tags)

    def forward(
        self, numbers: Mapping[str, Tensor], lengths: Tensor, states: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The scores of each tag at each place, and the mask.

        Args:
            numbers: For each view, (batch, length) numbers of values.
            lengths: (batch,) lengths in any order.
            states: (batch, length, size) states of an encoder.

        Returns:
            (batch, length, tags) scores, and the (batch, length) mask, which is false for padding.
        """
        embedded = [] if states is None else [self.norm(states)]
        for view, vectors in self.embeddings.items():
            values = numbers[view]
            if self.training and self.forget:
                forgotten = torch.rand(values.shape, device=values.device) < self.forget
                values = values.masked_fill(forgotten, _UNKNOWN)
            embedded.append(vectors(values))
        vectors = self.dropout(torch.cat(embedded, -1))
        packed = pack_padded_sequence(
            vectors, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        read, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        mask = torch.arange(read.shape[1], device=read.device)[None] < lengths[:, None]
        return self.scores(self.dropout(read)), mask
