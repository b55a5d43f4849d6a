"""What the server does, whatever protocol asks: admission, extraction in shared batches,
projection, readiness.

How requests are told from bytes is ``_app``'s; who may ask at all is ``_safety``'s.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
from pydantic import BaseModel

from llmner._secrets import masked
from llmner.engines import Generator
from llmner.engines._types import as_engine
from llmner.errors import GenerationError, LlmnerError, WorkLimitError
from llmner.extraction import Extraction, Extractor
from llmner.projection import Budget
from llmner.recipes import Recipe, builtin_recipes
from llmner.serving import _apart
from llmner.serving._batching import Batcher, Turn
from llmner.serving._bodies import Projected, checked, is_short, named, projected
from llmner.serving._metrics import Metrics
from llmner.serving._refusals import INTERNAL, RefusalError, refusal_of
from llmner.serving._schemas import ProjectRequest

__all__ = ["Asked", "Limits", "Service"]

log = logging.getLogger("llmner.serving")

_M = TypeVar("_M", bound=BaseModel)
_T = TypeVar("_T")

# Bytes of a body that is read in the event loop, in a millisecond or two; longer ones would hold up
# others.
_SHORT = 16 << 10
# Steps of a projection in the event loop: hundredths of a second.
_STEPS = 20_000
# Steps that take a second on a processor of today.
_STEPS_A_SECOND = 1_000_000
# Processes for what is longer: more would take no less time, and hold up the loop.
_PROCESSES = 2
# Seconds between two looks at an engine that does not answer.
_PROBE = 2.0
# Seconds that the engine has at the end to finish what nobody waits for any more.
_CLOSING = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server takes on.

    Attributes:
        queue: Requests that are answered or wait at once; one more is told to come again. Long
            projections are counted apart.
        timeout: Seconds that a request may take; of a streamed answer, each text. A projection may
            also take so many million steps.
        body: Bytes of a request.
        answer: Bytes of an answer that is not streamed.
        memory: Bytes that one long request may take to be read and projected.
        batch_size: Questions that the engine is asked together.
        batch_wait: Seconds that a question waits for others to join its batch.
        lanes: Batches that the engine answers at once: 1 for a model in this process.
    """

    queue: int = 64
    timeout: float = 60.0
    body: int = 4 << 20
    answer: int = 64 << 20
    memory: int = 1 << 30
    batch_size: int = 16
    batch_wait: float = 0.01
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says beside its texts; ``None`` for what the server was started with."""

    recipe: str | None = None
    reply_format: str | None = None
    grounded: bool | None = None
    min_score: float | None = None


class _Gate:
    """Room for so many requests at once; it knows how long they stay."""

    def __init__(self, room: int, metrics: Metrics) -> None:
        self.room = room
        self.inside = 0
        self._metrics = metrics
        self._seconds = 1.0
        self._lock = threading.Lock()

    def enter(self) -> Callable[[], None]:
        """A place; what is returned gives it back, from any thread, once.

        Raises:
            RefusalError: There is none.
        """
        with self._lock:
            if self.inside >= self.room:
                self._metrics.refused.inc()
                message = f"{self.room} requests are being answered or wait; try again in a moment"
                raise RefusalError(503, "busy", message, retry_after=min(self._seconds, 30.0))
            self.inside += 1
        started = time.monotonic()
        held = True

        def leave() -> None:
            nonlocal held
            with self._lock:
                if held:
                    held = False
                    self.inside -= 1
                    self._seconds += 0.1 * (time.monotonic() - started - self._seconds)

        return leave


@dataclass(eq=False)
class Service:
    """Extraction and projection for many at once.

    Attributes:
        recipe: What is asked unless a request says otherwise.
        generator: The engine; ``None`` where replies of other models are projected only.
        recipes: What else requests can choose, by name. Never loaded by what a client says: a name
            is no path.
        options: Of every ``Extractor``: ``grounded``, ``min_score``, ``window``, the projection
            policy, ...
        limits: How much is taken on.
        engine_loads: Whether the engine is a model in this process, which cannot be loaded later if
            it cannot be loaded now.
        on_fatal: Called with the error when that is so, or when the engine cannot even be started;
            ``None`` to raise the latter.
        log_texts: Whether texts and replies are logged, and what an engine says of a text without
            an answer.
        secrets: Keys that no line of the log shows, whoever quotes them.
    """

    recipe: Recipe
    generator: Generator | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    engine_loads: bool = True
    on_fatal: Callable[[Exception], None] | None = None
    log_texts: bool = False
    secrets: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.recipes = {
            **{name: Recipe.load(name) for name in builtin_recipes()},
            **self.recipes,
            self.recipe.name: self.recipe,
        }
        self.state = "ready" if self.generator is None else "loading"
        self.trouble = ""
        self._suspected = False
        self._gate = _Gate(self.limits.queue, self.metrics)
        self._projecting = _Gate(self.limits.queue, self.metrics)
        self._reading = _Gate(self.limits.queue, self.metrics)
        self._threads: anyio.CapacityLimiter | None = None
        self._projectors = _apart.Apart(_PROCESSES, self.limits.memory)
        # Long projections are not to keep long texts out.
        self._readers = _apart.Apart(1, self.limits.memory)
        self._schemas = {name: recipe.schema_ for name, recipe in self.recipes.items()}
        self._packed = _apart.Schemas.of(self._schemas, self.recipe.name)
        self._in_format: dict[tuple[str, str], Recipe] = {}
        self.batcher: Batcher | None = None
        if self.generator is not None:
            # Options that cannot be are told at the start, not to the first client.
            Extractor(self.recipe, self.generator, **self.options)
        self.metrics.watch("queue_questions", "Questions that wait for a batch.", self._waiting)
        self.metrics.watch("queue_requests", "Requests that are answered or wait.", self._inside)
        self.metrics.watch(
            "ready", "1 where requests can be answered.", lambda: float(self.state == "ready")
        )

    def _waiting(self) -> int:
        return 0 if self.batcher is None else len(self.batcher)

    def _inside(self) -> int:
        return self._gate.inside + self._projecting.inside + self._reading.inside

    @property
    def constrains(self) -> bool:
        """Whether replies can be grounded."""
        return self.generator is not None and as_engine(self.generator).capabilities.grammar

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The engine at work, and watched; at the end what waits is answered still."""
        self._threads = anyio.CapacityLimiter(self.limits.queue + 8)
        if self.generator is None:
            yield
            return
        async with self._asking():
            yield

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        assert self.generator is not None
        self.state = "loading"
        with ExitStack() as started:
            try:
                if isinstance(self.generator, AbstractContextManager):
                    started.enter_context(self.generator)
            except LlmnerError as error:
                if self.on_fatal is None:
                    raise
                self.on_fatal(error)
                yield
                return
            self.batcher = Batcher(
                self.generator,
                size=self.limits.batch_size,
                wait=self.limits.batch_wait,
                lanes=self.limits.lanes,
                on_batch=self.metrics.batch,
                on_trouble=self._trouble,
            )
            self.batcher.start()
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch)
                try:
                    yield
                finally:
                    group.cancel_scope.cancel()
            # Whoever waits has been answered by now; a model that is being loaded is not waited
            # for.
            seconds = 0.0 if self.state == "loading" else _CLOSING
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.batcher.close, seconds)

    async def _watch(self) -> None:
        """Ask an engine that is not known to be ready, until it is; again when it fails."""
        while True:
            if self.state != "ready" or self._suspected:
                self._suspected = False
                await self._probe()
            await anyio.sleep(_PROBE if self.state != "ready" else _PROBE / 10)

    async def _probe(self) -> None:
        assert self.batcher is not None
        # A model in this process is asked both ways, since each has something to load.
        ways = (
            [{}, {"grounded": True, "json_schema": False}]
            if self.engine_loads and self.constrains
            else [{}]
        )
        turn = Turn(self.batcher)
        try:
            for way in ways:
                extractor = Extractor(self.recipe, turn, **{**self.options, **way})
                await self._in_thread(list, extractor.extract(["."]))
        except CancelledError:
            return
        except Exception as error:
            passing = isinstance(error, GenerationError) and error.retryable
            if (
                self.engine_loads
                and not passing
                and self.state == "loading"
                and self.on_fatal is not None
            ):
                self.on_fatal(error)
            # An endpoint may be long in coming, or never come: who asks hears which.
            if self.state != "loading" or not self.engine_loads:
                self.state = "failing"
            # Nothing of a client's text is in it: the question was the watch's own.
            trouble = self._masked(str(error))
            if trouble != self.trouble:
                self.trouble = trouble
                log.warning("the engine does not answer: %s", trouble)
        else:
            if self.state == "failing":
                log.warning("the engine answers again")
            self.state, self.trouble = "ready", ""
        finally:
            turn.end()

    def _trouble(self, error: Exception) -> None:
        """The engine raised something, whoever asked: it is looked at until it answers again."""
        if isinstance(error, CancelledError):
            return
        if isinstance(error, GenerationError) and not error.retryable:
            # It may be the question's fault, and no client is to make the server look unready.
            self._suspected = True
        elif self.state == "ready":
            self.state = "failing"
            # The message may quote a text. What the watch hears itself is told in full.
            log.warning("the engine failed: %s", type(error).__name__)

    def _unanswered(self, error: str, told: str) -> None:
        """The engine had no answer to a text. What it says may quote the text."""
        log.warning("no answer to a text: %s", self._masked(error) if self.log_texts else told)

    def _masked(self, message: str) -> str:
        """What an engine says, for the log: in a line, without keys."""
        return masked(message, (os.environ.get("OPENAI_API_KEY", ""), *self.secrets))

    def chosen(self, asked: Asked) -> Recipe:
        """The recipe that a request asks with.

        Raises:
            RefusalError: There is none of that name.
        """
        recipe = named(self.recipes, asked.recipe, self.recipe.name)
        if asked.reply_format is None or asked.reply_format == recipe.reply_format:
            return recipe
        key = (recipe.name, asked.reply_format)
        if key not in self._in_format:
            self._in_format[key] = recipe.with_reply_format(asked.reply_format)
        return self._in_format[key]

    @asynccontextmanager
    async def extracting(
        self,
        texts: Sequence[str],
        shape: Callable[[int, Extraction], _T],
        asked: Asked | None = None,
    ) -> AsyncIterator[AsyncIterator[_T]]:
        """What ``shape`` makes of each text's number and extraction, in order, each as soon as it
        is there.

        The block holds a place in the queue; leaving it gives the place back, and up what waits.
        ``shape`` runs in a thread: an extraction may be long.

        Raises:
            RefusalError: No model, none yet, no place, a recipe or an option that does not exist,
                or (while extractions are waited for) an engine that does not answer.
        """
        if self.generator is None:
            message = "this server has no model; POST /v1/project takes replies of yours"
            raise RefusalError(501, "no_model", message)
        if self.batcher is None or self.state == "loading":
            raise RefusalError(
                503, "loading", "the model is not ready yet; try again in a moment", retry_after=5
            )
        asked = asked or Asked()
        recipe = self.chosen(asked)
        turn = Turn(self.batcher, on_unanswered=self._unanswered)
        options = {**self.options, "batch_size": self.limits.batch_size}
        if asked.grounded is not None:
            options["grounded"] = asked.grounded
            options["json_schema"] = not asked.grounded and options.get("json_schema", False)
        if asked.min_score is not None:
            options["min_score"] = asked.min_score
        try:
            extractor = Extractor(recipe, turn, **options)
        except LlmnerError as error:
            raise refusal_of(error) from error
        budget = Budget()
        leave = self._gate.enter()
        try:
            yield self._extractions(extractor.extract(texts, budget=budget), shape)
        finally:
            turn.end()
            budget.end()
            leave()

    async def _extractions(
        self, found: Iterator[Extraction], shape: Callable[[int, Extraction], _T]
    ) -> AsyncIterator[_T]:
        def shaped(number: int) -> _T | None:
            extraction = next(found, None)
            if extraction is None:
                return None
            self.metrics.extraction(extraction)
            if self.log_texts:
                log.info("text %r reply %r", extraction.sentence.text, extraction.reply.text)
            return shape(number, extraction)

        for number in count():
            try:
                made: _T | None = await self._in_thread(shaped, number)
            except LlmnerError as error:
                raise refusal_of(error) from error
            except CancelledError:
                message = "the server is shutting down"
                raise RefusalError(503, "shutting_down", message, retry_after=1) from None
            if made is None:
                return
            yield made

    def project_short(self, body: bytes) -> bytes | None:
        """The answer to a request for a short projection; ``None`` for one that may hold up others.

        Raises:
            RefusalError: The request is wrong, or its answer too long.
        """
        asked = self.read_short(ProjectRequest, body)
        if asked is None or not is_short(asked):
            return None
        try:
            budget = Budget(_STEPS)
            done = projected(asked, self._schemas, self.recipe.name, budget, self.limits.answer)
        except WorkLimitError:
            # Short, and a lot of work nevertheless.
            return None
        return self._counted(done)

    async def project_apart(self, body: bytes) -> bytes:
        """The answer to a request for a projection, made in another process; given up, that is
        killed.

        Raises:
            RefusalError: The request is wrong, takes more steps, memory or bytes of an answer than
                there are for one, or finds no place in the queue.
        """
        leave = self._projecting.enter()
        try:
            steps = int(self.limits.timeout * _STEPS_A_SECOND)
            asked = body, self._packed, steps, self.limits.answer
            return self._counted(await _done(self._projectors, _apart.project, *asked))
        finally:
            leave()

    def _counted(self, done: Projected) -> bytes:
        self.metrics.reply(done.status, done.outcomes)
        if self.log_texts:
            log.info("text %r reply %r", *done.logged)
        return done.body

    def read_short(self, model: type[_M], body: bytes) -> _M | None:
        """A request's body, checked; ``None`` for one so long that it may hold up others.

        Raises:
            RefusalError: It is wrong.
        """
        return checked(model, body) if len(body) <= _SHORT else None

    async def read_apart(self, model: type[_M], body: bytes) -> _M:
        """A request's body, checked in another process.

        Raises:
            RefusalError: It is wrong, takes more memory than there is for one, or finds no place in
                the queue.
        """
        leave = self._reading.enter()
        try:
            return cast(_M, await _done(self._readers, _apart.check, model, body))
        finally:
            leave()

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """In a thread; given up, it goes on alone until it notices."""
        return await anyio.to_thread.run_sync(
            work, *arguments, abandon_on_cancel=True, limiter=self._threads
        )


async def _done(processes: _apart.Apart, work: Callable[..., Any], *arguments: object) -> Any:
    try:
        return await processes.do(work, *arguments)
    except _apart.ApartError as error:
        log.error("%s in another process\n%s", error.name, error.frames)
        raise RefusalError(500, "internal", INTERNAL) from None
