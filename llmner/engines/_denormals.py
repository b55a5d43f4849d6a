"""Treat denormal numbers, which are nearly zero, as zero while a model computes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["denormals_flushed"]


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush denormal numbers to zero, and restore the thread's mode afterwards.

    A CPU takes five times as long for them as for other numbers, and a softmax has many. The mode
    applies to all arithmetic of the thread, also Python's, so a caller must get it back unchanged.
    Threads that torch starts meanwhile keep it.
    """
    import torch

    flushed = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
