"""Worker processes for long requests: they have limited memory, and can be killed midway.

A thread would hold the interpreter lock, which delays all other clients, and it cannot be stopped
from outside. ``anyio`` starts the processes; what they run is in ``_bodies``.
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
from llmner.serving._bodies import ProjectionResult, project_request, validate
from llmner.serving._refusals import RefusalError
from llmner.serving._schemas import ProjectRequest

__all__ = ["PackedSchemas", "WorkerError", "WorkerPool", "parse", "project"]

_M = TypeVar("_M", bound=BaseModel)
_T = TypeVar("_T")

# Seconds that all attempts to start a process have together. anyio must not be cancelled in the
# first 20 seconds of a start, or it leaves the process behind.
_START_SECONDS = 30.0
# Most attempts, and seconds after which there is no further one.
_START_ATTEMPTS = 4
_LAST_ATTEMPT_SECONDS = 10.0
# anyio's own limiter would wait between finding an idle process and using it. Meanwhile another
# request could take that process, and a new one be started that nobody kills. WorkerPool's limiter
# already bounds the number of processes.
_NO_LIMITER: Any = nullcontext()

_limited = False


class _OutOfMemoryError(SystemExit):
    """A process ran out of memory. anyio's processes send such an exception back, and end."""


class WorkerError(Exception):
    """An unexpected error in a worker process.

    Args:
        name: The type of the original exception.
        frames: Its traceback without the message, which may quote a text.
    """

    def __init__(self, name: str, frames: str) -> None:
        self.name = name
        self.frames = frames
        super().__init__(name, frames)


@dataclass(frozen=True, slots=True)
class PackedSchemas:
    """The labels of all recipes, pickled once for all requests.

    Attributes:
        packed: A pickled mapping of recipe names to label schemas.
        default: Name of the default recipe.
    """

    packed: bytes
    default: str

    @classmethod
    def of(cls, schemas: Mapping[str, LabelSchema], default: str) -> PackedSchemas:
        """Pickle label schemas."""
        return cls(pickle.dumps(dict(schemas)), default)


class WorkerPool:
    """Runs functions in processes. These start when they are needed, and are used again.

    Args:
        processes: Most processes that work at the same time.
        memory: Bytes that a process may use beyond what it has at its start. Only Linux enforces
            this.
    """

    def __init__(self, processes: int, memory: int) -> None:
        self.processes = processes
        self.memory = memory
        # One limiter for each event loop, since anyio's processes belong to a loop too.
        self._limiters: RunVar[anyio.CapacityLimiter] = RunVar("limiter")

    async def run(self, work: Callable[..., _T], *arguments: object) -> _T:
        """Run ``work(*arguments, memory)`` in a process, which is killed if this is cancelled.

        Args:
            work: A function of a module, which pickle can name.
            *arguments: What it is called with, before the pool's limit of memory.

        Raises:
            RefusalError: The work raised it, it needs too much memory, the process died, or none
                could be started.
        """
        try:
            async with self._limiter():
                process = await self._start()
                try:
                    call = partial(work, *arguments, self.memory)
                    return await anyio.to_process.run_sync(
                        call, cancellable=True, limiter=_NO_LIMITER
                    )
                except MemoryError:
                    # The process could not read its request or send its answer. Half a message may
                    # be left in the pipe, so the process cannot be used again.
                    _kill(process)
                    raise
        except BrokenWorkerProcess:
            message = "the process for this request ended early; send less at once, or try again"
            raise RefusalError(503, "worker_lost", message, retry_after=1) from None
        except (_OutOfMemoryError, MemoryError):
            raise _too_much("memory") from None

    def _limiter(self) -> anyio.CapacityLimiter:
        try:
            return self._limiters.get()
        except LookupError:
            self._limiters.set(anyio.CapacityLimiter(self.processes))
            return self._limiters.get()

    async def _start(self) -> int:
        """Make sure that there is an idle process, which anyio will use next.

        Returns:
            Its process ID.

        Raises:
            RefusalError: None starts.
        """
        began = anyio.current_time()
        # Shielded: a process that is being started is kept for the next request, even if this one
        # is cancelled.
        with anyio.CancelScope(shield=True, deadline=began + _START_SECONDS):
            # An idle process may have died since it was last used, or be about to.
            for _ in range(_START_ATTEMPTS):
                prepare = partial(_prepare_process, self.memory)
                try:
                    return await anyio.to_process.run_sync(
                        prepare, cancellable=True, limiter=_NO_LIMITER
                    )
                except BrokenWorkerProcess:
                    if anyio.current_time() > began + _LAST_ATTEMPT_SECONDS:
                        break
        message = "no process could be started for this request; try again"
        raise RefusalError(503, "worker_lost", message, retry_after=1)


