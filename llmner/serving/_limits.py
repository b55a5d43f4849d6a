"""How much work a server takes on, and the queue that enforces it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from llmner.serving._metrics import Metrics
from llmner.serving._refusals import RefusalError

__all__ = ["Gate", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much work a server takes on.

    >>> Limits(queue=8, timeout=30).batch_size
    16

    Attributes:
        queue: Requests in progress or waiting at the same time. Further ones get a 503. Long
            projections have a queue of their own, of the same length.
        timeout: Seconds that a request may take. For a streamed answer: seconds for each text. It
            also bounds the work of a long projection, to a million steps for each second.
        body: Largest request body, in bytes.
        answer: Largest answer that is not streamed, in bytes.
        memory: Memory that one long request may use while it is read and projected, in bytes.
        batch_size: Most questions that the engine is asked in one batch.
        batch_wait: Seconds that a question waits for others to join its batch.
        lanes: Batches that the engine answers at the same time. Use 1 for a model in this process.
    """

    queue: int = 64
    timeout: float = 60.0
    body: int = 4 << 20
    answer: int = 64 << 20
    memory: int = 1 << 30
    batch_size: int = 16
    batch_wait: float = 0.01
    lanes: int = 1


class Gate:
    """Counts requests and refuses those that do not fit.

    It also knows how long requests usually stay, which is what a refused client is told to wait.

    Args:
        room: Most requests inside at the same time.
        metrics: Counts the refused requests.
    """

    def __init__(self, room: int, metrics: Metrics) -> None:
        self.room = room
        self.inside = 0
        self._metrics = metrics
        # Moving average of the seconds that a request stays.
        self._seconds = 1.0
        self._lock = threading.Lock()

    def enter(self) -> Callable[[], None]:
        """Take a place.

        Returns:
            A function that gives the place back. Any thread may call it; further calls do nothing.

        Raises:
            RefusalError: There is no free place.
        """
        with self._lock:
            if self.inside >= self.room:
                self._metrics.refused.inc()
                message = f"the queue of {self.room} requests is full; try again in a moment"
                raise RefusalError(503, "busy", message, retry_after=min(self._seconds, 30.0))
            self.inside += 1
        started = time.monotonic()
        inside = True

        def leave() -> None:
            nonlocal inside
            with self._lock:
                if inside:
                    inside = False
                    self.inside -= 1
                    self._seconds += 0.1 * (time.monotonic() - started - self._seconds)

        return leave
