"""Language models with matrices of eight bits, as vLLM and transformers read them.

The format is that of compressed-tensors (``int-quantized``): beside each matrix there is a step for
each of its rows, and activations are turned into eight bits as they come.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmner.errors import InputError
from llmner.files import dump_json

__all__ = ["save_int8"]

_EIGHT_BITS = {"num_bits": 8, "type": "int", "symmetric": True}
_LEFT = ["lm_head"]


def save_int8(model: Any, tokenizer: Any, folder: Path) -> float:
    """Write a language model and its tokenizer into an existing folder.

    Args:
        model: A causal language model of transformers. It is left as it is.
        tokenizer: Its tokenizer.
        folder: The folder.

    Returns:
        How far the matrices are from the original ones: the root of the mean square of the
        differences, by that of the values.

    Raises:
        InputError: The model has no linear layers.
    """
    import torch
    from torch import nn

    state = dict(model.state_dict())
    error = total = 0.0
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear) or name in _LEFT:
            continue
        weights = layer.weight.detach().float()
        step = weights.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        # What is read is the step in the type of the model, so that is what values are divided by.
        step = step.to(layer.weight.dtype)
        whole = (weights / step.float()).round().clamp(-127, 127)
        error += float((whole * step.float() - weights).square().sum())
        total += float(weights.square().sum())
        state[f"{name}.weight"] = whole.to(torch.int8)
        state[f"{name}.weight_scale"] = step
    if not total:
        raise InputError("this model has no linear layers that could be turned into int8")
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {**_EIGHT_BITS, "strategy": "channel", "dynamic": False},
                "input_activations": {**_EIGHT_BITS, "strategy": "token", "dynamic": True},
            }
        },
        "ignore": _LEFT,
    }
    path.write_bytes(dump_json(config, indent=2) + b"\n")
    return float((error / total) ** 0.5)
