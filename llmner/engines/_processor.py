"""Which number type is fast on this processor, and how much memory this machine has.

A processor without instructions for bfloat16 converts every number to float32 and back, which takes
two to ten times as long as computing in float32.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["fits_in_float32", "machine_memory", "multiplies_bfloat16", "suit_processor"]


def multiplies_bfloat16() -> bool:
    """Whether PyTorch can use instructions for bfloat16 matrices on this processor.

    These are AMX and AVX-512 BF16 on x86, and BF16 on Arm. The answer depends only on the processor
    and on ``ONEDNN_MAX_CPU_ISA``, so it is the same in every run.
    """
    import torch

    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # Older versions of PyTorch do not say more.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("architecture") != "x86_64":
        return True
    # oneDNN also says yes if plain AVX-512 is there, which has to convert.
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def suit_processor(model: Any) -> None:
    """Convert a model to float32 if the processor lacks bfloat16 and there is enough memory."""
    if model.device.type == "cpu" and not multiplies_bfloat16() and fits_in_float32(model):
        model.float()


def fits_in_float32(model: Any) -> bool:
    """Whether a model's weights in float32 take no more than half of this machine's memory."""
    # A machine that does not say (Windows) is taken to hold a model of a billion parameters.
    memory = machine_memory() or 8 << 30
    return bool(4 * sum(weight.numel() for weight in model.parameters()) <= memory // 2)


def machine_memory() -> int | None:
    """Memory of this machine or container, in bytes; ``None`` if it is not known."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory
