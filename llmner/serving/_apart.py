"""What a client sent, worked on in a process of its own, which can be killed midway and has so much
memory.

A thread holds the interpreter, and with it all other clients, and cannot be ended where it does not
look. The server starts these processes through ``anyio``; what they do is ``_bodies``'.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_process
from anyio import BrokenWorkerProcess
from anyio.lowlevel import RunVar
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

# Seconds that a process has to start. It is tried so often, and so many seconds long: what anyio
# starts may not be given up in its first 20 seconds, or nobody ends it.
_STARTING = 30.0
_STARTS = 4
_AGAIN = 10.0
# anyio's own bound would come between finding a process and using it: another request could take
# it, and one be started that nobody kills. There are never more than Apart's bound lets in.
_UNBOUND: Any = nullcontext()

_limited = False


class _SpentError(SystemExit):
    """A process ran out of memory; anyio's processes send such an exception, and end."""


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
    """Processes, so many at a time; they are started when they are wanted, and wait for more
    afterwards.

    Args:
        processes: How many.
        memory: Bytes that the work in one may take beyond what the process has, where the system
            keeps such limits (Linux).
    """

    def __init__(self, processes: int, memory: int) -> None:
        self.processes = processes
        self.memory = memory
        # One for each event loop that it is used in, as processes are.
        self._limiters: RunVar[anyio.CapacityLimiter] = RunVar("limiter")

    async def do(self, work: Callable[..., _T], *arguments: object) -> _T:
        """``work(*arguments, memory)``, a function of this module; given up, its process is killed.

        Raises:
            RefusalError: What the work refuses; it needs too much memory, or the process died, or
                none could be started.
        """
        try:
            async with self._limiter():
                process = await self._started()
                try:
                    called = partial(work, *arguments, self.memory)
                    return await anyio.to_process.run_sync(
                        called, cancellable=True, limiter=_UNBOUND
                    )
                except MemoryError:
                    # There was none to read the request or to send the answer: half of either may
                    # be left.
                    _kill(process)
                    raise
        except BrokenWorkerProcess:
            message = (
                "the process that worked on this request has ended; send less at once, or try again"
            )
            raise RefusalError(503, "worker_lost", message, retry_after=1) from None
        except (_SpentError, MemoryError):
            raise _too_much("memory") from None

    def _limiter(self) -> anyio.CapacityLimiter:
        try:
            return self._limiters.get()
        except LookupError:
            self._limiters.set(anyio.CapacityLimiter(self.processes))
            return self._limiters.get()

    async def _started(self) -> int:
        """A process that the next work goes to; its number.

        Raises:
            RefusalError: None starts.
        """
        began = anyio.current_time()
        # One that is being started is not given up with its request, but there for the next.
        with anyio.CancelScope(shield=True, deadline=began + _STARTING):
            # Processes may have ended since they were last used, or be about to.
            for _ in range(_STARTS):
                settle = partial(_settled, self.memory)
                try:
                    return await anyio.to_process.run_sync(
                        settle, cancellable=True, limiter=_UNBOUND
                    )
                except BrokenWorkerProcess:
                    if anyio.current_time() > began + _AGAIN:
                        break
        message = "no process could be started for this request; try again"
        raise RefusalError(503, "worker_lost", message, retry_after=1)


def check(model: type[_M], body: bytes, memory: int) -> _M:
    """A long body, checked.

    Raises:
        RefusalError: As :func:`llmner.serving._bodies.checked` says.
    """
    return _guarded(lambda: checked(model, body), memory)


def project(body: bytes, schemas: Schemas, steps: int, answer: int, memory: int) -> Projected:
    """A long projection, from its request to its answer.

    Raises:
        RefusalError: The request is wrong, takes more than ``steps`` of work, or more than
            ``answer`` bytes to answer.
    """

    def work() -> Projected:
        asked = checked(ProjectRequest, body)
        try:
            return projected(
                asked, _unpacked(schemas.packed), schemas.default, Budget(steps), answer
            )
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
        raise _SpentError from None
    except Exception as error:
        # Exceptions come back without their places.
        frames = "".join(traceback.format_tb(error.__traceback__))
        raise ApartError(type(error).__name__, frames) from None
    except BaseException:
        # Rust's panic: in pydantic that is memory too, and who knows what it leaves behind.
        raise _SpentError from None


def _too_much(what: str) -> RefusalError:
    return RefusalError(
        422,
        "too_much",
        f"this request takes more {what} than the server gives one; send less at once",
    )


def _kill(process: int) -> None:
    with suppress(OSError):
        os.kill(process, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


def _settled(memory: int) -> int:
    """Which process this is; with its limits from here on."""
    _limit(memory)
    return os.getpid()


def _limit(memory: int) -> None:
    """Settle this process, the first time: its memory, and that signals to stop are the server's to
    hear.
    """
    global _limited
    if _limited:
        return
    _limited = True
    # Both may go to the whole group. What the server has begun it still answers, and ends this
    # process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # pydantic's Rust, which takes memory to tell where it had none, and then waits for ever.
    os.environ["RUST_BACKTRACE"] = "0"
    if sys.platform == "linux":
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
