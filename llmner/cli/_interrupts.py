"""Ctrl-C in a training: it ends within a second, and says how to go on.

Python raises ``KeyboardInterrupt`` between two of its own instructions. The backward pass of a
large batch is one call into native code, which takes many seconds on a CPU. So a thread hears of
the signal, too, and ends the process if the training does not. Nothing is lost by that which a
``kill -9`` would not lose: checkpoints are complete or do not count.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from llmner._checkpoints import last_checkpoint
from llmner.cli._ending import INTERRUPTED, note

__all__ = ["prompt_interrupts"]

# How long the training may take to end by itself. The whole should feel immediate.
_GRACE_SECONDS = 0.3


@contextmanager
def prompt_interrupts(output: Path, kept: Callable[[], str] | None = None) -> Iterator[None]:
    """Make Ctrl-C end a block soon, whatever it is doing.

    Args:
        output: The folder of the training, which may hold checkpoints.
        kept: What to say instead of what checkpoints say.

    Raises:
        KeyboardInterrupt: It was interrupted; the message says how to go on.
    """
    said = kept or partial(_how_to_go_on, output)
    ended = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    try:
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    except ValueError:  # Not in the main thread, which alone hears of signals.
        before = None

    def end_if_it_does_not() -> None:
        while number := reader.recv(1):
            if number[0] == signal.SIGINT and not ended.wait(_GRACE_SECONDS):
                note(said())
                for stream in (sys.stdout, sys.stderr):
                    with suppress(OSError, ValueError, AttributeError):
                        stream.flush()
                os._exit(INTERRUPTED)

    thread = threading.Thread(target=end_if_it_does_not, daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(said()) from None
    finally:
        ended.set()
        if before is not None:
            signal.set_wakeup_fd(before)
        writer.close()
        thread.join()
        reader.close()


def _how_to_go_on(output: Path) -> str:
    folders = [
        output / "checkpoints",
        *output.glob("*/checkpoints"),
        *output.glob("*/*/checkpoints"),
    ]
    kept = [path for folder in folders if (path := last_checkpoint(folder)) is not None]
    if not kept:
        return "interrupted before anything was kept; the same command starts anew"
    newest = max(kept, key=lambda path: path.stat().st_mtime)
    step = newest.name.removeprefix("checkpoint-")
    return f"interrupted; step {step} is kept in {newest}, and the same command goes on from there"
