"""What work costs, measured so that a busy machine and a full memory count for little."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

__all__ = ["seconds"]


def seconds(run: Callable[[], object], times: int = 3) -> float:
    """The least processor time, in seconds, that ``run`` took of this thread.

    Garbage is not collected meanwhile: a look through what all tests before have left can take
    longer than what is measured.

    Args:
        run: What is measured.
        times: How often.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        taken = []
        for _ in range(times):
            started = time.thread_time()
            run()
            taken.append(time.thread_time() - started)
    finally:
        if collecting:
            gc.enable()
    return min(taken)
