"""Numbers too small to matter, taken for zero while a model computes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["denormals_flushed"]


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush denormal numbers to zero, and leave the thread as it was.

    They take a CPU five times as long as others, and a softmax is full of them. It is a mode of the
    processor that all arithmetic of a thread obeys, Python's own too: a caller's must not stay
    changed. Threads that torch starts meanwhile keep it.
    """
    import torch

    flushed = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
