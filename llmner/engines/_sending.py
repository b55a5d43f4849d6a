"""Sending one request to an endpoint until it is answered, or it is clear that it will not be.

What is sent, and what an answer means, is ``openai_engine``'s.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from llmner._mishaps import one_line
from llmner._secrets import masked
from llmner.engines._answers import UnreadableError
from llmner.errors import GenerationError

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["SentenceError", "bounded", "first", "may_pass", "message", "sent"]

_T = TypeVar("_T")

_LONGEST_WAIT = 30.0
# Bytes of an answer: thousands of tokens with their probabilities are a tenth of it.
_LONGEST_ANSWER = 32 << 20
# Bytes that are read of an error; no more than its first sentences are shown.
_LONGEST_ERROR = 1 << 16


class SentenceError(GenerationError):
    """No answer to this question, which says nothing of others: it is too long, or filtered."""


async def sent(
    send: Callable[[], Awaitable[Any]],
    attempts: int,
    read: Callable[[bytes], _T],
    *,
    seconds: float,
    key: str,
) -> _T:
    """What an endpoint answers, after as many attempts as it takes.

    Args:
        send: Sends the request once; gives a response whose ``content`` are its bytes.
        attempts: How often at most.
        read: Makes an answer of them, or raises :class:`UnreadableError`.
        seconds: An attempt may take, from the first byte sent to the last received.
        key: What no error may show.

    Raises:
        openai.APIStatusError: It refuses.
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
    except (APIConnectionError, UnreadableError, TimeoutError) as error:
        why = (
            error.__cause__ if isinstance(error, APIConnectionError) and error.__cause__ else error
        )
        kind_of = type(why).__name__.lstrip("_")
        told = one_line(masked(f"{kind_of}: {why}" if str(why) else kind_of, (key,)))
        # Where nothing listens, no other question need be asked; a question may also take too long.
        late = isinstance(error, APITimeoutError) and type(why).__name__ != "ConnectTimeout"
        silent = isinstance(error, APIConnectionError) and not late
        kind = GenerationError if silent else SentenceError
        raise kind(f"no answer after {attempts} attempts ({told})", retryable=True) from error


async def _once(
    send: Callable[[], Awaitable[Any]], read: Callable[[bytes], _T], seconds: float
) -> _T:
    """One attempt; what is no answer to a question counts as lost."""
    import anyio
    from openai import APIResponseValidationError

    try:
        # The client's own limits are between two bytes: one every minute would keep it waiting for
        # ever.
        with anyio.fail_after(seconds):
            response = await send()
        return read(response.content)
    except TimeoutError:
        raise TimeoutError(f"not whole after {seconds:g} s") from None
    except (ValueError, LookupError, RecursionError, APIResponseValidationError) as error:
        # An error whose body the client cannot even decode.
        raise UnreadableError(f"unreadable: {type(error).__name__}: {error}") from error


def bounded(response: Any) -> None:
    """Have no more of a response read than an answer can be; of an error, its beginning.

    Compressed bodies are unpacked here, so that a small one does not become a huge one.

    Args:
        response: Of ``httpx`` or ``httpx2``, whichever the client uses; its body not read yet.
    """
    http = import_module(type(response).__module__.partition(".")[0])
    body = response.stream
    packed = response.headers.pop("content-encoding", "identity").strip().lower()
    most = _LONGEST_ERROR if response.status_code >= 400 else _LONGEST_ANSWER

    class Bounded(http.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            if packed not in ("identity", "", "gzip", "x-gzip", "deflate"):
                raise http.DecodingError(
                    f"an answer packed as {one_line(packed, 40)}, which was not asked for"
                )
            # Either of the two.
            unpacker = zlib.decompressobj(47) if packed not in ("identity", "") else None
            left = most
            async for chunk in body:
                if unpacker is not None:
                    try:
                        chunk = unpacker.decompress(chunk, left + 1)
                    except zlib.error:
                        raise http.DecodingError(
                            f"an answer that is not packed as {packed}"
                        ) from None
                if len(chunk) > left:
                    if most == _LONGEST_ANSWER:
                        raise http.DecodingError(f"an answer of more than {most >> 20} MiB")
                    yield chunk[:left]
                    return
                left -= len(chunk)
                yield chunk

        async def aclose(self) -> None:
            await body.aclose()

    response.stream = Bounded()
    # As JSON is; the client would look for whatever codec the endpoint names, and some decode no
    # text.
    response.encoding = "utf-8"


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed when it is sent again."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        return error.status_code in (408, 409, 429) or error.status_code >= 500
    return isinstance(error, APIConnectionError | UnreadableError | TimeoutError)


def _wait(state: RetryCallState) -> float:
    """Seconds to the next attempt: what the endpoint asks for, else growing ones, a little
    apart.
    """
    from tenacity import wait_random_exponential

    error = state.outcome.exception() if state.outcome is not None else None
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        asked = float(headers.get("retry-after", ""))
    except ValueError:
        asked = math.nan
    if math.isnan(asked):
        return float(wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT)(state))
    return min(max(asked, 0.0), _LONGEST_WAIT)


def message(error: Any, key: str) -> str:
    """What an endpoint says of an error: one line, without any key."""
    body = error.body
    if isinstance(body, dict):
        body = body.get("error", body)
    told = body.get("message") if isinstance(body, dict) else body
    return one_line(masked(told if isinstance(told, str) and told.strip() else str(error), (key,)))


def first(errors: BaseExceptionGroup[Any]) -> GenerationError:
    """The error among those of questions that went out together."""
    for error in errors.exceptions:
        if isinstance(error, GenerationError):
            return error
        if isinstance(error, BaseExceptionGroup):
            return first(error)
    raise errors
