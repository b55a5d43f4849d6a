"""Gathers the questions of many requests into batches for one model, in the order they came.

Uses threads only, and knows no HTTP. A request asks through a :class:`Place`, or through a
:class:`Turn`, which looks like an engine to it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from llmner._mishaps import Mishap
from llmner.engines import Engine, Reply
from llmner.errors import GenerationError
from llmner.recipes.chat import Prompt
from llmner.serving._refusals import unanswered

__all__ = ["Answering", "Batcher", "Place", "Turn"]

_Q = TypeVar("_Q")
_A = TypeVar("_A")
_R = TypeVar("_R")
_Asked = TypeVar("_Asked", contravariant=True)
_Given = TypeVar("_Given", covariant=True)


class Answering(Protocol[_Asked, _Given]):
    """Whatever answers questions in batches: an engine answers prompts, a tagger texts."""

    def stream(self, questions: Sequence[_Asked], /) -> Iterator[tuple[int, _Given]]:
        """Yield each answer as soon as it is there, with the number of its question."""
        ...


@dataclass(slots=True, eq=False)
class _Question(Generic[_Q, _A]):
    """A question that waits for its batch.

    Attributes:
        asked: The question.
        came: When it came, on the monotonic clock.
        answer: Its answer, once there is one.
    """

    asked: _Q
    came: float
    answer: Future[_A] = field(default_factory=Future)


class Batcher(Generic[_Q, _A]):
    """Gathers questions into batches and has an engine answer them.

    A batch is asked when it is full, or when its first question has waited long enough. Each answer
    is given as soon as the engine has it, whatever the others take. Questions that come while the
    engine is busy form the next batch. If the engine refuses a batch for good, those without an
    answer are asked again one by one, so that only the one to blame gets none.

    Args:
        answering: The engine, or a tagger.
        size: Most questions in a batch.
        wait: Seconds that a question waits for others at most.
        lanes: Batches that are answered at the same time, each in a thread of its own. Use 1 for a
            model in this process, and more for an endpoint.
        on_batch: Called with each batch's size and the seconds it took.
        on_error: Called, from the batcher's thread, with errors that the engine raises. It is
            called even if nobody waits for the answer any more.
    """

    def __init__(
        self,
        answering: Answering[_Q, _A],
        *,
        size: int = 16,
        wait: float = 0.005,
        lanes: int = 1,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
        on_error: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.answering = answering
        self._size = size
        self._wait = wait
        self._on_batch = on_batch
        self._on_error = on_error
        self._waiting: deque[_Question[_Q, _A]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"llmner-batches-{lane}", daemon=True)
            for lane in range(lanes)
        ]

    def __len__(self) -> int:
        """Number of questions that wait."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self, seconds: float | None = None) -> None:
        """Take no more questions, answer those that wait, and end the threads.

        Args:
            seconds: How long to wait for that; ``None`` for as long as it takes.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        deadline = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def submit(self, asked: Sequence[_Q]) -> list[Future[_A]]:
        """Queue questions.

        Returns:
            A future for each question. It holds the answer, or the engine's error.

        Raises:
            GenerationError: The batcher is closed.
        """
        now = time.monotonic()
        questions: list[_Question[_Q, _A]] = [_Question(each, now) for each in asked]
        with self._changed:
            if self._closed:
                raise GenerationError("the server is shutting down", retryable=True)
            self._waiting.extend(questions)
            self._changed.notify_all()
        return [question.answer for question in questions]

    def withdraw(self, answers: Sequence[Future[_A]]) -> None:
        """Cancel questions. The engine finishes those that it has been asked already.

        Whoever still waits for one of the answers gets a ``CancelledError``.
        """
        for answer in answers:
            answer.cancel()
        with self._changed:
            self._waiting = deque(
                question for question in self._waiting if not question.answer.cancelled()
            )

    def _work(self) -> None:
        while batch := self._next_batch():
            started = time.monotonic()
            self._answer(batch)
            self._on_batch(len(batch), time.monotonic() - started)

    def _next_batch(self) -> list[_Question[_Q, _A]]:
        """Wait for the next batch; empty if the batcher is closed and nothing waits."""
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
                batch: list[_Question[_Q, _A]] = []
                while self._waiting and len(batch) < self._size:
                    question = self._waiting.popleft()
                    # The futures are never marked as running, so they can be cancelled until they
                    # are answered.
                    if not question.answer.cancelled():
                        batch.append(question)
                # The batch may be empty: another lane took all questions, or they were withdrawn.
                if batch or (self._closed and not self._waiting):
                    return batch

    def _answer(self, batch: list[_Question[_Q, _A]]) -> None:
        # Whoever's answer is short does not wait for the longest of the batch.
        left = dict(enumerate(batch))
        try:
            for number, answer in self.answering.stream([question.asked for question in batch]):
                question = left.pop(number)
                with suppress(InvalidStateError):
                    question.answer.set_result(answer)
            if left:
                raise ValueError(f"the engine gave no reply to {len(left)} of {len(batch)} prompts")
        except Exception as error:
            if len(batch) > 1 and isinstance(error, GenerationError) and not error.retryable:
                for question in left.values():
                    self._answer([question])
                return
            # The askers get the error; the thread goes on with the next batch.
            for question in left.values():
                with suppress(InvalidStateError):
                    question.answer.set_exception(error)
            self._on_error(error)


class Place(Generic[_Q, _A]):
    """The place of one request among others. Another thread can give it up.

    Args:
        batcher: Where questions go.
    """

    def __init__(self, batcher: Batcher[_Q, _A]) -> None:
        self._batcher = batcher
        self._lock = threading.Lock()
        self._answers: list[Future[_A]] = []
        self._over = False

    def ask(self, questions: Sequence[_Q]) -> list[_A]:
        """Answer the questions, in batches with those of other requests.

        Raises:
            GenerationError: The engine could not answer.
            concurrent.futures.CancelledError: The place was given up.
        """
        return self._asked(questions, Future.result)

    def ask_each(self, questions: Sequence[_Q]) -> list[_A | Mishap]:
        """Answer the questions like :meth:`ask`, with a failure in place of an answer that is not
        to be had.

        Raises:
            GenerationError: The engine could not answer now.
            concurrent.futures.CancelledError: The place was given up.
        """

        def answer_or_failure(answer: Future[_A]) -> _A | Mishap:
            try:
                return answer.result()
            except GenerationError as error:
                if error.retryable:
                    raise
                return Mishap(error)

        return self._asked(questions, answer_or_failure)

    def _asked(self, questions: Sequence[_Q], read: Callable[[Future[_A]], _R]) -> list[_R]:
        with self._lock:
            if self._over:
                raise CancelledError
            self._answers = self._batcher.submit(questions)
        try:
            return [read(answer) for answer in self._answers]
        except BaseException:
            self._batcher.withdraw(self._answers)
            raise

    def end(self) -> None:
        """Cancel the questions that wait, and take no more."""
        with self._lock:
            self._over = True
            self._batcher.withdraw(self._answers)


class Turn(Engine):
    """The engine as one request sees it. Another thread can end it.

    The batcher already asks questions one by one where a batch fails, so the extractor need not.

    Args:
        batcher: Where questions go.
        engine: The engine that answers them.
        on_unanswered: Called for a text without an answer, with what the engine said and with what
            the client is told.
    """

    def __init__(
        self,
        batcher: Batcher[Prompt, Reply],
        engine: Engine,
        *,
        on_unanswered: Callable[[str, str], None] = lambda error, message: None,
    ) -> None:
        self._engine = engine
        self.capabilities = replace(engine.capabilities, isolates=True)
        self._place = Place(batcher)
        self._on_unanswered = on_unanswered

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer the prompts, in batches with those of other requests.

        Raises:
            GenerationError: The engine could not answer.
            concurrent.futures.CancelledError: The turn is over.
        """
        return [self._public(reply) for reply in self._place.ask(prompts)]

    def _public(self, reply: Reply) -> Reply:
        """A reply as the client may see it: the engine's own error message goes to the log only."""
        if reply.error is None:
            return reply
        message = unanswered(reply.error, retryable=reply.retryable)
        self._on_unanswered(reply.error, message)
        return replace(reply, error=message)

    def describe(self) -> dict[str, Any]:
        """The engine's own description."""
        return self._engine.describe()

    def fits(self, prompt: Prompt) -> bool:
        """Whether the prompt fits into the engine's context."""
        return self._engine.fits(prompt)

    def end(self) -> None:
        """Cancel the questions that wait, and take no more."""
        self._place.end()
