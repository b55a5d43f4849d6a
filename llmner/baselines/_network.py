"""The network of the BiLSTM-CRF: embeddings of characters, bigrams and affixes, a BiLSTM, a linear
chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from llmner.baselines._chain import LinearChain
from llmner.baselines._features import character_kind, folded

__all__ = ["VIEWS", "BilstmCrf", "views", "vocabularies"]

# What is looked up of each character, and how wide its vector is.
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
_UNKNOWN = 0
_LONGEST = 8


def views(text: str, places: Sequence[int]) -> dict[str, list[str]]:
    """What is looked up of each of ``places``: for each of :data:`VIEWS`, a string a place."""
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
    # A space counts as a neighbour.
    marked = f" {flat} "
    found: dict[str, list[str]] = {view: [] for view in VIEWS}
    for number, (place, start, end) in enumerate(zip(places, starts, ends, strict=True)):
        found["char"].append(chars[number])
        found["left"].append(marked[place : place + 2])
        found["right"].append(marked[place + 1 : place + 3])
        found["prefix"].append("".join(chars[max(start, number + 1 - _LONGEST) : number + 1]))
        found["suffix"].append("".join(chars[number : min(end, number + _LONGEST)]))
        found["word"].append("".join(chars[start : min(end, start + 2 * _LONGEST)]))
        found["kind"].append(character_kind(text[place]))
        found["place"].append(f"{min(number - start, 5)} {min(end - number, 5)}")
    return found


def vocabularies(
    texts: Iterable[dict[str, list[str]]], least: int = 2
) -> dict[str, dict[str, int]]:
    """Numbers of what occurs at least so often, for each view; 0 is left for everything else."""
    counts: dict[str, Counter[str]] = {view: Counter() for view in VIEWS}
    for found in texts:
        for view, values in found.items():
            counts[view].update(values)
    return {
        view: {
            value: number
            for number, (value, _) in enumerate(
                (
                    (v, c)
                    for v, c in sorted(held.items(), key=lambda item: (-item[1], item[0]))
                    if c >= least
                ),
                1,
            )
        }
        for view, held in counts.items()
    }


class BilstmCrf(nn.Module):  # type: ignore[misc]
    """Huang, Xu and Yu (2015), on characters.

    Args:
        sizes: Entries of each view's vocabulary, the unknown one included.
        tags: The tags, BIOES.
        hidden: Units of each direction of each layer.
        layers: LSTM layers.
        dropout: Share of vector elements left out in training, before and after the LSTM.
        forget: Share of looked-up values that training takes for unknown, so that unknown ones are
            met.
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
    ) -> None:
        super().__init__()
        self.forget = forget
        self.embeddings = nn.ModuleDict(
            {view: nn.Embedding(sizes[view], VIEWS[view], sparse=True) for view in VIEWS}
        )
        for table in self.embeddings.values():
            nn.init.normal_(table.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(
            sum(VIEWS.values()),
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.scores = nn.Linear(2 * hidden, len(tags))
        self.chain = LinearChain(tags)

    def forward(self, numbers: Mapping[str, Tensor], lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of each tag at each place, and where there are places.

        Args:
            numbers: For each view, (batch, length) numbers.
            lengths: (batch,), longest first or not.

        Returns:
            (batch, length, tags) and (batch, length), boolean.
        """
        looked = []
        for view in VIEWS:
            values = numbers[view]
            if self.training and self.forget:
                values = values.masked_fill(torch.rand(values.shape) < self.forget, _UNKNOWN)
            looked.append(self.embeddings[view](values))
        vectors = self.dropout(torch.cat(looked, -1))
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        mask = torch.arange(states.shape[1])[None] < lengths[:, None]
        return self.scores(self.dropout(states)), mask
