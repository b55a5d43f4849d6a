"""The loss on a CPU: logits for the tokens that are learnt, and for no others.

trl's trainer does this on CUDA and scores every position elsewhere; with a vocabulary of 262,144
and a question as long as its answer that doubles a step. Nothing else of the trainer is changed.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from trl.trainer.utils import FusedCausalLMOutput

__all__ = ["AnswerLogProbs", "score_answers_only"]

_CHUNK = 512
"""Tokens whose logits exist at once: at 262,144 words half a gigabyte in float32."""

_SCALES = ("logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier")
"""Settings of models that scale their logits; these are left to trl."""


class AnswerLogProbs(torch.autograd.Function):  # type: ignore[misc]
    """Log-probability, entropy and top-1 hit of target tokens; gradients reach the hidden states
    alone.

    A token's log-probability depends on its own hidden state only, so the gradient is worked out in
    the forward pass, chunk by chunk, while the logits are there (Liger's fused linear cross entropy
    does the same). The head's weight is taken to be frozen.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,  # (tokens, width)
        weight: torch.Tensor,  # (vocabulary, width)
        targets: torch.Tensor,  # (tokens,)
        softcap: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Gives three tensors of shape (tokens,): float32, float32, bool."""
        count = len(targets)
        log_probs = torch.empty(count, dtype=torch.float32)
        entropy = torch.empty(count, dtype=torch.float32)
        is_top1 = torch.empty(count, dtype=torch.bool)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for at in range(0, count, _CHUNK):
            part = slice(at, at + _CHUNK)
            raw = (hidden[part].to(weight.dtype) @ weight.T).float()
            slope = None
            if softcap is not None:
                raw = softcap * torch.tanh(raw / softcap)
                slope = 1 - (raw / softcap) ** 2
            wanted = targets[part].unsqueeze(1)
            is_top1[part] = raw.gather(1, wanted).squeeze(1) >= raw.amax(dim=1)
            # Both once, and not one from the other: on a CPU a plain exp takes twenty times a
            # softmax.
            logs, probs = raw.log_softmax(dim=1), raw.softmax(dim=1)
            log_probs[part] = logs.gather(1, wanted).squeeze(1)
            entropy[part] = -(logs.mul_(probs)).sum(dim=1)
            if gradient is not None:
                # d log p(target) / d logits = onehot - p
                probs.neg_()
                probs.scatter_add_(1, wanted, torch.ones_like(wanted, dtype=probs.dtype))
                if slope is not None:
                    probs *= slope
                gradient[part] = (probs.to(weight.dtype) @ weight).to(hidden.dtype)
            # Else the next chunk's are made while these are still there.
            del raw, logs, probs
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(entropy, is_top1)
        return log_probs, entropy, is_top1

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        """The gradient for ``hidden``; (tokens, width)."""
        (gradient,) = ctx.saved_tensors
        return (gradient * grads[0].unsqueeze(1)).to(gradient.dtype), None, None, None


def score_answers_only(model: Any) -> None:
    """Let ``model(..., labels=..., fused_lm_head=True)`` project only positions that are learnt.

    Args:
        model: The bare causal language model (not the PEFT wrapper), its head frozen and without a
            bias.
    """
    head = model.get_output_embeddings()
    config = model.config.get_text_config()
    if (
        head.weight.requires_grad
        or head.bias is not None
        or any(getattr(config, key, None) for key in _SCALES)
    ):
        return
    before = model.forward
    softcap = getattr(config, "final_logit_softcapping", None)

    @functools.wraps(before)
    def forward(
        self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any
    ) -> Any:
        if not fused_lm_head or labels is None:
            if labels is not None:
                kwargs["labels"] = labels
            return before(*args, fused_lm_head=fused_lm_head, **kwargs)
        kwargs["use_cache"] = False
        kwargs.pop("num_items_in_batch", None)
        hidden = self.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        mask = labels[:, 1:] != -100
        log_probs, entropy, is_top1 = AnswerLogProbs.apply(
            hidden[mask], head.weight, labels[:, 1:][mask], softcap
        )
        spread = [
            part.new_zeros(mask.shape).masked_scatter(mask, part)
            for part in (log_probs, entropy, is_top1)
        ]
        return FusedCausalLMOutput(
            loss=-log_probs.sum() / mask.sum().clamp(min=1),
            log_probs=spread[0],
            entropy=spread[1],
            is_top1=spread[2],
            label_mask=mask,
        )

    model.forward = types.MethodType(forward, model)
