"""The ``openai`` engine: any endpoint that speaks OpenAI's protocol.

That is vLLM, llama.cpp, SGLang, Ollama, OpenAI and others. Several requests are on their way at
once; a request that fails is sent again if that may help.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from llmner._mishaps import one_line
from llmner.engines import _connection
from llmner.engines._answers import EndpointAnswer, read_answer, read_models
from llmner.engines._constraints import ignored_constraint
from llmner.engines._dialect import Dialect
from llmner.engines._error_bodies import StatedError
from llmner.engines._failures import (
    NoTemplateError,
    OutOfTokensError,
    SentenceError,
    failure_of,
    first_error,
)
from llmner.engines._requests import checked_fields, described_fields, post, request_for
from llmner.engines._sending import send_until_answered
from llmner.engines._types import PLAIN_QUESTION, Capabilities, Engine, Reply, decoding
from llmner.errors import GenerationError, InputError
from llmner.recipes.chat import Prompt

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from openai import AsyncOpenAI

__all__ = ["DEFAULT_URL", "OpenAIGenerator"]

log = logging.getLogger("llmner")

_T = TypeVar("_T")
_Put: TypeAlias = Callable[[tuple[int, Reply]], None]

DEFAULT_URL = "http://127.0.0.1:8000/v1"
"""Where vLLM's own server listens."""


