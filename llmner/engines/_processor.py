"""What the processor computes fast: which type of number a model on a CPU should have.

A processor without instructions for bfloat16 converts every number to float32 and back, which takes
it two to ten times as long as float32 itself.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["fits_in_float32", "multiplies_bfloat16", "suit_processor"]


def multiplies_bfloat16() -> bool:
    """Whether this processor, as PyTorch uses it, has instructions that multiply matrices of
    bfloat16.

    These are AMX and AVX-512 BF16 on x86, and BF16 on Arm. Looks at nothing but what the processor
    says of itself and what ``ONEDNN_MAX_CPU_ISA`` leaves of it, so the answer is the same in every
    run.
    """
    import torch

    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # Older versions of PyTorch do not tell; they go on as they did.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("architecture") != "x86_64":
        return True
    # oneDNN also says yes to an AVX-512 that has to convert.
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def suit_processor(model: Any) -> None:
    """Turn a model to float32 that computes on a processor without bfloat16, if it fits in memory
    so.
    """
    if model.device.type == "cpu" and not multiplies_bfloat16() and fits_in_float32(model):
        model.float()


def fits_in_float32(model: Any) -> bool:
    """Whether a model's weights in float32 take no more than half of this machine's memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        # Windows does not tell; a model of a billion parameters fits anywhere.
        memory = 8 << 30
    return bool(4 * sum(weight.numel() for weight in model.parameters()) <= memory // 2)
