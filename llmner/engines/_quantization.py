"""Weights in 4 bits, with bitsandbytes."""

from __future__ import annotations

from typing import Any

from llmner.errors import InputError, MissingExtraError

__all__ = ["QUANTIZATIONS", "check_quantization", "four_bits"]

QUANTIZATIONS = ("none", "nf4")
"""How a model's weights may be quantised while it is loaded."""


def check_quantization(name: str, dtype: str) -> None:
    """Make sure that a quantisation exists and goes with a number type.

    Raises:
        InputError: It does not.
    """
    if name not in QUANTIZATIONS:
        raise InputError(
            f"quantization {name!r} is unknown", hint=f"use {' or '.join(QUANTIZATIONS)}"
        )
    if name != "none" and dtype not in ("auto", "bfloat16"):
        raise InputError(
            f"a model in {name} computes in bfloat16, not in {dtype}", hint="leave dtype out"
        )


def four_bits() -> Any:
    """bitsandbytes' configuration: nf4, double quantisation, compute in bfloat16."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MissingExtraError("train", "a model in 4 bits") from None
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        # Stored as bfloat16, so that FSDP can shard quantised weights like the others.
        bnb_4bit_quant_storage=torch.bfloat16,
    )
