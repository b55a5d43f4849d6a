"""The model that is trained: loaded, quantised, and checked to have adapters where it should.

PEFT does not complain if only some of the named modules exist; here that is an error, and the
layers with an adapter are counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmner.engines._processor import convert
from llmner.engines._quantization import four_bits
from llmner.engines.transformers_engine import load_model
from llmner.errors import InputError, MissingExtraError
from llmner.training._config import LoraOptions, ModelOptions

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "Coverage",
    "adapter_config",
    "check_coverage",
    "is_fsdp",
    "linear_names",
    "load_for_training",
]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of a model has an adapter.

    >>> print(Coverage(126, 126, (), 3_796_992, 271_895_168))
    adapter on 126 of 126 linear layers; 3,796,992 of 271,895,168 parameters are trained (1.40%)

    Attributes:
        modules: Linear layers with an adapter.
        linear: Linear layers of the model, without the output head.
        bare: Names (last part) of linear layers without an adapter.
        trained: Parameters that are trained.
        total: Parameters of the model and its adapter, as if no weight were quantised.
    """

    modules: int
    linear: int
    bare: tuple[str, ...]
    trained: int
    total: int

    @property
    def share(self) -> float:
        """The share of all parameters that is trained, 0 to 1."""
        return self.trained / self.total

    def __str__(self) -> str:
        rest = f"; without one: {', '.join(self.bare)}" if self.bare else ""
        return (
            f"adapter on {self.modules:,} of {self.linear:,} linear layers{rest}; "
            f"{self.trained:,} of {self.total:,} parameters are trained ({self.share:.2%})"
        )


def load_for_training(
    options: ModelOptions, report: Callable[[str], None] | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and its tokenizer, on this process's device, in 4 bits if the options say so.

    It computes in the number type of the options. By default that is bfloat16, or float32 on a CPU
    that is faster in it and has enough memory.

    Raises:
        MissingExtraError: A library of the ``train`` extra is not installed.
        GenerationError: The model cannot be loaded.
    """
    try:
        import torch
        from accelerate import PartialState
    except ImportError:
        raise MissingExtraError("train", "fine-tuning") from None
    settings: dict[str, Any] = {}
    if options.attention is not None:
        settings["attn_implementation"] = options.attention
    if torch.cuda.is_available() and not is_fsdp():
        # Each process has a whole model. "auto" would spread it over GPUs of other processes.
        settings["device_map"] = {"": PartialState().local_process_index}
    if options.quantization == "4bit":
        settings["quantization_config"] = four_bits()
    model, tokenizer = load_model(
        options.model,
        dtype=options.dtype,
        trust_remote_code=options.trust_remote_code,
        report=report,
        **settings,
    )
    # With FSDP the model is on the CPU too, until it is sharded.
    if options.quantization == "none" and not torch.cuda.is_available() and not is_fsdp():
        convert(model, options.dtype)
    model.config.use_cache = False
    return model, tokenizer


def is_fsdp() -> bool:
    """Whether ``accelerate launch`` shards the model over several processes."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")


def linear_names(model: Any) -> dict[str, str]:
    """The last part of the name of each linear layer, by full name; without the output head."""
    import torch

    head = model.get_output_embeddings()
    return {
        name: name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


def adapter_config(model: Any, options: LoraOptions) -> LoraConfig:
    """PEFT's configuration, after a check that every named target is in the model.

    Raises:
        InputError: A target matches nothing, or the model has no linear layer.
        MissingExtraError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError:
        raise MissingExtraError("train", "LoRA") from None
    names = sorted(set(linear_names(model).values()))
    if not names:
        raise InputError("the model has no linear layer that could get an adapter")
    targets = options.lora_targets
    if isinstance(targets, str) and targets != "all-linear":
        targets = [targets]
    if not isinstance(targets, str):
        missing = [target for target in targets if target not in names]
        if missing or not targets:
            shown = ", ".join(missing) or "an empty list"
            raise InputError(
                f"lora_targets: {shown} matches nothing in this model",
                hint=f'its linear layers are {", ".join(names)}; "all-linear" takes them all',
            )
    return LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def check_coverage(model: Any, options: LoraOptions) -> Coverage:
    """Count the layers with an adapter, and make sure that every target has one.

    Args:
        model: The PEFT model.
        options: The options of its adapter.

    Raises:
        InputError: A linear layer that should have an adapter has none.
    """
    base = model.get_base_model()
    adapted = {
        name.removesuffix(".base_layer")
        for name, module in base.named_modules()
        if name.endswith(".base_layer")
    }
    # PEFT wraps a layer: the layer itself is then named NAME.base_layer, and its factors are linear
    # layers too.
    linear = {
        name.removesuffix(".base_layer"): last if last != "base_layer" else name.split(".")[-2]
        for name, last in linear_names(base).items()
        if ".lora_" not in name
    }
    targets = options.lora_targets
    target_names = (
        None if targets == "all-linear" else {targets} if isinstance(targets, str) else set(targets)
    )
    bare = {name: last for name, last in linear.items() if name not in adapted}
    missing = sorted(
        name for name, last in bare.items() if target_names is None or last in target_names
    )
    if missing:
        raise InputError(
            f"{len(missing)} of {len(linear)} linear layers got no adapter, such as {missing[0]}",
            hint="the installed version of PEFT does not support this kind of layer",
        )
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return Coverage(
        modules=len(adapted & set(linear)),
        linear=len(linear),
        bare=tuple(sorted(set(bare.values()))),
        trained=trained,
        total=sum(_parameter_count(weight) for weight in model.parameters()),
    )


def _parameter_count(weight: Any) -> int:
    """How many parameters a weight has. In 4 bits, bitsandbytes packs several into one number."""
    state = getattr(weight, "quant_state", None)
    return int(state.shape.numel()) if state is not None else int(weight.numel())
