"""What a client sent, worked on in a process of its own, which can be killed midway and has so much memory.

A thread holds the interpreter, and with it all other clients, and cannot be ended where it does not look. The
server starts these processes through ``anyio``; what they do is ``_bodies``'.
"""

from __future__ import annotations

import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_process
from anyio import BrokenWorkerProcess
from pydantic import BaseModel

from llmner.errors import WorkLimitError
from llmner.projection import Budget
from llmner.schema import LabelSchema
from llmner.serving._bodies import Projected, checked, projected
from llmner.serving._refusals import RefusalError
from llmner.serving._schemas import ProjectRequest

__all__ = ["Apart", "ApartError", "Schemas", "check", "project"]

_M = TypeVar("_M", bound=BaseModel)
_T = TypeVar("_T")

_limited = False


class ApartError(Exception):
    """What nobody foresaw, in another process.

    Args:
        name: The exception's type.
        frames: Where it was, without its message, which may quote a text.
    """

    def __init__(self, name: str, frames: str) -> None:
        self.name = name
        self.frames = frames
        super().__init__(name, frames)


@dataclass(frozen=True, slots=True)
class Schemas:
    """Labels by the recipe that they are of, as they go to a process; and the default recipe."""

    packed: bytes
    default: str

    @classmethod
    def of(cls, schemas: Mapping[str, LabelSchema], default: str) -> Schemas:
        """Packed once for all requests."""
        return cls(pickle.dumps(dict(schemas)), default)


class Apart:
    """Processes, so many at a time; they are started when they are wanted, and wait for more afterwards.

    Args:
        processes: How many.
        memory: Bytes that the work in one may take beyond what the process has, where the system keeps such
            limits (Linux).
    """

    def __init__(self, processes: int, memory: int) -> None:
        self.memory = memory
        self._limiter = anyio.CapacityLimiter(processes)
        self._processes = anyio.CapacityLimiter(processes)

    async def do(self, work: Callable[..., _T], *arguments: object) -> _T:
        """``work(*arguments, memory)``, a function of this module; given up, its process is killed.

        Raises:
            RefusalError: What the work refuses; it needs too much memory, or the process died.
        """
        try:
            async with self._limiter:
                with anyio.CancelScope(shield=True):
                    # A process that is being started is not given up, but there for the next request.
                    await anyio.to_process.run_sync(partial(_limit, self.memory), limiter=self._processes)
                return await anyio.to_process.run_sync(
                    partial(work, *arguments, self.memory), cancellable=True, limiter=self._processes
                )
        except BrokenWorkerProcess:
            message = "the process that worked on this request has ended; send less at once, or try again"
            raise RefusalError(503, "worker_lost", message, retry_after=1) from None
        except MemoryError:
            # The work was done, and there was none left to send it.
            raise _too_much("memory") from None


def check(model: type[_M], body: bytes, memory: int) -> _M:
    """A long body, checked.

    Raises:
        RefusalError: As :func:`llmner.serving._bodies.checked` says.
    """
    return _guarded(lambda: checked(model, body), memory)


def project(body: bytes, schemas: Schemas, steps: int, memory: int) -> Projected:
    """A long projection, from its request to its answer.

    Raises:
        RefusalError: The request is wrong, or takes more than ``steps`` of work.
    """

    def work() -> Projected:
        asked = checked(ProjectRequest, body)
        try:
            return projected(asked, _unpacked(schemas.packed), schemas.default, Budget(steps))
        except WorkLimitError:
            # As many at the next time: it would be no use to come again.
            raise _too_much("work") from None

    return _guarded(work, memory)


# Those of the server, and no others: a client's labels come in its request.
@lru_cache(maxsize=2)
def _unpacked(schemas: bytes) -> Mapping[str, LabelSchema]:
    held: Mapping[str, LabelSchema] = pickle.loads(schemas)
    return held


def _guarded(work: Callable[[], _T], memory: int) -> _T:
    _limit(memory)
    try:
        return work()
    except RefusalError:
        raise
    except MemoryError:
        raise _too_much("memory") from None
    except Exception as error:
        # Exceptions come back without their places.
        frames = "".join(traceback.format_tb(error.__traceback__))
        raise ApartError(type(error).__name__, frames) from None


def _too_much(what: str) -> RefusalError:
    return RefusalError(
        422, "too_much", f"this request takes more {what} than the server gives one; send less at once"
    )


def _limit(memory: int) -> None:
    """Settle this process, the first time: its memory, and that a Ctrl-C is for the server to hear."""
    global _limited
    if _limited:
        return
    _limited = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import os
        import resource

        # The loop goes first where there are too few processors.
        os.nice(5)
        try:
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        except OSError:
            # Nothing is mounted there: then time is the only bound.
            return
        limit = pages * resource.getpagesize() + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
