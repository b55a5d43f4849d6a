"""Scores of next tokens: of the whole vocabulary, or only of the tokens that may come next.

The output head of a model with many words is most of its work. Under a grammar a few dozen tokens
may come next, and the scores of no others are needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["LanguageModel", "NextScores", "is_plain_head", "softcap_of"]

_SCALES = ("logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier")
"""Settings of models that scale their scores in ways of their own."""

_MOST_TOKENS = 8
"""If more than one in so many tokens of the vocabulary may come next, all are scored."""


def is_plain_head(model: Any) -> bool:
    """Whether a model's scores are its last hidden states times the head's weight, and no more.

    A soft cap is allowed. Quantised heads and models that scale their scores are not plain.
    """
    head = model.get_output_embeddings()
    config = model.config.get_text_config(decoder=True)
    return type(head) is torch.nn.Linear and not any(
        getattr(config, key, None) not in (None, 1, 1.0) for key in _SCALES
    )


def softcap_of(model: Any) -> float | None:
    """The value that a model's scores cannot exceed, if there is one."""
    config = model.config.get_text_config(decoder=True)
    cap = getattr(config, "final_logit_softcapping", None)
    return None if cap is None else float(cap)


class NextScores:
    """The scores of each row's next token, computed as far as they are asked for.

    Args:
        states: (rows, width), the last hidden states; or (rows, vocabulary), the scores of a model
            whose head is not plain.
        head: The head, if it is plain.
        softcap: The value that scores cannot exceed.
    """

    def __init__(
        self, states: torch.Tensor, head: torch.nn.Linear | None, softcap: float | None
    ) -> None:
        self._states = states
        self._head = head
        self._softcap = softcap

    def rows(self, rows: Sequence[int]) -> NextScores:
        """The scores of some rows."""
        if len(rows) == len(self._states) and list(rows) == list(range(len(rows))):
            return self
        return NextScores(self._states[list(rows)], self._head, self._softcap)

    def all(self) -> torch.Tensor:
        """The scores of all tokens: (rows, vocabulary), float32."""
        if self._head is None:
            return self._states.float()
        return self._capped(self._head(self._states).float())

    def of(self, choices: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The scores of some tokens for each row, float32.

        Args:
            choices: For each row the tokens, ascending; their numbers may differ.
        """
        if self._head is None or any(map(self._are_many, choices)):
            scores = self.all()
            return [row[tokens.to(row.device)] for row, tokens in zip(scores, choices, strict=True)]
        tokens, places = torch.cat(list(choices)).unique(return_inverse=True)
        tokens = tokens.to(self._states.device)
        weight = self._head.weight[tokens].float()
        bias = None if self._head.bias is None else self._head.bias[tokens].float()
        # float32, whatever the model computes in: two scores of bfloat16 are often the same.
        scores = self._capped(torch.nn.functional.linear(self._states.float(), weight, bias))
        parts = places.to(scores.device).split([len(tokens) for tokens in choices])
        return [row[part] for row, part in zip(scores, parts, strict=True)]

    def _are_many(self, tokens: torch.Tensor) -> bool:
        assert self._head is not None
        return bool(len(tokens) * _MOST_TOKENS > self._head.out_features)

    def _capped(self, scores: torch.Tensor) -> torch.Tensor:
        if self._softcap is None:
            return scores
        return self._softcap * torch.tanh(scores / self._softcap)


class LanguageModel:
    """A causal model that reads tokens and gives the scores of the next ones.

    Args:
        model: A causal language model of ``transformers``, with or without a PEFT adapter.
    """

    def __init__(self, model: Any) -> None:
        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._head = self.model.get_output_embeddings() if is_plain_head(self.model) else None
        self._softcap = softcap_of(self.model) if self._head is not None else None
        body = self.model.base_model if self._head is not None else self.model
        accepted = inspect.signature(body.forward).parameters
        self._body = body
        self._takes_positions = "position_ids" in accepted
        self._keeps_logits = "logits_to_keep" in accepted
        # Models without attention call the cache otherwise, and mask only what they begin with.
        self._attends = "past_key_values" in accepted

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = self.model.device
        return device

    def read(
        self, tokens: torch.Tensor, mask: torch.Tensor, cache: Any, last: int = 1
    ) -> NextScores:
        """Read further tokens of every row.

        Args:
            tokens: (rows, tokens), padded on the left.
            mask: (rows, all tokens so far and these), 1 for tokens and 0 for padding.
            cache: What was read before; these tokens are added to it.
            last: How many of the last positions the scores are needed of.

        Returns:
            The scores behind the last positions, row by row: (rows * last) rows.
        """
        more: dict[str, Any] = {"past_key_values" if self._attends else "cache_params": cache}
        if self._attends or tokens.shape[1] == mask.shape[1]:
            more["attention_mask"] = mask
        if self._takes_positions:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            more["position_ids"] = positions[:, -tokens.shape[1] :]
        if self._keeps_logits:
            more["logits_to_keep"] = last
        output = self._body(input_ids=tokens, use_cache=True, **more)
        states = output.logits if self._head is None else output.last_hidden_state
        # A slice that is not contiguous is multiplied row by row, each time with all weights.
        states = states[:, -last:].reshape(-1, states.shape[-1]).contiguous()
        return NextScores(states, self._head, self._softcap)
