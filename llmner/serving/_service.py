"""What the server does: extraction in shared batches, projection, readiness, limits.

It knows no HTTP. The routes (``_routes_*``) turn requests into calls of :class:`Service`, and
``_safety`` decides whether a request gets that far.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from pydantic import BaseModel

from llmner._secrets import masked
from llmner.engines import Generator
from llmner.errors import LlmnerError, RecipeError
from llmner.extraction import Extraction, Extractor
from llmner.projection import Budget
from llmner.recipes import Recipe, builtin_recipes
from llmner.serving._asked import Asked
from llmner.serving._batching import Batcher
from llmner.serving._bodies import ProjectionResult, choose
from llmner.serving._limits import Gate, Limits
from llmner.serving._metrics import Metrics
from llmner.serving._projector import Projector
from llmner.serving._readiness import EngineMonitor
from llmner.serving._refusals import RefusalError, refusal_of
from llmner.serving._sources import EngineSource, Source, TaggerSource
from llmner.serving._sources import Request as SourceRequest

if TYPE_CHECKING:
    from llmner.baselines import BaselineExtractor
    from llmner.labelling import Explanation

__all__ = ["Service"]

log = logging.getLogger("llmner.serving")

_M = TypeVar("_M", bound=BaseModel)
_T = TypeVar("_T")

# Seconds that the engine has at shutdown to finish work that nobody waits for any more.
_CLOSING_SECONDS = 5.0
# Words of a text that is explained: it is asked about once for each.
_MOST_WORDS = 200
# Recipes of labels that requests brought.
_KEPT_RECIPES = 64


@dataclass(eq=False)
class Service:
    """Extraction and projection for many clients at once.

    Without an engine it projects replies of other models:

    >>> import json
    >>> from llmner import Recipe
    >>> service = Service(Recipe.load("klue"))
    >>> body = {"text": "Ada met Bob.", "reply": "PER: Ada", "labels": ["PER"]}
    >>> json.loads(service.project_short(json.dumps(body).encode()))["spans"]
    [{'start': 0, 'end': 3, 'label': 'PER'}]

    Attributes:
        recipe: The recipe of requests that name none.
        generator: The engine; ``None`` for a server that only projects replies of other models, or
            that has a tagger.
        recipes: Further recipes that requests can choose, by name. The built-in ones are added.
            A name from a request is looked up here and never treated as a path.
        options: Options of every ``Extractor``: ``grounded``, ``min_score``, ``window``, the
            projection policy, ...
        limits: How much work is taken on.
        engine_loads: Whether the engine is a model in this process. If that cannot be loaded at the
            start, it cannot be loaded later either.
        on_fatal: Called with the error if a model cannot be loaded, or the engine cannot even be
            started. With ``None`` the latter error is raised.
        log_texts: Log texts and replies, and what the engine says about a text that it cannot
            answer.
        secrets: Keys that are hidden in every line of the log.
        tagger: A tagger in place of an engine.
    """

    recipe: Recipe
    generator: Generator | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    engine_loads: bool = True
    on_fatal: Callable[[Exception], None] | None = None
    log_texts: bool = False
    secrets: Sequence[str] = ()
    tagger: BaselineExtractor | None = None

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.recipes = {
            **{name: Recipe.load(name) for name in builtin_recipes()},
            **self.recipes,
            self.recipe.name: self.recipe,
        }
        self._source: Source | None = None
        if self.tagger is not None:
            self._source = TaggerSource(self.tagger, self._log_unanswered)
        elif self.generator is not None:
            options = {**self.options, "batch_size": self.limits.batch_size}
            # Raises for wrong options now, and not at the first request.
            Extractor(self.recipe, self.generator, **options)
            self._source = EngineSource(self.generator, options, self._log_unanswered)
        self._monitor = EngineMonitor("ready" if self._source is None else "loading", self._masked)
        self._extraction_gate = Gate(self.limits.queue, self.metrics)
        self._projector = Projector(
            {name: recipe.schema_ for name, recipe in self.recipes.items()},
            self.recipe.name,
            self.limits,
            self.metrics,
        )
        self._threads: anyio.CapacityLimiter | None = None
        self._recipes_by_format: dict[tuple[str, str], Recipe] = {}
        self._recipe_of = lru_cache(_KEPT_RECIPES)(_recipe_of)
        self.batcher: Batcher[Any, Any] | None = None
        self.metrics.watch(
            "queue_questions", "Questions that wait for a batch.", self._waiting_questions
        )
        self.metrics.watch(
            "queue_requests", "Requests that are answered or wait.", self._requests_inside
        )
        self.metrics.watch(
            "ready", "1 where requests can be answered.", lambda: float(self.state == "ready")
        )

    def _waiting_questions(self) -> int:
        return 0 if self.batcher is None else len(self.batcher)

    def _requests_inside(self) -> int:
        return self._extraction_gate.inside + self._projector.inside

    @property
    def state(self) -> str:
        """``"loading"``, ``"ready"`` or ``"failing"``. Without an engine it is always ready.

        >>> from llmner import Recipe
        >>> Service(Recipe.load("klue")).state
        'ready'
        """
        return self._monitor.state

    @property
    def trouble(self) -> str:
        """Why the engine does not answer; empty while it does."""
        return self._monitor.trouble

    def when_ready(self, call: Callable[[], None]) -> None:
        """Call a function once: now if the engine has answered, else when it answers first.

        >>> from llmner import Recipe
        >>> Service(Recipe.load("klue")).when_ready(lambda: print("ready"))
        ready
        """
        self._monitor.when_ready(call)

    @property
    def constrains(self) -> bool:
        """Whether the engine can ground its replies.

        >>> from llmner import Recipe
        >>> Service(Recipe.load("klue")).constrains
        False
        """
        return self._source is not None and self._source.constrains

    @property
    def has_model(self) -> bool:
        """Whether texts can be extracted from, and not only replies projected.

        >>> from llmner import Recipe
        >>> Service(Recipe.load("klue")).has_model
        False
        """
        return self._source is not None

    @property
    def fine_tuned(self) -> str | None:
        """The recipe that the model was fine-tuned on; ``None`` for a model that was not.

        Such a model finds little besides the labels of that recipe.

        >>> from llmner import Recipe
        >>> Service(Recipe.load("klue")).fine_tuned is None
        True
        """
        adapter = getattr(self.generator, "adapter", None)
        recipe = getattr(adapter, "own_recipe", None)
        return recipe.name if isinstance(recipe, Recipe) else None

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels of the tagger; ``None`` if a recipe says what is looked for.

        >>> from llmner import Recipe
        >>> Service(Recipe.load("klue")).labels is None
        True
        """
        return None if self.tagger is None else self.tagger.labels

    @property
    def about_texts(self) -> bool:
        """Whether the model gives labels of whole texts.

        >>> from llmner import Recipe
        >>> Service(Recipe.load("kote")).about_texts
        True
        """
        if self.tagger is not None:
            return self.tagger.about == "texts"
        return bool(self.recipe.text_labels)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the engine, watch it, and shut it down at the end.

        Work that clients wait for is finished before the block is left.

        >>> import anyio
        >>> from llmner import Recipe
        >>> async def main() -> str:
        ...     service = Service(Recipe.load("klue"))
        ...     async with service.running():
        ...         return service.state
        >>> anyio.run(main)
        'ready'
        """
        self._threads = anyio.CapacityLimiter(self.limits.queue + 8)
        if self._source is None:
            yield
            return
        async with self._engine_running(self._source):
            yield

    @asynccontextmanager
    async def _engine_running(self, source: Source) -> AsyncIterator[None]:
        self._monitor.state = "loading"
        with ExitStack() as stack:
            try:
                if isinstance(self.generator, AbstractContextManager):
                    stack.enter_context(self.generator)
            except LlmnerError as error:
                if self.on_fatal is None:
                    raise
                self.on_fatal(error)
                yield
                return
            self.batcher = Batcher(
                source.answering,
                size=self.limits.batch_size,
                wait=self.limits.batch_wait,
                lanes=self.limits.lanes,
                on_batch=self.metrics.batch,
                on_error=self._monitor.report,
            )
            self.batcher.start()
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch_engine)
                try:
                    yield
                finally:
                    group.cancel_scope.cancel()
            # All clients have been answered by now. A model that is still being loaded is not
            # waited for.
            seconds = 0.0 if self.state == "loading" else _CLOSING_SECONDS
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.batcher.close, seconds)

    async def _watch_engine(self) -> None:
        await self._monitor.watch(self._ask_engine, loads=self.engine_loads, on_fatal=self.on_fatal)

    async def _ask_engine(self) -> None:
        """Ask the engine about a text of the server's own.

        Raises:
            Exception: Whatever the engine raises.
        """
        assert self.batcher is not None
        assert self._source is not None
        for asked in self._source.ways(loads=self.engine_loads):
            request = self._source.request(self.batcher, self.recipe, asked)
            try:
                await self._in_thread(list, request.extract(["."], Budget()))
            finally:
                request.end()

    def _log_unanswered(self, error: str, message: str) -> None:
        """Log that a text got no answer.

        Args:
            error: What the engine said, which may quote the text.
            message: What the client is told.
        """
        log.warning("no answer to a text: %s", self._masked(error) if self.log_texts else message)

    def _masked(self, message: str) -> str:
        """An engine's message for the log: on one line, with keys hidden."""
        return masked(message, (os.environ.get("OPENAI_API_KEY", ""), *self.secrets))

    def chosen(self, asked: Asked) -> Recipe:
        """The recipe that a request chooses.

        >>> from llmner import Recipe
        >>> service = Service(Recipe.load("klue"))
        >>> service.chosen(Asked(recipe="gmb", reply_format="lines")).reply_format
        'lines'

        Raises:
            RefusalError: There is no recipe of that name, it cannot be asked in that format, or the
                request's labels are none.
        """
        if asked.labels is not None:
            try:
                return self._recipe_of(asked.labels, asked.language, asked.reply_format)
            except LlmnerError:
                # The error quotes the labels.
                message = (
                    "labels: two are called alike, or one has a character that no label can have"
                )
                raise RefusalError(422, "invalid", message, fields=[("labels", message)]) from None
        recipe = choose(self.recipes, asked.recipe, self.recipe.name)
        if asked.reply_format is None or asked.reply_format == recipe.reply_format:
            return recipe
        key = (recipe.name, asked.reply_format)
        if key not in self._recipes_by_format:
            try:
                self._recipes_by_format[key] = recipe.with_reply_format(asked.reply_format)
            except RecipeError as error:
                raise RefusalError(422, "invalid", str(error)) from None
        return self._recipes_by_format[key]

    @asynccontextmanager
    async def extracting(
        self,
        texts: Sequence[str],
        shape: Callable[[int, Extraction], _T],
        asked: Asked | None = None,
    ) -> AsyncIterator[AsyncIterator[_T]]:
        """Extract from texts; the block gets an iterator of results, in the order of the texts.

        Each result comes as soon as it is there. The block holds a place in the queue. Leaving it
        gives the place back and cancels what still waits for the engine.

        Args:
            texts: The texts.
            shape: Makes a result of a text's index and its extraction. It runs in a thread, since
                an extraction may be large.
            asked: The request's own options.

        Raises:
            RefusalError: There is no model, it is still being loaded, the queue is full, or a
                recipe or an option does not exist. While results are waited for: the engine does
                not answer.
        """
        async with self._asking(asked) as (request, budget):
            yield self._results(request.extract(texts, budget), shape)

    async def explanations(self, text: str, asked: Asked | None = None) -> tuple[Explanation, ...]:
        """Why a text has its labels. It is asked about once for each of its words.

        Args:
            text: The text.
            asked: The request's own options.

        Raises:
            RefusalError: It has too many words, the model cannot answer, or what
                :meth:`extracting` refuses.
        """
        words = len(text.split())
        if words > _MOST_WORDS:
            message = f"a text of {words} words would be asked about as often; send {_MOST_WORDS}"
            raise RefusalError(422, "too_much", message, fields=[("text", "has too many words")])
        async with self._asking(asked) as (request, budget):
            try:
                found: tuple[Explanation, ...] = await self._in_thread(
                    request.explain, text, budget
                )
            except LlmnerError as error:
                raise refusal_of(error) from error
            except CancelledError:
                raise _shutting_down() from None
            return found

    @asynccontextmanager
    async def _asking(self, asked: Asked | None) -> AsyncIterator[tuple[SourceRequest, Budget]]:
        """A place in the queue, and what a request extracts with."""
        if self._source is None:
            message = "this server has no model; POST /v1/project takes replies of other models"
            raise RefusalError(501, "no_model", message)
        if self.batcher is None or self.state == "loading":
            raise RefusalError(
                503, "loading", "the model is not ready yet; try again in a moment", retry_after=5
            )
        asked = asked or Asked()
        recipe = self.chosen(asked)
        try:
            request = self._source.request(self.batcher, recipe, asked)
        except LlmnerError as error:
            raise refusal_of(error) from error
        budget = Budget()
        leave = self._extraction_gate.enter()
        try:
            yield request, budget
        finally:
            request.end()
            budget.end()
            leave()

    async def _results(
        self, extractions: Iterator[Extraction], shape: Callable[[int, Extraction], _T]
    ) -> AsyncIterator[_T]:
        def next_result(index: int) -> _T | None:
            extraction = next(extractions, None)
            if extraction is None:
                return None
            self.metrics.extraction(extraction)
            if self.log_texts:
                log.info("text %r reply %r", extraction.sentence.text, extraction.reply.text)
            return shape(index, extraction)

        for index in count():
            try:
                result: _T | None = await self._in_thread(next_result, index)
            except LlmnerError as error:
                raise refusal_of(error) from error
            except CancelledError:
                raise _shutting_down() from None
            if result is None:
                return
            yield result

    def project_short(self, body: bytes) -> bytes | None:
        """Answer a projection in the event loop.

        Args:
            body: The request, JSON.

        Returns:
            The answer, JSON. ``None`` if the request is long and would delay other requests.

        Raises:
            RefusalError: The request is wrong, or its answer is too long.
        """
        result = self._projector.project_short(body)
        return None if result is None else self._counted(result)

    async def project_apart(self, body: bytes) -> bytes:
        """Answer a projection in another process, which is killed if this call is cancelled.

        Args:
            body: The request, JSON.

        Raises:
            RefusalError: The request is wrong; it needs more steps or memory than one request may
                use; its answer is too long; or the queue is full.
        """
        return self._counted(await self._projector.project_apart(body))

    def _counted(self, result: ProjectionResult) -> bytes:
        """Count a projection, log it if texts are logged, and return its answer."""
        self.metrics.reply(result.status, result.outcomes)
        if self.log_texts:
            log.info("text %r reply %r", result.text, result.reply)
        return result.body

    def read_short(self, model: type[_M], body: bytes) -> _M | None:
        """Validate a request's body in the event loop.

        Returns:
            The request. ``None`` if the body is long and would delay other requests.

        Raises:
            RefusalError: The body is wrong.
        """
        return self._projector.read_short(model, body)

    async def read_apart(self, model: type[_M], body: bytes) -> _M:
        """Validate a request's body in another process.

        Raises:
            RefusalError: The body is wrong, it needs more memory than one request may use, or the
                queue is full.
        """
        return await self._projector.read_apart(model, body)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run in a thread. If cancelled, the thread goes on until it notices."""
        return await anyio.to_thread.run_sync(
            work, *arguments, abandon_on_cancel=True, limiter=self._threads
        )


def _recipe_of(
    labels: tuple[tuple[str, str], ...], language: str, reply_format: str | None
) -> Recipe:
    return Recipe.of(dict(labels), language=language, reply_format=reply_format)


def _shutting_down() -> RefusalError:
    return RefusalError(503, "shutting_down", "the server is shutting down", retry_after=1)
