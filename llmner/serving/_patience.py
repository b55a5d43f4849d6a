"""How long the server waits for clients: for bodies that come slowly, for answers that are read
slowly.

Time is by what comes: some seconds, and one more for so many bytes. Who holds up too much all the
same is let go by the crowd that it waits in.
"""

from __future__ import annotations

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from llmner.serving._crowds import Crowd
from llmner.serving._refusals import RefusalError

__all__ = ["body_of", "rest_of", "send_long", "send_part"]

# Seconds for the first bytes, and bytes a second after that.
_GRACE = 10.0
_RATE = 50_000
# Seconds for which the rest of a body that is too large is read.
_DRAINING = 5.0
# Bytes of an answer that are sent at once.
_PIECE = 1 << 16


async def body_of(
    receive: Receive, declared: bytes, limit: int, timeout: float, crowd: Crowd
) -> bytes:
    """A request's body, whole.

    Args:
        receive: Where it comes from.
        declared: Its Content-Length; empty where it does not say.
        limit: Bytes it may have.
        timeout: Seconds after which it is late, whatever has come.
        crowd: Of those that are waited for.

    Raises:
        RefusalError: It has too many bytes, comes too slowly, or others need its place.
        ClientDisconnect: The client hung up.
    """
    started = anyio.current_time()
    parts: list[bytes] = []
    size = 0
    with anyio.CancelScope(deadline=started + min(timeout, _GRACE)) as patience:
        member = crowd.enter(patience.cancel)
        try:
            if declared and not (declared.isdigit() and int(declared[:20]) <= limit):
                await _drain(receive, 8 * limit)
                raise _too_large(limit)
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part = message.get("body", b"")
                size += len(part)
                more = message.get("more_body", False)
                if size > limit:
                    parts.clear()
                    crowd.shrink(member)
                    if more:
                        await _drain(receive, 8 * limit)
                    raise _too_large(limit)
                parts.append(part)
                if not more:
                    return b"".join(parts)
                crowd.grow(member, len(part))
                patience.deadline = started + min(timeout, _GRACE + size / _RATE)
        finally:
            crowd.leave(member)
    raise RefusalError(408, "slow", "the whole request did not come in time; send it again, faster")


def rest_of(body: bytes, receive: Receive) -> Receive:
    """What an app receives of a request whose body is there: the body, then whether the client
    is.
    """
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return left.pop() if left else await receive()

    return received


async def send_long(message: Message, send: Send, crowd: Crowd) -> None:
    """Send the last part of an answer in pieces: what a client does not read stays no longer than
    it may.

    Raises:
        ClientDisconnect: The client does not read.
    """
    body = memoryview(message["body"])
    started = anyio.current_time()
    with anyio.CancelScope(deadline=started + _GRACE) as patience:
        member = crowd.enter(patience.cancel, len(body))
        try:
            for at in range(0, len(body), _PIECE):
                piece = bytes(body[at : at + _PIECE])
                await send({**message, "body": piece, "more_body": at + _PIECE < len(body)})
                patience.deadline = started + _GRACE + at / _RATE
            return
        finally:
            crowd.leave(member)
    raise ClientDisconnect


async def send_part(message: Message, send: Send, timeout: float, crowd: Crowd) -> None:
    """Send a part of an answer that is streamed.

    Args:
        message: The part.
        send: Where it goes.
        timeout: Seconds that the client may take to make room for it.
        crowd: Of those whose clients are waited for.

    Raises:
        ClientDisconnect: The client does not read, or others need its place.
    """
    with anyio.CancelScope(deadline=anyio.current_time() + timeout) as patience:
        member = crowd.enter(patience.cancel, len(message.get("body", b"")))
        try:
            await send(message)
            return
        finally:
            crowd.leave(member)
    raise ClientDisconnect


def _too_large(limit: int) -> RefusalError:
    return RefusalError(
        413, "too_large", f"a request may have {limit} bytes; send texts in several"
    )


async def _drain(receive: Receive, size: int) -> None:
    """Read what is left of a body, so far as it is not too much: clients look for an answer only
    then.
    """
    with anyio.move_on_after(_DRAINING):
        while size > 0:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return
            size -= len(message["body"])
