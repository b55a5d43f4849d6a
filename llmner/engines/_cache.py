"""Keys and values of what a model has read, for a batch whose rows come and go.

``transformers``' own cache copies itself with every token. This one grows in place. Rows are
aligned on the right: a shorter row has padding on its left, which the attention mask hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import (
    Cache,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

__all__ = ["RowCache", "new_cache"]

_SPARE = 32
"""Tokens that a layer makes room for beyond those it holds."""

_PLAIN = {DynamicLayer, DynamicSlidingWindowLayer}
"""Kinds of layers that keep a key and a value per token, and nothing else."""


class _Layer(DynamicLayer):  # type: ignore[misc]
    """The keys and values of one layer: (rows, heads, tokens, width), views of larger buffers.

    Sliding layers keep all tokens too. Their mask hides the old ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None
        self._tokens = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the states of further tokens, and return those of all tokens."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._tokens + key_states.shape[-2]
        if self._buffers is None or end > self._buffers[0].shape[-2]:
            self._buffers = (
                _widened(self.keys, key_states, end + _SPARE),
                _widened(self.values, value_states, end + _SPARE),
            )
        keys, values = self._buffers
        keys[:, :, self._tokens : end] = key_states
        values[:, :, self._tokens : end] = value_states
        self._show(end)
        return self.keys, self.values

    def drop_last(self, tokens: int) -> None:
        """Forget the last tokens of all rows."""
        self._show(self._tokens - tokens)

    def take(self, rows: torch.Tensor, first: int) -> None:
        """Keep some rows only, and of all rows the tokens from ``first`` on."""
        self._hold(self.keys[rows, :, first:], self.values[rows, :, first:])

    def join(self, other: _Layer) -> None:
        """Add the rows of another layer below one's own."""
        self._hold(_stacked(self.keys, other.keys), _stacked(self.values, other.values))

    def _hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.keys, self.values, self._buffers = keys, values, None
        self._tokens = keys.shape[-2]

    def _show(self, tokens: int) -> None:
        assert self._buffers is not None
        self._tokens = tokens
        self.keys, self.values = (buffer[:, :, :tokens] for buffer in self._buffers)


def _widened(held: torch.Tensor, states: torch.Tensor, tokens: int) -> torch.Tensor:
    """A buffer for so many tokens, with the held ones at its beginning."""
    rows, heads, _, width = states.shape
    buffer = states.new_empty((rows, heads, tokens, width))
    if held.numel():
        buffer[:, :, : held.shape[-2]] = held
    return buffer


def _stacked(upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """Rows below one another, padded on the left to the same number of tokens."""
    tokens = max(upper.shape[-2], lower.shape[-2])
    _, heads, _, width = upper.shape
    stacked = upper.new_zeros((len(upper) + len(lower), heads, tokens, width))
    stacked[: len(upper), :, tokens - upper.shape[-2] :] = upper
    stacked[len(upper) :, :, tokens - lower.shape[-2] :] = lower
    return stacked


class RowCache(Cache):  # type: ignore[misc]
    """The keys and values of all layers of a batch."""

    layers: list[_Layer]

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_Layer)

    def drop_last(self, tokens: int) -> None:
        """Forget the last tokens of all rows."""
        for layer in self.layers:
            layer.drop_last(tokens)

    def take(self, rows: Sequence[int], first: int) -> None:
        """Keep some rows only, and of all rows the tokens from ``first`` on."""
        for layer in self.layers:
            layer.take(torch.tensor(rows, device=layer.keys.device), first)

    def join(self, other: RowCache) -> None:
        """Add the rows of another cache below one's own."""
        for layer, added in zip(self.layers, other.layers, strict=True):
            layer.join(added)


def new_cache(model: Any) -> Cache:
    """An empty cache: a :class:`RowCache`, or the model's own kind if it keeps other states too."""
    own = DynamicCache(config=model.config)
    plain = {type(layer) for layer in own.layers} <= _PLAIN
    return RowCache() if plain and not getattr(model, "_is_stateful", False) else own