def parse(model: type[_M], body: bytes, memory: int) -> _M:
    """Parse and validate a long body; runs in a worker process.

    Raises:
        RefusalError: As :func:`llmner.serving._bodies.validate` says.
    """
    return _guarded(lambda: validate(model, body), memory)


def project(
    body: bytes, schemas: PackedSchemas, steps: int, limit: int, memory: int
) -> ProjectionResult:
    """Answer a long projection; runs in a worker process.

    Args:
        body: The request, JSON.
        schemas: The labels of the server's recipes.
        steps: Steps that the projection may take.
        limit: Largest answer, in bytes.
        memory: Bytes that the process may use.

    Raises:
        RefusalError: The request is wrong, takes more steps, or has a longer answer.
    """

    def work() -> ProjectionResult:
        request = validate(ProjectRequest, body)
        try:
            return project_request(
                request, _unpacked(schemas.packed), schemas.default, Budget(steps), limit
            )
        except WorkLimitError:
            # It would take as many steps the next time, so the client is not told to try again.
            raise _too_much("work") from None

    return _guarded(work, memory)


# Only the server's own labels are cached. A client's labels come in its request.
@lru_cache(maxsize=2)
def _unpacked(packed: bytes) -> Mapping[str, LabelSchema]:
    schemas: Mapping[str, LabelSchema] = pickle.loads(packed)
    return schemas


def _guarded(work: Callable[[], _T], memory: int) -> _T:
    """Run in this process, with limited memory and with errors that can be sent back.

    Raises:
        RefusalError: The work raised it.
        WorkerError: The work raised any other error.
        _OutOfMemoryError: The work ran out of memory.
    """
    _limit_process(memory)
    try:
        return work()
    except RefusalError:
        raise
    except MemoryError:
        raise _OutOfMemoryError from None
    except Exception as error:
        # A pickled exception loses its traceback, so that is sent as text.
        frames = "".join(traceback.format_tb(error.__traceback__))
        raise WorkerError(type(error).__name__, frames) from None
    except BaseException:
        # A panic of Rust code. In pydantic that is a lack of memory too, and the process may be
        # left in any state.
        raise _OutOfMemoryError from None


def _too_much(resource: str) -> RefusalError:
    return RefusalError(
        422,
        "too_much",
        f"this request needs more {resource} than one request may use; send less at once",
    )


def _kill(process: int) -> None:
    with suppress(OSError):
        os.kill(process, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


def _prepare_process(memory: int) -> int:
    """Limit this process, and return its ID."""
    _limit_process(memory)
    return os.getpid()


def _limit_process(memory: int) -> None:
    """Limit this process's memory, and make it ignore signals to stop; only the first time."""
    global _limited
    if _limited:
        return
    _limited = True
    # Both signals may go to the whole process group. The server finishes what it has begun, and
    # then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # For pydantic's Rust code: out of memory, it would allocate more for a backtrace and hang.
    os.environ["RUST_BACKTRACE"] = "0"
    if sys.platform == "linux":
        import resource

        # The event loop comes first where there are too few processors.
        os.nice(5)
        try:
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        except OSError:
            # /proc is not mounted. Then time is the only limit.
            return
        limit = pages * resource.getpagesize() + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
