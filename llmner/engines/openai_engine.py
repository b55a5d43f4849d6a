"""The ``openai`` engine: any endpoint that speaks OpenAI's protocol (vLLM, llama.cpp, SGLang,
Ollama, OpenAI).

Requests go out together, as many at a time as the endpoint should be asked, and are sent again
while that may help. What a reply means is ``replies``' to say.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from llmner._mishaps import Mishap, attempt, one_line
from llmner._secrets import masked
from llmner.engines._answers import EndpointAnswer, read_answer, read_models
from llmner.engines._sending import SentenceError, bounded, first, may_pass, message, sent
from llmner.engines._types import PLAIN_QUESTION, Capabilities, Engine, Reply, decoding, prompt_seed
from llmner.engines.grammars import continued, is_answer
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.recipes.chat import Prompt

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from openai import AsyncOpenAI

__all__ = ["DEFAULT_URL", "OpenAIGenerator"]

_T = TypeVar("_T")

DEFAULT_URL = "http://127.0.0.1:8000/v1"
"""Where vLLM's own server listens."""

# Seconds until an address where nothing answers counts as lost.
_CONNECT = 5.0

# What is wrong with one question: its form, its length, what it says.
_REFUSED = (400, 413, 422)
# What a refusal says where a grammar or a schema is what it refuses.
_FORM = re.compile(r"(?i)grammar|structured.?outputs?|response.?format|json.?schema")


