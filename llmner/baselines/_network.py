"""The network of the BiLSTM-CRF: embeddings, a BiLSTM and a linear-chain CRF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from llmner.baselines._chain import LinearChain
from llmner.baselines._views import VIEWS

__all__ = ["BilstmCrf", "vocabularies"]

# The place of a character in its token, for a network that is given states of tokens.
_SIZES = {**VIEWS, "piece": 8}
_UNKNOWN = 0


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
        vectors = self._embedded(numbers, states)
        packed = pack_padded_sequence(
            vectors, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        read, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        mask = torch.arange(read.shape[1], device=read.device)[None] < lengths[:, None]
        return self.scores(self.dropout(read)), mask

    def read(self, numbers: Mapping[str, Tensor], states: Tensor | None = None) -> Tensor:
        """The (batch, length, tags) scores of sequences of one length.

        The arguments are those of :meth:`forward`.
        """
        return self.scores(self.lstm(self._embedded(numbers, states))[0])

    def _embedded(self, numbers: Mapping[str, Tensor], states: Tensor | None) -> Tensor:
        """What the LSTM reads: (batch, length, size)."""
        embedded = [] if states is None else [self.norm(states)]
        for view, vectors in self.embeddings.items():
            values = numbers[view]
            if self.training and self.forget:
                forgotten = torch.rand(values.shape, device=values.device) < self.forget
                values = values.masked_fill(forgotten, _UNKNOWN)
            embedded.append(vectors(values))
        return self.dropout(torch.cat(embedded, -1))