class OpenAIGenerator(Engine):
    """Answers prompts through an OpenAI-compatible endpoint.

    Requests are sent again, with growing waits or as long as the endpoint asks for, after statuses
    408, 409, 429 and 5xx, timeouts, lost connections and unreadable answers. If a sentence fails in
    every attempt, or the endpoint refuses it (400, 413, 422: too long, filtered), its reply has
    ``error`` set and the other sentences go on. What would fail for every sentence ends the run.
    Token counts and probabilities that make no sense are ignored. Errors are one line each and show
    no key.

    Grammars are sent in vLLM's form, JSON schemas in OpenAI's, and every answer is checked: an
    endpoint that ignores them ends the run. Probabilities of tokens are asked for if the endpoint
    has them. Under a grammar, vLLM's are relative to the tokens that the grammar allows.

    What an endpoint refuses is sent otherwise from then on: ``max_completion_tokens`` instead of
    ``max_tokens``, the instruction in the user's first turn instead of a system turn, and no
    ``temperature``, ``top_p``, ``seed`` or ``logprobs``.

    >>> engine = OpenAIGenerator("gpt-4.1-mini", concurrency=8, max_new_tokens=64)
    >>> engine.describe()["model"]
    'gpt-4.1-mini'
    >>> engine.generate([prompt])  # doctest: +SKIP
    [Reply(text='{"PS": ["손흥민"]}', finish_reason='stop', ...)]

    Args:
        model: Name of the model, or of a served adapter; ``None`` if the endpoint has only one.
        base_url: The endpoint, ending in ``/v1``; by default ``OPENAI_BASE_URL``, else
            :data:`DEFAULT_URL`.
        api_key: By default ``OPENAI_API_KEY``; local servers need none.
        completions: Ask for a completion of the conversation as plain text, which models without a
            chat template need. ``None`` does so if the endpoint says that there is no template.
        concurrency: Requests on their way at once.
        timeout: Seconds for one request, until its answer is complete.
        attempts: How often a request is sent at most.
        deadline: Seconds that one call of ``generate`` may take; ``None`` for no limit.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 gives the likeliest answer. Above 0, answers are drawn; each sample of a
            prompt is a different draw.
        seed: Seed of the draws, for endpoints that take one.
        request_fields: Further fields of every request, from JSON; ``None`` as a value removes a
            field that would be sent.
        report: Called with a line about each thing that the endpoint refuses; by default it is
            logged.

    Raises:
        InputError: A number that must be positive is not, the address has no ``http://``, or a
            field cannot be sent.
    """

    capabilities = Capabilities(
        grammar=True, json_schema=True, logprobs=True, samples=True, concurrent=True, batch_size=1
    )

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        completions: bool | None = None,
        concurrency: int = 32,
        timeout: float = 120.0,
        attempts: int = 6,
        deadline: float | None = None,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        request_fields: Mapping[str, Any] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        for name, value in (
            ("concurrency", concurrency),
            ("timeout", timeout),
            ("attempts", attempts),
            ("deadline", deadline),
        ):
            # "not >" instead of "<=", so that NaN is refused too.
            if value is not None and not value > 0:
                raise InputError(f"{name} must be positive, got {value}")
        self.model_name = model
        self.base_url = (base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL).strip()
        self.completions = completions
        self.concurrency = concurrency
        self.timeout = timeout
        self.attempts = attempts
        self.deadline = deadline
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.seed = seed
        self.request_fields = checked_fields(request_fields)
        self._api_key = api_key
        _connection.check_protocol(self.base_url, self._key)
        self._connection: tuple[BlockingPortal, AsyncOpenAI] | None = None
        self._report = report
        self._dialect = Dialect(self._tell)
        self._sends_reasoning = False

    def describe(self) -> dict[str, Any]:
        """Engine, model and decoding settings. The address does not change answers.

        Raises:
            GenerationError: No model was named, and the endpoint does not have exactly one.
        """
        if self.model_name is None:
            self._call(self._find_model)
        return {
            "engine": "openai",
            "model": self.model_name,
            "adapter": None,
            **decoding(self.temperature, self.seed),
            "max_new_tokens": self.max_new_tokens,
            **described_fields(self.request_fields),
        }

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer the prompts. The replies are in the order of the prompts.

        Raises:
            MissingExtraError: The ``openai`` extra is not installed.
            GenerationError: The endpoint refuses key, model or question, or does not answer at all.
        """
        replies = dict(self.stream(prompts))
        return [replies[index] for index in range(len(prompts))]

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Reply]]:
        """Yield each reply as soon as its request is finished, with the index of its prompt.

        Replies with ``error`` come last: if the endpoint is down, the run ends without them.

        Raises:
            MissingExtraError: The ``openai`` extra is not installed.
            GenerationError: The endpoint refuses key, model or question, or does not answer at all.
        """
        if not prompts:
            return
        with self._connected() as (portal, client):
            yield from _connection.results(portal, self._answer_in_time, client, prompts)

    def __enter__(self) -> Self:
        """Keep connections open between calls, which may come from several threads at once."""
        self._exit_stack = ExitStack()
        self._connection = self._exit_stack.enter_context(self._connect())
        return self

    def __exit__(self, *_: object) -> None:
        self._connection = None
        self._exit_stack.close()

    def _connect(self) -> AbstractContextManager[tuple[BlockingPortal, AsyncOpenAI]]:
        return _connection.connected(self.base_url, self._key, self.timeout)

    @property
    def _key(self) -> str:
        """The key. The client needs some word, which local servers ignore."""
        return self._api_key or os.environ.get("OPENAI_API_KEY") or "none"

    @property
    def _address(self) -> str:
        """The endpoint, as errors may show it."""
        return _connection.shown_address(self.base_url, self._key)

    def _call(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Run ``work(client, *arguments)`` in the client's event loop."""
        with self._connected() as (portal, client):
            return portal.call(work, client, *arguments)

    def _connected(self) -> AbstractContextManager[tuple[BlockingPortal, AsyncOpenAI]]:
        """The connection that is kept open, or one for this call."""
        return self._connect() if self._connection is None else nullcontext(self._connection)

    async def _answer_in_time(
        self, client: AsyncOpenAI, prompts: Sequence[Prompt], put: _Put
    ) -> None:
        import anyio

        with anyio.move_on_after(self.deadline):
            await self._answer_all(client, prompts, put)
            return
        raise GenerationError(
            f"{self._address} did not answer within {self.deadline:g} s", retryable=True
        )

    async def _answer_all(self, client: AsyncOpenAI, prompts: Sequence[Prompt], put: _Put) -> None:
        """Answer the prompts, and hand each reply on with its index."""
        import anyio

        failed: dict[int, Reply] = {}
        limiter = anyio.CapacityLimiter(self.concurrency)

        async def answer(index: int) -> None:
            async with limiter:
                reply = await self._answer(client, prompts[index])
            if reply.error is None:
                put((index, reply))
            else:
                failed[index] = reply

        await self._find_model(client)
        await self._find_template(client, prompts[0])
        try:
            async with anyio.create_task_group() as group:
                for index in range(len(prompts)):
                    group.start_soon(answer, index)
        except BaseExceptionGroup as errors:
            # Not except*: some releases of Python 3.11 wrap what is raised there in another group.
            ours, others = errors.split(GenerationError)
            if ours is None or others is not None:
                raise
            raise first_error(ours) from None
        # If the endpoint is down, the run ends, so that the next run asks these sentences again.
        if failed and not await self._is_up(client):
            error = failed[min(failed)].error
            raise GenerationError(f"{error}; it answers nothing else either", retryable=True)
        for index in sorted(failed):
            put((index, failed[index]))

    async def _is_up(self, client: AsyncOpenAI) -> bool:
        """Whether the endpoint answers a plain question; if so, the sentences are at fault."""
        try:
            await self._ask(client, PLAIN_QUESTION, 1)
        except GenerationError:
            return False
        return True

    async def _find_model(self, client: AsyncOpenAI) -> None:
        """Set the model's name, if none was given and the endpoint has exactly one."""
        if self.model_name is not None:
            return
        names = await self._send(client.models.with_raw_response.list, read_models)
        if len(names) != 1:
            models = f"has the models {one_line(', '.join(names))}" if names else "lists no models"
            raise GenerationError(f"{self._address} {models}; name one with --model")
        self.model_name = names[0]

    async def _find_template(self, client: AsyncOpenAI, prompt: Prompt) -> None:
        """Find out whether the model has a chat template: endpoints only say so when asked."""
        if self.completions is not None:
            return
        try:
            await self._ask(client, prompt, 1)
        except NoTemplateError:
            self.completions = True
        except OutOfTokensError:
            self.completions = False
        except SentenceError:
            # That says nothing about the template; the next batch may.
            return
        else:
            self.completions = False

    async def _answer(self, client: AsyncOpenAI, prompt: Prompt) -> Reply:
        """One reply; its ``error`` says why there is no answer."""
        try:
            answer = await self._ask(client, prompt, self.max_new_tokens)
        except OutOfTokensError:
            return Reply("", "length")
        except GenerationError as error:
            if not error.retryable and not isinstance(error, SentenceError):
                raise
            return Reply("", "error", error=str(error), retryable=error.retryable)
        if answer.refused:
            # The server looks for "filtered" in this message.
            return Reply(
                "",
                "error",
                error=f"{self._address} filtered the answer, or the model refused to give one",
            )
        return self._checked(prompt, answer).reply()

    def _checked(self, prompt: Prompt, answer: EndpointAnswer) -> EndpointAnswer:
        """The answer, if it keeps to the prompt's grammar or JSON schema.

        Reasoning need not keep to it; then the answer is empty.

        Raises:
            GenerationError: It does not.
        """
        constraint = ignored_constraint(
            prompt, answer.text, completion=bool(self.completions), cut=answer.cut
        )
        if constraint is not None and answer.is_reasoning:
            return self._checked(prompt, replace(answer, text="", is_reasoning=False))
        if constraint is not None:
            where = f" (id {prompt.id!r})" if prompt.id else ""
            raise GenerationError(
                f"{self._address} ignores {constraint}: an answer{where} is "
                f"{answer.text.strip()[:60]!r}; see docs/generation.md for servers that follow them"
            )
        if answer.is_reasoning and not self._sends_reasoning:
            self._sends_reasoning = True
            self._tell(
                "sends reasoning and no content, so answers are looked for in the reasoning; "
                "switch it off if the model can do without, or raise --max-new-tokens"
            )
        return answer

    async def _ask(self, client: AsyncOpenAI, prompt: Prompt, limit: int) -> EndpointAnswer:
        """The answer to a request, which is written anew as often as the endpoint refuses a field.

        That comes to an end: what was refused is not sent again.
        """
        while True:
            request = self._dialect.written(
                request_for(
                    prompt,
                    limit,
                    completion=bool(self.completions),
                    temperature=self.temperature,
                    seed=self.seed,
                    fields=self.request_fields,
                )
            )
            try:
                send = partial(post, client, str(self.model_name), request)
                return await self._send(send, read_answer, prompt)
            except GenerationError as failure:
                if not self._dialect.adapt(failure.__cause__, request, self._key):
                    raise

    def _tell(self, what: str) -> None:
        """Tell the user something about the endpoint."""
        message = f"{self._address} {what}"
        if self._report is None:
            log.warning("%s", message)
        else:
            self._report(f"warning: {message}")

    async def _send(
        self,
        send: Callable[[], Awaitable[Any]],
        read: Callable[[bytes], _T],
        prompt: Prompt | None = None,
    ) -> _T:
        """What the endpoint answers, after as many attempts as it takes.

        Raises:
            GenerationError: The endpoint refuses, or every attempt failed; then ``retryable`` is
                set.
        """
        from openai import APIStatusError

        seconds = self.timeout + min(self.timeout, _connection.CONNECT_SECONDS)
        try:
            return await send_until_answered(
                send,
                read,
                attempts=self.attempts,
                seconds=seconds,
                endpoint=self._address,
                key=self._key,
            )
        except (APIStatusError, StatedError) as error:
            raise failure_of(
                error,
                prompt,
                endpoint=self._address,
                key=self._key,
                model=self.model_name,
                attempts=self.attempts,
                max_new_tokens=self.max_new_tokens,
            ) from error


ENGINE = OpenAIGenerator
