"""uvicorn's HTTP protocol with limits on connections, headers and clients that do not read.

``_safety`` sees a request only when its headers are complete. What comes before, and what follows
an answer, is limited here.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

__all__ = ["BoundedProtocol", "bounded"]

# Most bytes of a request that do not belong to its body: first line and headers; also trailers and
# the sizes of chunks.
_HEAD_BYTES = 1 << 16
# Bytes that are parsed at once, which is how exactly the other limits are kept.
_PIECE = 1 << 14
# Seconds that a client has for a request's headers; for the rest of a request that has been
# answered already; and, at least, to read a part of an answer.
_SECONDS = 30.0
# Most requests that a client may send before its first one is answered, and their bytes.
_PIPELINED = 16
_PIPELINED_BYTES = 1 << 18
# Most connections. For a further one, the one that has kept the server waiting longest is closed.
_CONNECTIONS = 1000


def _most_connections() -> int:
    """Most connections, at most half of the files that this process may open."""
    if sys.platform == "win32":
        return _CONNECTIONS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _CONNECTIONS if soft == resource.RLIM_INFINITY else min(_CONNECTIONS, max(16, soft // 2))


class _TooManyError(Exception):
    """A client sent more requests ahead than it may."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed if its client sends too much or keeps the server waiting.

    Attributes:
        read_timeout: Seconds that a client has to read a part of an answer, if more than
            ``_SECONDS``.
    """

    read_timeout = 0.0
    # Bytes since the last one that belonged to a body, or ended the headers or a request.
    _head_bytes = 0
    # Whether a request is being received, and whether its headers are.
    _in_request = False
    _in_head = False
    # Closes the connection if the client sends too slowly.
    _receive_timer: asyncio.TimerHandle | None = None
    # Closes the connection if the client reads too slowly.
    _read_timer: asyncio.TimerHandle | None = None
    # When the server began to wait for this client.
    _waiting_since = 0.0
    # The request that is being answered. uvicorn's own ``cycle`` is the newest that was received.
    _answered: RequestResponseCycle | None = None
    # All bytes of the connection so far.
    _received = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # For each request in the pipeline, the bytes received when its headers were complete.
        self._queued: deque[int] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._receive_timer = self.loop.call_later(_SECONDS, transport.abort)
        room = _most_connections()
        if len(self.connections) > room:
            # A connection that was aborted stays in ``connections`` until the loop's next
            # iteration, and others may connect within this one.
            alive = [each for each in self.connections if not each.transport.is_closing()]
            waiting = [
                each for each in alive if isinstance(each, BoundedProtocol) and each._waits()
            ]
            if len(alive) > room and waiting:
                # This may close the connection that was just made.
                min(waiting, key=lambda each: each._waiting_since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._cancel_receive_timer()
        self._cancel_read_timer()
        if self._answered is not None and not self._answered.response_complete:
            # uvicorn tells only the newest request, which may still wait in the pipeline.
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_bytes = 0
        self._in_request = self._in_head = True
        if self._receive_timer is None:
            self._receive_timer = self.loop.call_later(_SECONDS, self.transport.abort)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header was received. Trailers behind a body are ignored."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are complete."""
        self._head_bytes = 0
        self._in_head = False
        self._cancel_receive_timer()
        if len(self.pipeline) >= _PIPELINED:
            # A request of a few bytes takes some thousand bytes of memory here.
            self.transport.abort()
            raise _TooManyError
        super().on_headers_complete()
        if len(self.pipeline) > len(self._queued):
            self._queued.append(self._received)
            # Only by reading on is it noticed that a client disconnects.
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        """A part of the body was received."""
        self._head_bytes = 0
        super().on_body(body)
        if self._queued:
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """The request is complete."""
        super().on_message_complete()
        self._head_bytes = 0
        self._in_request = False
        self._cancel_receive_timer()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        if self._queued:
            self._queued.popleft()
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The answer has been written."""
        self._waiting_since = self.loop.time()
        super().on_response_complete()
        if self._in_request and self._receive_timer is None and self.cycle.response_complete:
            # The rest of the request is of no use, but some clients look for an answer only after
            # they have sent everything.
            self._receive_timer = self.loop.call_later(_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Bytes were received."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._head_bytes += len(piece)
            self._received += len(piece)
            super().data_received(piece)
            if self.transport.is_closing():
                return
            if self._head_bytes > _HEAD_BYTES:
                self._refuse_head()
                return
            if self._queued and self._received - self._queued[0] > _PIPELINED_BYTES:
                self.transport.abort()
                return

    def _refuse_head(self) -> None:
        if self._in_request and (self._in_head or not self.cycle.response_started):
            self.send_400_response("The headers are too long.")
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not a request, if the connection is still open."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        """The client does not read, and the buffer is full."""
        super().pause_writing()
        if self._read_timer is None:
            seconds = max(_SECONDS, self.read_timeout)
            self._read_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read most of the buffer."""
        super().resume_writing()
        self._cancel_read_timer()

    def _waits(self) -> bool:
        """Whether the server waits for this client, and not the other way round."""
        return (
            self.cycle is None
            or self.flow.write_paused
            or self.cycle.response_complete
            or self.cycle.more_body
        )

    def _cancel_receive_timer(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _cancel_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None


def bounded(read_timeout: float) -> type[BoundedProtocol]:
    """A protocol whose clients may take ``read_timeout`` seconds to read a part of an answer."""
    return type("BoundedProtocol", (BoundedProtocol,), {"read_timeout": read_timeout})
