"""The loss on a CPU: logits only for the tokens that are learnt.

trl's trainer does this on CUDA, but computes the logits of every position elsewhere. With a
vocabulary of 262,144 and questions as long as their answers, that doubles the time of a step.
Nothing else of the trainer is changed.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from trl.trainer.utils import FusedCausalLMOutput

from llmner.engines._scores import is_plain_head, softcap_of

__all__ = ["AnswerLogProbs", "score_answers_only"]

_CHUNK = 512
"""Tokens whose logits are in memory at once: for 262,144 words, half a gigabyte in float32."""


class AnswerLogProbs(torch.autograd.Function):  # type: ignore[misc]
    """Log-probability, entropy and top-1 hit of target tokens, with gradients for hidden states.

    A token's log-probability depends only on its own hidden state. So the gradient is computed in
    the forward pass, chunk by chunk, while the logits are in memory, as in Liger's fused linear
    cross entropy. The head's weight must be frozen.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,  # (tokens, width)
        weight: torch.Tensor,  # (vocabulary, width)
        targets: torch.Tensor,  # (tokens,)
        softcap: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns three tensors of shape (tokens,): float32, float32, bool."""
        count = len(targets)
        log_probs = torch.empty(count, dtype=torch.float32)
        entropy = torch.empty(count, dtype=torch.float32)
        is_top1 = torch.empty(count, dtype=torch.bool)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            raw = (hidden[part].to(weight.dtype) @ weight.T).float()
            slope = None
            if softcap is not None:
                raw = softcap * torch.tanh(raw / softcap)
                slope = 1 - (raw / softcap) ** 2
            target = targets[part].unsqueeze(1)
            is_top1[part] = raw.gather(1, target).squeeze(1) >= raw.amax(dim=1)
            # Both are computed: on a CPU the exponential of the first would take twenty times as
            # long as a softmax.
            logs, probs = raw.log_softmax(dim=1), raw.softmax(dim=1)
            log_probs[part] = logs.gather(1, target).squeeze(1)
            entropy[part] = -(logs.mul_(probs)).sum(dim=1)
            if gradient is not None:
                # d log p(target) / d logits = onehot - p
                probs.neg_()
                probs.scatter_add_(1, target, torch.ones_like(target, dtype=probs.dtype))
                if slope is not None:
                    probs *= slope
                gradient[part] = (probs.to(weight.dtype) @ weight).to(hidden.dtype)
            # Free them before the next chunk's are computed.
            del raw, logs, probs
        if gradient is not None:
            ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(entropy, is_top1)
        return log_probs, entropy, is_top1

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        """The gradient of ``hidden``, of shape (tokens, width)."""
        (gradient,) = ctx.saved_tensors
        return (gradient * grads[0].unsqueeze(1)).to(gradient.dtype), None, None, None


def score_answers_only(model: Any) -> None:
    """Make ``model(..., labels=..., fused_lm_head=True)`` compute logits of learnt tokens only.

    A model is left as it is if its head is trained or has a bias, or if it scales its logits: trl
    computes the loss of these models.

    Args:
        model: The causal language model itself, not the PEFT wrapper.
    """
    head = model.get_output_embeddings()
    if not is_plain_head(model) or head.weight.requires_grad or head.bias is not None:
        return
    original = model.forward
    softcap = softcap_of(model)

    @functools.wraps(original)
    def forward(
        self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any
    ) -> Any:
        if not fused_lm_head or labels is None:
            if labels is not None:
                kwargs["labels"] = labels
            return original(*args, fused_lm_head=fused_lm_head, **kwargs)
        kwargs["use_cache"] = False
        kwargs.pop("num_items_in_batch", None)
        hidden = self.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        mask = labels[:, 1:] != -100
        log_probs, entropy, is_top1 = AnswerLogProbs.apply(
            hidden[mask], head.weight, labels[:, 1:][mask], softcap
        )
        by_position = [
            values.new_zeros(mask.shape).masked_scatter(mask, values)
            for values in (log_probs, entropy, is_top1)
        ]
        return FusedCausalLMOutput(
            loss=-log_probs.sum() / mask.sum().clamp(min=1),
            log_probs=by_position[0],
            entropy=by_position[1],
            is_top1=by_position[2],
            label_mask=mask,
        )

    model.forward = types.MethodType(forward, model)
