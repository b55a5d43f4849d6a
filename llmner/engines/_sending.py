"""Send one request to an endpoint until it is answered, or it is clear that it will not be.

What is sent is up to the engine (``openai_engine``); an answer is read by ``_answers``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from llmner._mishaps import one_line
from llmner._secrets import masked
from llmner.engines._error_bodies import StatedError, UnreadableError
from llmner.engines._failures import SentenceError, may_pass
from llmner.errors import GenerationError

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["bounded", "send_until_answered"]

_T = TypeVar("_T")

# Seconds between two attempts at most.
_LONGEST_WAIT = 30.0
# Bytes of an answer: thousands of tokens with their probabilities are a tenth of it.
_LONGEST_ANSWER = 32 << 20
# Bytes that are read of an error, of which only the first sentences are shown.
_LONGEST_ERROR = 1 << 16


async def send_until_answered(
    send: Callable[[], Awaitable[Any]],
    read: Callable[[bytes], _T],
    *,
    attempts: int,
    seconds: float,
    endpoint: str,
    key: str,
) -> _T:
    """What an endpoint answers, after as many attempts as it takes.

    Args:
        send: Sends the request once; returns a response whose ``content`` is its body.
        read: Reads the body, or raises :class:`UnreadableError`.
        attempts: How often to send at most.
        seconds: Longest time of one attempt, from the first byte sent to the last received.
        endpoint: The address, as errors may show it.
        key: The key, which errors must not show.

    Raises:
        openai.APIStatusError: The endpoint refuses.
        StatedError: It refuses with status 200.
        GenerationError: Every attempt failed.
    """
    from openai import APIConnectionError, APITimeoutError
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=_wait,
        retry=retry_if_exception(may_pass),
        reraise=True,
    )

    async def once() -> _T:
        return await _once(send, read, seconds)

    try:
        answer: _T = await retrying(once)
        return answer
    except StatedError:
        raise
    except (APIConnectionError, UnreadableError, TimeoutError) as error:
        cause = (
            error.__cause__ if isinstance(error, APIConnectionError) and error.__cause__ else error
        )
        name = type(cause).__name__.lstrip("_")
        reason = one_line(masked(f"{name}: {cause}" if str(cause) else name, (key,)))
        # A question may take too long. But if nothing listens, no other question need be asked.
        timed_out = isinstance(error, APITimeoutError) and name != "ConnectTimeout"
        unreachable = isinstance(error, APIConnectionError) and not timed_out
        kind = GenerationError if unreachable else SentenceError
        problem = f"{endpoint}: no answer after {attempts} attempts ({reason})"
        raise kind(problem, retryable=True) from error


async def _once(
    send: Callable[[], Awaitable[Any]], read: Callable[[bytes], _T], seconds: float
) -> _T:
    """One attempt. An answer that cannot be read counts as lost."""
    import anyio
    from openai import APIResponseValidationError

    try:
        # The client's own limit is the time between two bytes: an endpoint that sends a byte every
        # minute would keep it waiting for ever.
        with anyio.fail_after(seconds):
            response = await send()
        return read(response.content)
    except TimeoutError:
        raise TimeoutError(f"not complete after {seconds:g} s") from None
    except (ValueError, LookupError, RecursionError, APIResponseValidationError) as error:
        # For example, the client cannot decode the body of an error.
        raise UnreadableError(f"unreadable: {type(error).__name__}: {error}") from error


def bounded(response: Any) -> None:
    """Limit how much of a response is read: a whole answer, or the beginning of an error.

    Compressed bodies are decompressed here, so that a small body cannot become a huge one.

    Args:
        response: A response of ``httpx`` or ``httpx2``, whichever the client uses. Its body must
            not have been read yet.
    """
    http = import_module(type(response).__module__.partition(".")[0])
    body = response.stream
    encoding = response.headers.pop("content-encoding", "identity").strip().lower()
    compressed = encoding not in ("identity", "")
    limit = _LONGEST_ERROR if response.status_code >= 400 else _LONGEST_ANSWER

    class Bounded(http.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            if compressed and encoding not in ("gzip", "x-gzip", "deflate"):
                raise http.DecodingError(
                    f"an answer compressed by {one_line(encoding, 40)}, which was not asked for"
                )
            # 47 stands for either of the two formats.
            decompressor = zlib.decompressobj(47) if compressed else None
            left = limit
            async for chunk in body:
                if decompressor is not None:
                    try:
                        chunk = decompressor.decompress(chunk, left + 1)
                    except zlib.error:
                        raise http.DecodingError(f"an answer that is not {encoding}") from None
                if len(chunk) > left:
                    if limit == _LONGEST_ANSWER:
                        raise http.DecodingError(f"an answer of more than {limit >> 20} MiB")
                    yield chunk[:left]
                    return
                left -= len(chunk)
                yield chunk

        async def aclose(self) -> None:
            await body.aclose()

    response.stream = Bounded()
    # JSON is UTF-8. Otherwise the client would use whatever codec the endpoint names, also codecs
    # that do not decode text.
    response.encoding = "utf-8"


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: what the endpoint asks for, else random and growing."""
    from tenacity import wait_random_exponential

    error = state.outcome.exception() if state.outcome is not None else None
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        return float(wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT)(state))
    return min(max(seconds, 0.0), _LONGEST_WAIT)
