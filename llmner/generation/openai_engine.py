"""The ``openai`` engine: any endpoint that speaks OpenAI's protocol (vLLM, llama.cpp, SGLang, Ollama, OpenAI).

Requests go out together, as many at a time as the endpoint should be asked, and are sent again while that may
help. What a reply means is ``replies``' to say.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmner.chat import Prompt
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.generation._types import Reply, decoding

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from tenacity import RetryCallState

__all__ = ["DEFAULT_URL", "OpenAIGenerator"]

DEFAULT_URL = "http://127.0.0.1:8000/v1"
"""Where vLLM's own server listens."""

_LONGEST_WAIT = 30.0
# What is wrong with one question: its form, its length, what it says.
_REFUSED = (400, 413, 422)


class _UnreadableError(Exception):
    """An answer that is none: no JSON, or without the fields an answer has."""


class OpenAIGenerator:
    """Answers prompts through an OpenAI-compatible endpoint.

    What may pass is sent again, with growing waits or as long as the endpoint asks for: 408, 409, 429, 5xx,
    timeouts, lost connections, answers that are no answer. A sentence that fails in every attempt, or that the
    endpoint refuses (400, 413, 422: too long, filtered), gets a reply with ``error`` set and holds up no other;
    what would fail for every sentence ends the run.

    Args:
        model: Model (or served adapter) name; ``None`` for the only one the endpoint has.
        base_url: The endpoint, ending in ``/v1``; by default ``OPENAI_BASE_URL``, else :data:`DEFAULT_URL`.
        api_key: By default ``OPENAI_API_KEY``; local servers need none.
        completions: Ask for a completion of the conversation as plain text, as models without a chat template
            need; ``None`` to do so where the endpoint says that there is no template.
        concurrency: Requests on their way at once.
        timeout: Seconds until a request counts as lost.
        attempts: How often a request is sent at most.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 for the likeliest answer; above, answers are drawn, each sample of a prompt another one.
        seed: Of draws, for endpoints that take one.

    Raises:
        InputError: A number that must be positive is not.
    """

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
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        for name, value in (("concurrency", concurrency), ("timeout", timeout), ("attempts", attempts)):
            if value <= 0:
                raise InputError(f"{name} {value} is not positive")
        self.model_name = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
        self.completions = completions
        self.concurrency = concurrency
        self.timeout = timeout
        self.attempts = attempts
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.seed = seed
        self._api_key = api_key

    def describe(self) -> dict[str, Any]:
        """Engine, model and decoding settings; the address decides no answer and is left out.

        Raises:
            GenerationError: No model was named, and the endpoint does not have one alone.
        """
        if self.model_name is None:
            self._call(self._find_model)
        return {
            "engine": "openai",
            "model": self.model_name,
            "adapter": None,
            **decoding(self.temperature, self.seed),
            "max_new_tokens": self.max_new_tokens,
        }

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer the prompts; replies come in the prompts' order.

        Raises:
            MissingExtraError: The ``openai`` extra is not installed.
            GenerationError: The endpoint refuses key, model or question, or does not answer at all.
        """
        if not prompts:
            return []
        replies: list[Reply] = self._call(self._all, prompts)
        return replies

    def _call(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Run ``work(client, *arguments)`` in a loop of its own."""
        try:
            from anyio.from_thread import start_blocking_portal
            from openai import AsyncOpenAI
        except ImportError:
            raise MissingExtraError("openai", "asking an endpoint") from None
        # The client wants some key, and local servers look at none.
        key = self._api_key or os.environ.get("OPENAI_API_KEY") or "none"

        async def connected() -> Any:
            options = {"base_url": self.base_url, "api_key": key, "timeout": self.timeout}
            async with AsyncOpenAI(**options, max_retries=0) as client:
                return await work(client, *arguments)

        # In a thread: the caller may be in a loop already, as in a notebook.
        with start_blocking_portal() as portal:
            return portal.call(connected)

    async def _all(self, client: AsyncOpenAI, prompts: Sequence[Prompt]) -> list[Reply]:
        import anyio

        replies: list[Reply] = [Reply("")] * len(prompts)
        room = anyio.CapacityLimiter(self.concurrency)

        async def ask(number: int) -> None:
            async with room:
                replies[number] = await self._ask(client, prompts[number])

        await self._find_model(client)
        await self._find_template(client, prompts[0])
        try:
            async with anyio.create_task_group() as group:
                for number in range(len(prompts)):
                    group.start_soon(ask, number)
        except* GenerationError as errors:
            raise _first(errors) from None
        if all(reply.error is not None for reply in replies) and not await self._answers(client):
            raise GenerationError(f"{self.base_url} answered nothing: {replies[0].error}", retryable=True)
        return replies

    async def _answers(self, client: AsyncOpenAI) -> bool:
        """Whether the endpoint answers a plain question: the sentences are at fault then."""
        probe = Prompt(({"role": "user", "content": "."},), ".", "\n", ".")
        try:
            await (self._complete if self.completions else self._chat)(client, probe, 1)
        except GenerationError:
            return False
        return True

    async def _find_model(self, client: AsyncOpenAI) -> None:
        """The model's name, where none was given and the endpoint has one alone."""
        if self.model_name is not None:
            return
        page = await self._sent(client.models.list)
        names = [model.id for model in getattr(page, "data", None) or ()]
        if len(names) != 1:
            there = f"has {', '.join(names)}" if names else "lists no model"
            raise GenerationError(f"{self.base_url} {there}; name one with --model")
        self.model_name = names[0]

    async def _find_template(self, client: AsyncOpenAI, prompt: Prompt) -> None:
        """Whether the model has a chat template; endpoints say so only when they are asked."""
        if self.completions is not None:
            return
        try:
            await self._chat(client, prompt, 1)
        except _NoTemplateError:
            self.completions = True
        except _SentenceError:
            # It says nothing of the template; the next batch may.
            return
        else:
            self.completions = False

    async def _ask(self, client: AsyncOpenAI, prompt: Prompt) -> Reply:
        """One answer, or a reply that says why there is none."""
        try:
            answer = await (self._complete if self.completions else self._chat)(
                client, prompt, self.max_new_tokens
            )
        except GenerationError as error:
            if not error.retryable and not isinstance(error, _SentenceError):
                raise
            return Reply("", "error", error=str(error))
        (choice, *_), usage = answer.choices, answer.usage
        text = choice.text if self.completions else choice.message.content
        return Reply(
            (text or "").strip(),
            "length" if choice.finish_reason == "length" else "stop",
            None if usage is None else usage.prompt_tokens,
            None if usage is None else usage.completion_tokens,
        )

    async def _chat(self, client: AsyncOpenAI, prompt: Prompt, limit: int) -> Any:
        return await self._sent(
            lambda: client.chat.completions.create(
                model=str(self.model_name),
                messages=[{"role": turn["role"], "content": turn["content"]} for turn in prompt.messages],
                temperature=0,
                max_tokens=limit,
            ),
            prompt,
        )

    async def _complete(self, client: AsyncOpenAI, prompt: Prompt, limit: int) -> Any:
        return await self._sent(
            lambda: client.completions.create(
                model=str(self.model_name),
                prompt=prompt.completion,
                temperature=0,
                max_tokens=limit,
                stop=[prompt.stop],
            ),
            prompt,
        )

    async def _sent(self, send: Callable[[], Awaitable[Any]], prompt: Prompt | None = None) -> Any:
        """What the endpoint answers, after as many attempts as it takes.

        Raises:
            GenerationError: It refuses, or every attempt failed; ``retryable`` tells them apart.
        """
        from openai import APIConnectionError, APIStatusError, APITimeoutError
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.attempts),
            wait=_wait,
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            return await retrying(_readable, send, prompt is not None)
        except APIStatusError as error:
            raise self._refused(error, prompt) from error
        except (APIConnectionError, _UnreadableError) as error:
            why = error.__cause__ if isinstance(error, APIConnectionError) and error.__cause__ else error
            told = " ".join(f"{type(why).__name__.lstrip('_')}: {why}".split())
            # Where nothing listens, no other question need be asked; a question may also take too long.
            silent = isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError)
            kind = GenerationError if silent else _SentenceError
            raise kind(f"no answer after {self.attempts} attempts ({told})", retryable=True) from error

    def _refused(self, error: Any, prompt: Prompt | None) -> GenerationError:
        """A status that is no answer, in one line with the way out."""
        status, told = error.status_code, " ".join(_message(error).split())
        where = f" (id {prompt.id!r})" if prompt is not None and prompt.id else ""
        if _may_pass(error):
            return _SentenceError(f"{status} after {self.attempts} attempts ({told})", retryable=True)
        if status in (401, 403):
            return GenerationError(f"{self.base_url} refuses the key ({told}); set OPENAI_API_KEY")
        if status == 404:
            return GenerationError(
                f"{self.base_url} has no {self.model_name!r}, or no such address ({told}); "
                "see --model and --base-url"
            )
        if status == 400 and "chat template" in told:
            return _NoTemplateError(f"{self.model_name} has no chat template: {told}")
        if "context" in told and ("length" in told or "token" in told):
            return _SentenceError(
                f"a question{where} and an answer of {self.max_new_tokens} tokens do not fit into the model's "
                f"context ({told}); shorten the text or --max-new-tokens"
            )
        problem = f"{self.base_url} answers {status}{where}: {told}"
        return _SentenceError(problem) if status in _REFUSED else GenerationError(problem)


