"""Plain LoRA, added to the weights as PEFT would add it, without importing PEFT, which is slow."""

from __future__ import annotations

from typing import Any

from llmner.engines._model_files import read_object, read_tensors
from llmner.engines.adapters import ADAPTER_FILE, CONFIG_FILE, Adapter, lora_settings

__all__ = ["add_plain_lora", "is_plain_lora"]

# Settings that do not change what is added to the weights.
_HARMLESS = {
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "task_type",
}
# Settings of layers one by one, empty where there are none.
_BY_LAYER = {"rank_pattern", "alpha_pattern", "loftq_config"}
_PREFIX, _LEFT, _RIGHT = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def is_plain_lora(adapter: Adapter) -> bool:
    """Whether an adapter is two factors a layer and a scale. All others are left to PEFT."""
    settings = read_object(adapter.folder / CONFIG_FILE, "an adapter's configuration")
    rest = {name: value for name, value in settings.items() if name not in _HARMLESS}
    targets = rest.pop("target_modules", None)
    names = read_tensors(adapter.folder / ADAPTER_FILE)
    return (
        settings.get("peft_type") == "LORA"
        and rest.pop("bias", "none") == "none"
        and rest.pop("init_lora_weights", True) in (True, False)
        # What is set is something else than plain, also if it is not known here.
        and all(
            value is None or value is False or (value == {} and name in _BY_LAYER)
            for name, value in rest.items()
        )
        and isinstance(targets, list)
        and all(
            name.startswith(_PREFIX)
            and name.endswith((_LEFT, _RIGHT))
            and _is_target(_layer(name), targets)
            for name in names
        )
    )


def _layer(name: str) -> str:
    """The layer's name, from that of one of its factors."""
    return name.removeprefix(_PREFIX).rpartition(".lora_")[0]


def _is_target(layer: str, targets: list[str]) -> bool:
    return any(layer == target or layer.endswith(f".{target}") for target in targets)


def add_plain_lora(model: Any, adapter: Adapter) -> bool:
    """Add a plain adapter to a model's weights, in place.

    Returns:
        ``False`` if it does not fit the model; then nothing is changed.
    """
    import torch
    from safetensors.torch import load_file

    settings = lora_settings(adapter)
    scale, targets = settings.lora_alpha / settings.r, settings.target_modules
    # That is part of being plain.
    assert isinstance(targets, list)
    factors = load_file(adapter.folder / ADAPTER_FILE)
    layers = set(map(_layer, factors))
    modules = dict(model.named_modules())
    if any(
        isinstance(module, torch.nn.Linear) and name not in layers and _is_target(name, targets)
        for name, module in modules.items()
    ):
        return False
    pairs: list[tuple[Any, torch.Tensor, torch.Tensor]] = []
    for name in layers:
        layer: Any = modules.get(name)
        left, right = (factors.get(f"{_PREFIX}{name}{end}") for end in (_LEFT, _RIGHT))
        if (
            type(layer) is not torch.nn.Linear
            or left is None
            or right is None
            or (right.shape[0], left.shape[1]) != tuple(layer.weight.shape)
            or right.shape[1] != left.shape[0]
        ):
            return False
        pairs.append((layer, left, right))
    with torch.no_grad():
        for layer, left, right in pairs:
            layer.weight += (right.float() @ left.float()) * scale
    return True