class OpenAIGenerator(Engine):
    """Answers prompts through an OpenAI-compatible endpoint.

    What may pass is sent again, with growing waits or as long as the endpoint asks for: 408, 409,
    429, 5xx, timeouts, lost connections, answers that are no answer. A sentence that fails in every
    attempt, or that the endpoint refuses (400, 413, 422: too long, filtered), gets a reply with
    ``error`` set and holds up no other; what would fail for every sentence ends the run. An answer
    is read field by field: counts and probabilities that are none count as not told. Errors are one
    line each, and show no key.

    Grammars are sent as vLLM takes them, JSON schemas as OpenAI does, and every answer is checked:
    an endpoint that ignores them ends the run. Probabilities of tokens are asked for where the
    endpoint has them; under a grammar vLLM's are those among the tokens that it allows.

    Args:
        model: Model (or served adapter) name; ``None`` for the only one the endpoint has.
        base_url: The endpoint, ending in ``/v1``; by default ``OPENAI_BASE_URL``, else
            :data:`DEFAULT_URL`.
        api_key: By default ``OPENAI_API_KEY``; local servers need none.
        completions: Ask for a completion of the conversation as plain text, as models without a
            chat template need; ``None`` to do so where the endpoint says that there is no template.
        concurrency: Requests on their way at once.
        timeout: Seconds until a request counts as lost, its answer read to the end.
        attempts: How often a request is sent at most.
        deadline: Seconds that one call of ``generate`` may take; ``None`` for as long as its
            attempts take.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 for the likeliest answer; above, answers are drawn, each sample of a prompt
            another one.
        seed: Of draws, for endpoints that take one.

    Raises:
        InputError: A number that must be positive is not.
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
    ) -> None:
        for name, value in (
            ("concurrency", concurrency),
            ("timeout", timeout),
            ("attempts", attempts),
            ("deadline", deadline),
        ):
            # NaN is no number of anything.
            if value is not None and not value > 0:
                raise InputError(f"{name} {value} is not positive")
        self.model_name = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
        self.completions = completions
        self.concurrency = concurrency
        self.timeout = timeout
        self.attempts = attempts
        self.deadline = deadline
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.seed = seed
        self._api_key = api_key
        self._connected: tuple[BlockingPortal, AsyncOpenAI] | None = None
        # Whether the endpoint gives probabilities; until it says otherwise.
        self._logprobs = True

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
        replies: list[Reply] = self._call(self._in_time, prompts)
        return replies

    def __enter__(self) -> Self:
        """Keep connections open from one call to the next; calls may come from several threads at
        once.
        """
        self._kept = ExitStack()
        self._connected = self._kept.enter_context(self._connection())
        return self

    def __exit__(self, *_: object) -> None:
        self._connected = None
        self._kept.close()

    @contextmanager
    def _connection(self) -> Iterator[tuple[BlockingPortal, AsyncOpenAI]]:
        """A client, and the loop that it lives in: the caller may be in one already, as in a
        notebook.
        """
        try:
            from anyio import CancelScope
            from anyio.from_thread import start_blocking_portal
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout
        except ImportError:
            raise MissingExtraError("openai", "asking an endpoint") from None
        key = self._key
        if not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                "the key has a character that no HTTP header can hold",
                hint="look at OPENAI_API_KEY",
            )
        # Where nothing listens, that shows in seconds.
        timeout = Timeout(self.timeout, connect=min(self.timeout, _CONNECT))

        async def arrived(response: Any) -> None:
            bounded(response)

        with start_blocking_portal() as portal:
            client = attempt(
                AsyncOpenAI,
                base_url=self.base_url,
                api_key=key,
                timeout=timeout,
                max_retries=0,
                # What ``bounded`` unpacks.
                default_headers={"Accept-Encoding": "gzip, deflate"},
                http_client=DefaultAsyncHttpxClient(
                    timeout=timeout, event_hooks={"response": [arrived]}
                ),
            )
            if isinstance(client, Mishap):
                raise InputError(
                    f"{self._shown} is no address ({client.message})",
                    hint="expected http://HOST:PORT/v1",
                )

            async def close() -> None:
                # What is under way still was asked by nobody who waits.
                await portal.stop(True)
                with CancelScope(shield=True):
                    await client.close()

            try:
                yield portal, client
            finally:
                portal.call(close)

    @property
    def _key(self) -> str:
        """The client wants some key, and local servers look at none."""
        return self._api_key or os.environ.get("OPENAI_API_KEY") or "none"

    @property
    def _shown(self) -> str:
        """The address, as errors have it."""
        return one_line(masked(self.base_url, (self._key,)))

    def _call(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Run ``work(client, *arguments)`` in the client's loop."""
        if self._connected is not None:
            portal, client = self._connected
            return portal.call(work, client, *arguments)
        with self._connection() as (portal, client):
            return portal.call(work, client, *arguments)

    async def _in_time(self, client: AsyncOpenAI, prompts: Sequence[Prompt]) -> list[Reply]:
        import anyio

        with anyio.move_on_after(self.deadline):
            return await self._all(client, prompts)
        raise GenerationError(
            f"{self._shown} did not answer within {self.deadline:g} s", retryable=True
        )

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
        except BaseExceptionGroup as errors:
            # Not except*: what is raised there comes in a group of its own, in some releases of
            # Python 3.11.
            ours, others = errors.split(GenerationError)
            if ours is None or others is not None:
                raise
            raise first(ours) from None
        lost = next((reply.error for reply in replies if reply.error is not None), None)
        # What a dead endpoint leaves unanswered is asked again by the next run; no row is made of
        # it.
        if lost is not None and not await self._answers(client):
            raise GenerationError(f"{self._shown} answers no more: {lost}", retryable=True)
        return replies

    async def _answers(self, client: AsyncOpenAI) -> bool:
        """Whether the endpoint answers a plain question: the sentences are at fault then."""
        try:
            await (self._complete if self.completions else self._chat)(client, PLAIN_QUESTION, 1)
        except GenerationError:
            return False
        return True

    async def _find_model(self, client: AsyncOpenAI) -> None:
        """The model's name, where none was given and the endpoint has one alone."""
        if self.model_name is not None:
            return
        names = await self._sent(client.models.with_raw_response.list, read_models)
        if len(names) != 1:
            there = f"has {one_line(', '.join(names))}" if names else "lists no model"
            raise GenerationError(f"{self._shown} {there}; name one with --model")
        self.model_name = names[0]

    async def _find_template(self, client: AsyncOpenAI, prompt: Prompt) -> None:
        """Whether the model has a chat template; endpoints say so only when they are asked."""
        if self.completions is not None:
            return
        try:
            await self._chat(client, prompt, 1)
        except _NoTemplateError:
            self.completions = True
        except SentenceError:
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
            if not error.retryable and not isinstance(error, SentenceError):
                raise
            return Reply("", "error", error=str(error), retryable=error.retryable)
        if answer.refused:
            return Reply(
                "",
                "error",
                error="the endpoint filtered the answer, or the model refused to give one",
            )
        self._check(prompt, answer.text, cut=answer.cut)
        return Reply(
            answer.text.strip(),
            "length" if answer.cut else "stop",
            answer.prompt_tokens,
            answer.completion_tokens,
            tokens=answer.tokens(),
        )

    def _check(self, prompt: Prompt, text: str, *, cut: bool) -> None:
        """Make sure that an answer is what it was to be kept to: some endpoints ignore fields they
        do not know.

        Raises:
            GenerationError: It is not.
        """
        if prompt.json_schema is not None:
            kept, what = _keeps(text, prompt.json_schema, cut=cut), "JSON schemas"
        elif prompt.grammar is not None:
            grammar = continued(prompt.grammar, prompt.stop) if self.completions else prompt.grammar
            # White space around an answer is nobody's, unless it is the text's own.
            kept = any(
                is_answer(each, grammar, cut=cut) for each in dict.fromkeys((text, text.strip()))
            )
            what = "grammars"
        else:
            return
        if not kept:
            where = f" (id {prompt.id!r})" if prompt.id else ""
            raise GenerationError(
                f"{self._shown} ignores {what}: an answer{where} is {text.strip()[:60]!r}; "
                "see docs/generation.md for servers that keep to them"
            )

    def _options(self, prompt: Prompt, limit: int) -> dict[str, Any]:
        """What completions and chats are asked alike."""
        options: dict[str, Any] = {"temperature": self.temperature, "max_tokens": limit}
        if self.temperature > 0:
            options["seed"] = prompt_seed(self.seed, prompt)
        if limit > 1 and prompt.json_schema is not None:
            form = {"name": "reply", "schema": dict(prompt.json_schema)}
            options["extra_body"] = {
                "response_format": {"type": "json_schema", "json_schema": form}
            }
        elif limit > 1 and prompt.grammar is not None:
            grammar = continued(prompt.grammar, prompt.stop) if self.completions else prompt.grammar
            options["extra_body"] = {"structured_outputs": {"grammar": grammar}}
        return options

    async def _chat(self, client: AsyncOpenAI, prompt: Prompt, limit: int) -> EndpointAnswer:
        messages: Any = [
            {"role": turn["role"], "content": turn["content"]} for turn in prompt.messages
        ]
        return await self._weighed(
            lambda weighed: client.chat.completions.with_raw_response.create(
                model=str(self.model_name),
                messages=messages,
                **({"logprobs": True} if weighed else {}),
                **self._options(prompt, limit),
            ),
            prompt,
        )

    async def _complete(self, client: AsyncOpenAI, prompt: Prompt, limit: int) -> EndpointAnswer:
        return await self._weighed(
            lambda weighed: client.completions.with_raw_response.create(
                model=str(self.model_name),
                prompt=prompt.completion,
                stop=[prompt.stop],
                **({"logprobs": 1} if weighed else {}),
                **self._options(prompt, limit),
            ),
            prompt,
        )

    async def _weighed(
        self, send: Callable[[bool], Awaitable[Any]], prompt: Prompt
    ) -> EndpointAnswer:
        """An answer with probabilities, or without where the endpoint refuses to give them."""
        if self._logprobs:
            try:
                return await self._sent(lambda: send(True), read_answer, prompt)
            except _NoLogprobsError:
                self._logprobs = False
        return await self._sent(lambda: send(False), read_answer, prompt)

    async def _sent(
        self,
        send: Callable[[], Awaitable[Any]],
        read: Callable[[bytes], _T],
        prompt: Prompt | None = None,
    ) -> _T:
        """What the endpoint answers, after as many attempts as it takes.

        Raises:
            GenerationError: It refuses, or every attempt failed; ``retryable`` tells them apart.
        """
        from openai import APIStatusError

        try:
            seconds = self.timeout + min(self.timeout, _CONNECT)
            return await sent(send, self.attempts, read, seconds=seconds, key=self._key)
        except APIStatusError as error:
            raise self._refused(error, prompt) from error

    def _refused(self, error: Any, prompt: Prompt | None) -> GenerationError:
        """A status that is no answer, in one line with the way out."""
        status, told = error.status_code, message(error, self._key)
        where = f" (id {prompt.id!r})" if prompt is not None and prompt.id else ""
        if may_pass(error):
            return SentenceError(
                f"{status} after {self.attempts} attempts ({told})", retryable=True
            )
        if status in (401, 403):
            return GenerationError(f"{self._shown} refuses the key ({told}); set OPENAI_API_KEY")
        if status == 404:
            return GenerationError(
                f"{self._shown} has no {self.model_name!r}, or no such address ({told}); "
                "see --model and --base-url"
            )
        if status in _REFUSED and "logprob" in told:
            return _NoLogprobsError(told)
        if status == 400 and "chat template" in told:
            return _NoTemplateError(f"{self.model_name} has no chat template: {told}")
        if ("context" in told and ("length" in told or "token" in told)) or "max_model_len" in told:
            return SentenceError(
                f"a question{where} and an answer of {self.max_new_tokens} tokens do not fit into "
                f"the model's "
                f"context ({told}); shorten the text or --max-new-tokens"
            )
        if prompt is not None and prompt.grammar is not None and _FORM.search(told):
            return GenerationError(
                f"{self._shown} takes no such grammar or JSON schema ({told}); see "
                f"docs/generation.md"
            )
        problem = f"{self._shown} answers {status}{where}: {told}"
        return SentenceError(problem) if status in _REFUSED else GenerationError(problem)


class _NoLogprobsError(GenerationError):
    """The endpoint does not tell probabilities."""


class _NoTemplateError(GenerationError):
    """The endpoint cannot fill in a conversation."""


def _keeps(text: str, schema: Mapping[str, Any], *, cut: bool) -> bool:
    try:
        import jsonschema
    except ImportError:
        raise MissingExtraError(
            "openai", "checking that an endpoint keeps to a JSON schema"
        ) from None
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, RecursionError):
        # What is cut off is no JSON yet.
        return cut
    except jsonschema.ValidationError:
        return False
    return True


ENGINE = OpenAIGenerator
