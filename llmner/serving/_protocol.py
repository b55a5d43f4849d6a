"""uvicorn's reading of requests, with bounds on what comes before a body: ``_safety`` sees it only then.

And on what stays behind an answer: how many connections there are, and how long a client may take to read.
"""

from __future__ import annotations

import asyncio
import sys

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedProtocol"]

# Bytes of a request's first line and headers.
_HEAD = 1 << 16
# Seconds until they must be there, and until a client has read a part of what is written.
_SECONDS = 30.0
# Requests that a client may send before the answer to its first.
_PIPELINED = 16
# Connections at once; when there is one more, the one that has let the server wait longest is closed.
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
    """A connection that is closed when a client sends too much, or lets the server wait for too long."""

    _head: int | None = None
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._late = self.loop.call_later(_SECONDS, transport.abort)
        room = _connections()
        if len(self.connections) > room:
            # Those that are let go are here until the loop's next turn, and others come within this one.
            here = [each for each in self.connections if not each.transport.is_closing()]
            waiting = [each for each in here if isinstance(each, BoundedProtocol) and each._waits()]
            if len(here) > room and waiting:
                # This one may be the only one.
                min(waiting, key=lambda each: each._since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._in_time()
        self._read()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head = 0
        if self._late is None:
            self._late = self.loop.call_later(_SECONDS, self.transport.abort)

    def on_headers_complete(self) -> None:
        """The empty line after its headers."""
        self._head = None
        self._in_time()
        if len(self.pipeline) >= _PIPELINED:
            # Each of some bytes would cost some thousand here.
            self.transport.abort()
            raise _TooManyError
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer is written."""
        self._since = self.loop.time()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > _HEAD:
                self._head = None
                self.send_400_response("The headers are too long.")

    def send_400_response(self, msg: str) -> None:
        """What is no request is told so, where somebody may hear it."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        """The client does not read what is written."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read most of it."""
        super().resume_writing()
        self._read()

    def _waits(self) -> bool:
        """Whether the server waits for this client, and not this client for the server."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
