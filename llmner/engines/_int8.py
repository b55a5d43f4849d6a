"""Linear layers whose numbers are whole numbers from -127 to 127.

A processor multiplies such numbers several times as fast as float32, and reads a quarter of the
memory. Each output has one scale for its weights, each token one for its inputs, so a token is
rounded alike in every batch.

A scale fits numbers of like size. Inputs are of very different sizes, so the few largest stay in
float32, as in LLM.int8() (https://arxiv.org/abs/2208.07339). The others are brought closer
together, as in SmoothQuant (https://arxiv.org/abs/2211.10438): what an input is divided by, its
weights are multiplied by. How large inputs are is seen on a few sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from llmner.engines._denormals import denormals_flushed

__all__ = ["Int8Linear", "linear_layers", "quantise"]

_SENTENCES = (
    "지난 5월 19일 서울 여의도에서 열린 토론회에는 김민수 교수 등 300여 명이 참석했다.",
    "배송은 이틀 걸렸는데 포장이 꼼꼼하고, 가격도 4만 9,900원이라 만족해요 ㅎㅎ",
    '"The river rose 2.5 metres overnight," Anna Keller of the Basel water office said on Monday.',
    '{"PS": ["이순신"], "LC": ["한산도"], "DT": ["1592년 8월"]}\n한산도\tLC\n- 거북선 → 배 #1',
)
"""What inputs are measured on: news, a review, English, and the signs of answers."""

_INPUTS = 127
_WEIGHTS = 96
"""The largest whole numbers. Without VNNI, a processor adds two products in 16 bits. With larger
weights, sums would often not fit; up to these, that is rare."""

_GROUP = 512
"""Inputs that share a scale, at least. One large input makes the others of its group less exact."""

_EXACT = 32
"""One input in so many stays in float32: those that can be largest."""

_ROWS = 512
"""Tokens multiplied together. The numbers of more do not fit into the processor's cache."""

_LEAST = 0.1
"""Inputs that were small in all sentences may be larger in the next: so large, as a share of the
mean."""


class Int8Linear(torch.nn.Module):  # type: ignore[misc]
    """A linear layer in int8. Its inputs and outputs are float32.

    Args:
        linear: The layer that it stands for.
        sizes: (inputs,), the largest size that each input has; ``None`` if it is not known.
    """

    def __init__(self, linear: torch.nn.Linear, sizes: torch.Tensor | None = None) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        exact = torch.empty(0, dtype=torch.long)
        factors = torch.ones(self.in_features)
        if sizes is not None:
            exact = sizes.topk(self.in_features // _EXACT).indices
            factors = _factors(weight, sizes)
        divisors = factors.reciprocal()
        rounded = weight * factors
        # For whole numbers, these inputs and their weights are 0.
        divisors[exact], rounded[:, exact] = 0, 0
        # (groups, outputs, inputs of a group)
        grouped = rounded.unflatten(1, (_groups(self.in_features), -1)).transpose(0, 1)
        scale = _largest(grouped) / _WEIGHTS
        # A parameter, though it is not trained, so that it is counted as one.
        self.weight = torch.nn.Parameter(
            (grouped / scale).round_().to(torch.int8).contiguous(), requires_grad=False
        )
        self.register_buffer("exact", exact)
        self.register_buffer("exact_weight", weight[:, exact])
        self.register_buffer("scale", scale[..., 0].contiguous())
        self.register_buffer("divisors", divisors)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.register_buffer("bias", bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs)."""
        rows = inputs.reshape(-1, self.in_features)
        exact = rows.index_select(1, self.exact)
        outputs = torch.nn.functional.linear(exact, self.exact_weight, self.bias)
        for some, theirs in zip(rows.split(_ROWS), outputs.split(_ROWS), strict=True):
            self._add_rounded(some, theirs)
        return outputs.view(*inputs.shape[:-1], self.out_features)

    def _add_rounded(self, rows: torch.Tensor, outputs: torch.Tensor) -> None:
        """Add to the outputs of some rows what the inputs give that are rounded."""
        grouped = (rows * self.divisors).unflatten(1, (len(self.weight), -1))
        steps = _largest(grouped) / _INPUTS
        whole = grouped.div_(steps).round_().to(torch.int8)
        for number, (weight, scale) in enumerate(zip(self.weight, self.scale, strict=True)):
            products = torch._int_mm(whole[:, number], weight.t())
            outputs.addcmul_(products * scale, steps[:, number])


def _groups(inputs: int) -> int:
    """How many groups inputs are in: the most of at least so many, all of one size."""
    return next(count for count in range(max(1, inputs // _GROUP), 0, -1) if inputs % count == 0)


def _largest(rows: torch.Tensor) -> torch.Tensor:
    """(..., 1), the largest size in each row; a little more than 0 if it is 0."""
    return rows.abs().amax(-1, keepdim=True).clamp_(min=1e-12)


def _factors(weight: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """What weights are multiplied and inputs divided by, so that both vary less: (inputs,)."""
    inputs = sizes.clamp(min=_LEAST * float(sizes.mean())).clamp(min=1e-12)
    weights = weight.abs().amax(0)
    weights = weights.clamp(min=_LEAST * float(weights.mean())).clamp(min=1e-12)
    return (inputs / weights).sqrt()


def linear_layers(model: Any) -> Iterator[tuple[torch.nn.Module, str, torch.nn.Linear]]:
    """The plain linear layers of a model but its output head, as (parent, name, layer)."""
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is torch.nn.Linear and layer is not head:
                yield parent, name, layer


def quantise(model: Any, tokenizer: Any) -> None:
    """Replace a model's linear layers by layers in int8, in place; all else becomes float32.

    The head and the embeddings are not replaced: mostly a few of their rows are read.

    Args:
        model: A causal language model on the CPU.
        tokenizer: Its tokenizer.
    """
    sizes = _input_sizes(model, tokenizer)
    for parent, name, layer in linear_layers(model):
        setattr(parent, name, Int8Linear(layer, sizes.get(layer)))
    model.float()


def _input_sizes(model: Any, tokenizer: Any) -> dict[torch.nn.Module, torch.Tensor]:
    """The largest size of each input of each linear layer that a few sentences reach."""
    sizes: dict[torch.nn.Module, torch.Tensor] = {}

    def seen(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        largest = inputs[0].reshape(-1, inputs[0].shape[-1]).abs().amax(0).float()
        before = sizes.get(layer)
        sizes[layer] = largest if before is None else torch.maximum(before, largest)

    hooks = [layer.register_forward_pre_hook(seen) for _, _, layer in linear_layers(model)]
    try:
        with torch.inference_mode(), denormals_flushed():
            for sentence in _SENTENCES:
                tokens = tokenizer(sentence)["input_ids"]
                if tokens:
                    model.base_model(input_ids=torch.tensor([tokens]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: largest.clone() for layer, largest in sizes.items()}
