"""uvicorn's reading of requests, with bounds on what comes before a body: ``_safety`` sees it only then."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedProtocol"]

# Bytes of a request's first line and headers.
_HEAD = 1 << 16
# Seconds until they must be there.
_SECONDS = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when a request's headers are too long, or too long in coming."""

    _head: int | None = None
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._late = self.loop.call_later(_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._in_time()
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
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        super().data_received(data)
        if self._head is not None:
            self._head += len(data)
            if self._head > _HEAD:
                self._head = None
                self.send_400_response("The headers are too long.")

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
