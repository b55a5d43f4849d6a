"""uvicorn's reading of requests, with bounds on what comes before a body: ``_safety`` sees it only
then.

And on what stays behind an answer: how many connections there are, and how long a client may take
to read.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

__all__ = ["BoundedProtocol", "bounded"]

# Bytes of a request's first line and headers; and of what else is no body: trailers, sizes of
# chunks.
_HEAD = 1 << 16
# Bytes that are read at once: how exactly the others are counted.
_PIECE = 1 << 14
# Seconds until a head must be there, for the rest of a request that has its answer already, and (at
# least) until a client has read a part of what is written.
_SECONDS = 30.0
# Requests that a client may send before the answer to its first, and bytes of them.
_PIPELINED = 16
_AHEAD = 1 << 18
# Connections at once; when there is one more, the one that has let the server wait longest is
# closed.
_CONNECTIONS = 1000


def _connections() -> int:
    """How many there may be: files are needed for other things too."""
    if sys.platform == "win32":
        return _CONNECTIONS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _CONNECTIONS if soft == resource.RLIM_INFINITY else min(_CONNECTIONS, max(16, soft // 2))


class _TooManyError(Exception):
    """More requests at once than a client may send."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when a client sends too much, or lets the server wait for too
    long.
    """

    # Seconds until a client must have read a part of what is written, where they are more than
    # others.
    patience = 0.0
    # Bytes since the last that belonged to a body, or that ended a head or a request.
    _bare = 0
    # What is being read: a request, and of it the head.
    _in_request = False
    _in_head = False
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _since = 0.0
    # The request that is being answered; uvicorn's own ``cycle`` is the newest that was sent.
    _answered: RequestResponseCycle | None = None
    _received = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # For each request in the pipeline, what had been received when its head was there.
        self._queued: deque[int] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._late = self.loop.call_later(_SECONDS, transport.abort)
        room = _connections()
        if len(self.connections) > room:
            # Those that are let go are here until the loop's next turn, and others come within this
            # one.
            here = [each for each in self.connections if not each.transport.is_closing()]
            waiting = [each for each in here if isinstance(each, BoundedProtocol) and each._waits()]
            if len(here) > room and waiting:
                # This one may be the only one.
                min(waiting, key=lambda each: each._since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._in_time()
        self._read()
        if self._answered is not None and not self._answered.response_complete:
            # uvicorn tells the newest request alone, which may still wait in the pipeline.
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._bare = 0
        self._in_request = self._in_head = True
        if self._late is None:
            self._late = self.loop.call_later(_SECONDS, self.transport.abort)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what comes behind a body is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The empty line after its headers."""
        self._bare = 0
        self._in_head = False
        self._in_time()
        if len(self.pipeline) >= _PIPELINED:
            # Each of some bytes would cost some thousand here.
            self.transport.abort()
            raise _TooManyError
        super().on_headers_complete()
        if len(self.pipeline) > len(self._queued):
            self._queued.append(self._received)
            # Whoever hangs up is noticed only by reading on.
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._bare = 0
        super().on_body(body)
        if self._queued:
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """Its last byte."""
        super().on_message_complete()
        self._bare = 0
        self._in_request = False
        self._in_time()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        if self._queued:
            self._queued.popleft()
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """An answer is written."""
        self._since = self.loop.time()
        super().on_response_complete()
        if self._in_request and self._late is None and self.cycle.response_complete:
            # The rest of its request is of no use to anybody. Some clients look only when it is
            # sent.
            self._late = self.loop.call_later(_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            self._bare += len(piece)
            self._received += len(piece)
            super().data_received(piece)
            if self.transport.is_closing():
                return
            if self._bare > _HEAD:
                self._refuse_head()
                return
            if self._queued and self._received - self._queued[0] > _AHEAD:
                self.transport.abort()
                return

    def _refuse_head(self) -> None:
        if self._in_request and (self._in_head or not self.cycle.response_started):
            self.send_400_response("The headers are too long.")
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """What is no request is told so, where somebody may hear it."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        """The client does not read what is written."""
        super().pause_writing()
        if self._unread is None:
            seconds = max(_SECONDS, self.patience)
            self._unread = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read most of it."""
        super().resume_writing()
        self._read()

    def _waits(self) -> bool:
        """Whether the server waits for this client, and not this client for the server."""
        return (
            self.cycle is None
            or self.flow.write_paused
            or self.cycle.response_complete
            or self.cycle.more_body
        )

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def bounded(patience: float) -> type[BoundedProtocol]:
    """Connections whose clients may take so many seconds to read a part of an answer."""
    return type("BoundedProtocol", (BoundedProtocol,), {"patience": patience})
