"""Sending one request to an endpoint until it is answered, or it is clear that it will not be.

What is sent, and what an answer means, is ``openai_engine``'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from llmner.errors import GenerationError

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["SentenceError", "first", "may_pass", "message", "sent"]

_LONGEST_WAIT = 30.0


class _UnreadableError(Exception):
    """An answer that is none: no JSON, or without the fields an answer has."""


class SentenceError(GenerationError):
    """No answer to this question, which says nothing of others: it is too long, or filtered."""


async def sent(send: Callable[[], Awaitable[Any]], attempts: int, *, answers: bool) -> Any:
    """What an endpoint answers, after as many attempts as it takes.

    Args:
        send: Sends the request once.
        attempts: How often at most.
        answers: Whether it is an answer to a question that is waited for.

    Raises:
        openai.APIStatusError: It refuses.
        GenerationError: Every attempt failed.
    """
    from openai import APIConnectionError, APITimeoutError
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts), wait=_wait, retry=retry_if_exception(may_pass), reraise=True
    )
    try:
        return await retrying(_readable, send, answers)
    except (APIConnectionError, _UnreadableError) as error:
        why = error.__cause__ if isinstance(error, APIConnectionError) and error.__cause__ else error
        told = " ".join(f"{type(why).__name__.lstrip('_')}: {why}".split())
        # Where nothing listens, no other question need be asked; a question may also take too long.
        late = isinstance(error, APITimeoutError) and type(why).__name__ != "ConnectTimeout"
        silent = isinstance(error, APIConnectionError) and not late
        kind = GenerationError if silent else SentenceError
        raise kind(f"no answer after {attempts} attempts ({told})", retryable=True) from error


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


def may_pass(error: BaseException) -> bool:
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


def message(error: Any) -> str:
    body = error.body
    if isinstance(body, dict):
        body = body.get("error", body)
    told = body.get("message") if isinstance(body, dict) else body
    return str(told or error)[:300]


def first(errors: BaseExceptionGroup[Any]) -> GenerationError:
    for error in errors.exceptions:
        if isinstance(error, GenerationError):
            return error
        if isinstance(error, BaseExceptionGroup):
            return first(error)
    raise errors
