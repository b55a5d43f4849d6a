"""Receives bodies from slow clients, and sends answers to slow clients, within bounds.

A transfer has some seconds, and one more for so many bytes. While it lasts, the client is a member
of an :class:`~llmner.serving._pools.EvictingPool`, which drops it if others need the room.
"""

from __future__ import annotations

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from llmner.serving._pools import EvictingPool
from llmner.serving._refusals import RefusalError

__all__ = ["receive_body", "replay_body", "send_long", "send_part"]

# Seconds for the first bytes, and bytes per second after that.
_GRACE = 10.0
_RATE = 50_000
# Seconds for which the rest of a body that is too large is read.
_DRAINING = 5.0
# Bytes of an answer that are sent at once.
_PIECE = 1 << 16


async def receive_body(
    receive: Receive, declared: bytes, limit: int, timeout: float, pool: EvictingPool
) -> bytes:
    """Receive the whole body of a request.

    Args:
        receive: Gives the parts of the body.
        declared: The Content-Length header; empty if there is none.
        limit: Largest body, in bytes.
        timeout: Seconds after which the body is late, however much of it has come.
        pool: Clients whose bodies are being received.

    Raises:
        RefusalError: The body is too large, it comes too slowly, or others need its room.
        ClientDisconnect: The client disconnected.
    """
    started = anyio.current_time()
    parts: list[bytes] = []
    size = 0
    with anyio.CancelScope(deadline=started + min(timeout, _GRACE)) as scope:
        member = pool.enter(scope.cancel)
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
                    pool.shrink(member)
                    if more:
                        await _drain(receive, 8 * limit)
                    raise _too_large(limit)
                parts.append(part)
                if not more:
                    return b"".join(parts)
                pool.grow(member, len(part))
                scope.deadline = started + min(timeout, _GRACE + size / _RATE)
        finally:
            pool.leave(member)
    raise RefusalError(408, "slow", "the request's body came too slowly; send it again, faster")


def replay_body(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` for an app: it gives the received body first, then what ``receive`` gives."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


async def send_long(message: Message, send: Send, pool: EvictingPool) -> None:
    """Send the last part of an answer in pieces, and give up if the client reads too slowly.

    Args:
        message: The part.
        send: Sends a message to the client.
        pool: Clients that are being sent an answer.

    Raises:
        ClientDisconnect: The client does not read, or others need its room.
    """
    body = memoryview(message["body"])
    started = anyio.current_time()
    with anyio.CancelScope(deadline=started + _GRACE) as scope:
        member = pool.enter(scope.cancel, len(body))
        try:
            for start in range(0, len(body), _PIECE):
                piece = bytes(body[start : start + _PIECE])
                await send({**message, "body": piece, "more_body": start + _PIECE < len(body)})
                scope.deadline = started + _GRACE + start / _RATE
            return
        finally:
            pool.leave(member)
    raise ClientDisconnect


async def send_part(message: Message, send: Send, timeout: float, pool: EvictingPool) -> None:
    """Send one part of an answer, as a whole.

    Args:
        message: The part.
        send: Sends a message to the client.
        timeout: Seconds that the client may take to make room for it.
        pool: Clients that are being sent an answer.

    Raises:
        ClientDisconnect: The client does not read, or others need its room.
    """
    with anyio.CancelScope(deadline=anyio.current_time() + timeout) as scope:
        member = pool.enter(scope.cancel, len(message.get("body", b"")))
        try:
            await send(message)
            return
        finally:
            pool.leave(member)
    raise ClientDisconnect


def _too_large(limit: int) -> RefusalError:
    return RefusalError(
        413, "too_large", f"a request may have at most {limit} bytes; split it into several"
    )


async def _drain(receive: Receive, size: int) -> None:
    """Read the rest of a body, up to ``size`` bytes.

    Many clients look for an answer only after they have sent everything.
    """
    with anyio.move_on_after(_DRAINING):
        while size > 0:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return
            size -= len(message["body"])