class _SentenceError(GenerationError):
    """No answer to this question, which says nothing of others: it is too long, or filtered."""


class _NoTemplateError(GenerationError):
    """The endpoint cannot fill in a conversation."""


async def _readable(send: Callable[[], Awaitable[Any]], answers: bool) -> Any:
    """One attempt; what is no answer to a question counts as lost."""
    from openai import APIResponseValidationError

    try:
        got = await send()
    except (ValueError, APIResponseValidationError) as error:
        raise _UnreadableError(f"no JSON: {error}") from error
    if answers:
        choices = getattr(got, "choices", None)
        if not isinstance(choices, list) or not choices:
            raise _UnreadableError(f"an answer without choices: {str(got)[:80]!r}")
        choice = choices[0]
        if not hasattr(choice, "finish_reason") or not (hasattr(choice, "text") or _has_message(choice)):
            raise _UnreadableError(f"an answer without a message: {str(choice)[:80]!r}")
    return got


def _has_message(choice: Any) -> bool:
    return isinstance(getattr(getattr(choice, "message", None), "content", 0), str | None)


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed when it is sent again."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        return error.status_code in (408, 409, 429) or error.status_code >= 500
    return isinstance(error, APIConnectionError | _UnreadableError)


def _wait(state: RetryCallState) -> float:
    """Seconds to the next attempt: what the endpoint asks for, else growing ones, a little apart."""
    from tenacity import wait_random_exponential

    error = state.outcome.exception() if state.outcome is not None else None
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return min(max(float(headers.get("retry-after", "")), 0.0), _LONGEST_WAIT)
    except ValueError:
        return float(wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT)(state))


def _message(error: Any) -> str:
    body = error.body
    if isinstance(body, dict):
        body = body.get("error", body)
    told = body.get("message") if isinstance(body, dict) else body
    return str(told or error)[:300]


def _first(errors: BaseExceptionGroup[Any]) -> GenerationError:
    for error in errors.exceptions:
        if isinstance(error, GenerationError):
            return error
        if isinstance(error, BaseExceptionGroup):
            return _first(error)
    raise errors
