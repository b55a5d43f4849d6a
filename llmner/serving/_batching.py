"""Questions of many requests to one engine: gathered into batches, in the order they came.

Threads only, no HTTP: a request asks through a :class:`Turn`, which is an engine to it. What is
asked is ``extraction``'s; who may ask is ``_service``'s.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from llmner.engines import Engine, Generator, Reply
from llmner.engines._types import as_engine
from llmner.errors import GenerationError
from llmner.recipes.chat import Prompt
from llmner.serving._refusals import unanswered

__all__ = ["Batcher", "Turn"]


@dataclass(slots=True, eq=False)
class _Waiting:
    """One question that waits for its batch."""

    prompt: Prompt
    came: float
    answer: Future[Reply] = field(default_factory=Future)


class Batcher:
    """Gathers questions into batches and has an engine answer them.

    A batch is asked when it is full, or when its first question has waited long enough; what comes
    while the engine is busy makes the next batch. A question that an engine refuses for good spoils
    no other: its batch is asked again, one by one.

    Args:
        generator: Answers them.
        size: Questions in a batch at most.
        wait: Seconds that a question waits for others at most.
        lanes: Batches that are answered at once, each in a thread: 1 for a model in this process,
            more for an endpoint.
        on_batch: Told of each batch's size, and of the seconds it took.
        on_trouble: Told of what an engine raises, from its thread: whoever asked may have gone.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        size: int = 16,
        wait: float = 0.005,
        lanes: int = 1,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
        on_trouble: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.generator = generator
        self._size = size
        self._wait = wait
        self._on_batch = on_batch
        self._on_trouble = on_trouble
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"llmner-batches-{lane}", daemon=True)
            for lane in range(lanes)
        ]

    def __len__(self) -> int:
        """Questions that wait."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def close(self, seconds: float | None = None) -> None:
        """Answer what waits, and end.

        Args:
            seconds: How long to wait for that at most.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(None if until is None else max(0.0, until - time.monotonic()))

    def submit(self, prompts: Sequence[Prompt]) -> list[Future[Reply]]:
        """Queue questions; their answers are futures, which hold the engine's error where there is
        none.

        Raises:
            GenerationError: It was closed.
        """
        now = time.monotonic()
        waiting = [_Waiting(prompt, now) for prompt in prompts]
        with self._changed:
            if self._closed:
                raise GenerationError("the server is shutting down", retryable=True)
            self._waiting.extend(waiting)
            self._changed.notify_all()
        return [each.answer for each in waiting]

    def withdraw(self, answers: Sequence[Future[Reply]]) -> None:
        """Take back questions whose answers nobody waits for any more; those on their way are let
        go.

        Whoever waits for them all the same is told that they were cancelled.
        """
        for answer in answers:
            answer.cancel()
        with self._changed:
            self._waiting = deque(each for each in self._waiting if not each.answer.cancelled())

    def _work(self) -> None:
        while batch := self._next():
            started = time.monotonic()
            self._answer(batch)
            self._on_batch(len(batch), time.monotonic() - started)

    def _next(self) -> list[_Waiting]:
        """The next batch; none when it was closed and nothing waits."""
        with self._changed:
            while True:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                while (
                    self._waiting
                    and len(self._waiting) < self._size
                    and not self._closed
                    and (left := self._waiting[0].came + self._wait - time.monotonic()) > 0
                ):
                    self._changed.wait(left)
                batch: list[_Waiting] = []
                while self._waiting and len(batch) < self._size:
                    first = self._waiting.popleft()
                    # They never run, as far as futures know: so they can be cancelled until they
                    # are answered.
                    if not first.answer.cancelled():
                        batch.append(first)
                # Another lane may have taken everything, or its asker all back.
                if batch or (self._closed and not self._waiting):
                    return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            replies = self.generator.generate([each.prompt for each in batch])
            answered = list(zip(batch, replies, strict=True))
        except Exception as error:
            if len(batch) > 1 and isinstance(error, GenerationError) and not error.retryable:
                for each in batch:
                    self._answer([each])
                return
            # Whoever asked is told; the thread must go on for the others.
            for each in batch:
                with suppress(InvalidStateError):
                    each.answer.set_exception(error)
            self._on_trouble(error)
        else:
            for each, reply in answered:
                with suppress(InvalidStateError):
                    each.answer.set_result(reply)


class Turn(Engine):
    """An engine as one request sees it: it can be given up from another thread.

    The batcher asks each question alone where some fail; what still fails is for the server to
    tell.

    Args:
        batcher: Where it asks.
        on_unanswered: Told what the engine says of a text that it has no answer to, and what the
            client hears.
    """

    def __init__(
        self,
        batcher: Batcher,
        *,
        on_unanswered: Callable[[str, str], None] = lambda error, told: None,
    ) -> None:
        self._engine = as_engine(batcher.generator)
        self.capabilities = replace(self._engine.capabilities, isolates=True)
        self._batcher = batcher
        self._on_unanswered = on_unanswered
        self._lock = threading.Lock()
        self._asked: list[Future[Reply]] = []
        self._over = False

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer the prompts, together with those of others.

        Raises:
            GenerationError: The engine could not answer.
            concurrent.futures.CancelledError: The turn is over.
        """
        with self._lock:
            if self._over:
                raise CancelledError
            self._asked = self._batcher.submit(prompts)
        try:
            return [self._told(answer.result()) for answer in self._asked]
        except BaseException:
            self._batcher.withdraw(self._asked)
            raise

    def _told(self, reply: Reply) -> Reply:
        """A reply as it goes to a client: what an endpoint says stays here."""
        if reply.error is None:
            return reply
        told = unanswered(reply.error, retryable=reply.retryable)
        self._on_unanswered(reply.error, told)
        return replace(reply, error=told)

    def describe(self) -> dict[str, Any]:
        """That of the engine."""
        return self._engine.describe()

    def fits(self, prompt: Prompt) -> bool:
        """Whether the engine has room for a prompt."""
        return self._engine.fits(prompt)

    def end(self) -> None:
        """Ask no more, and take back what waits."""
        with self._lock:
            self._over = True
            self._batcher.withdraw(self._asked)
