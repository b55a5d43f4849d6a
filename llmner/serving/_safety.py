"""Around every request: who may ask, how much, what browsers may do with answers, what is logged
and counted.

Plain ASGI, so that no answer is buffered and a client that hangs up is noticed behind it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmner.serving._crowds import Crowd
from llmner.serving._metrics import Metrics
from llmner.serving._patience import body_of, rest_of, send_long, send_part
from llmner.serving._refusals import INTERNAL, RefusalError, refused

__all__ = ["DEADLINE", "Safety", "is_loopback"]

log = logging.getLogger("llmner.serving")

# What anyone may see: the page, which asks for a key itself, and whether the server is well.
_OPEN = ("/", "/healthz", "/readyz", "/openapi.json")
# Bytes of an answer that wait for a client in buffers anyway.
_LONG = 1 << 16
# Where a request's scope has the time by which it must be answered, on the event loop's clock.
DEADLINE = "llmner.deadline"
_HEADERS = tuple(
    (name.encode(), value.encode())
    for name, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
    }.items()
)


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own, which no other can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(eq=False)
class Safety:
    """Lets requests through to an app, or refuses them.

    Attributes:
        app: What answers.
        metrics: Told of every answer.
        body: Bytes of a request at most.
        keys: One of these must be shown; none for an open server.
        hosts: Names that a request may ask this server by, where they are known: a page elsewhere
            may have its own name point here to get around the browser's rules. None for any.
        routes: The app's paths, for metrics; other paths are counted as one.
        cors: Origins whose pages may read answers.
        room: Requests that are there and not answered yet, beside those that anyone may ask; one
            more is told to come again. As many are on their way, and as many answers wait to be
            read: when there is one more, the one that has been longest is let go, so that those who
            are slow keep out nobody.
        waiting: Bytes of bodies that are on their way together.
        answers: Bytes of long answers that wait together for clients to read them.
        streams: Streamed answers that wait at once for clients to read them: each holds a place in
            a queue.
        timeout: Seconds that a request may take, from its headers on; and a client to read a part
            of an answer.
    """

    app: ASGIApp
    metrics: Metrics
    body: int = 4 << 20
    keys: Iterable[str] = ()
    hosts: frozenset[str] | None = None
    routes: frozenset[str] = frozenset()
    cors: frozenset[str] = frozenset()
    room: int = 256
    waiting: int = 64 << 20
    answers: int = 256 << 20
    streams: int = 32
    timeout: float = 60.0
    _digests: tuple[bytes, ...] = field(init=False, default=())
    _inside: int = field(init=False, default=0)
    _coming: Crowd = field(init=False)
    _reading: Crowd = field(init=False)
    _streamed: Crowd = field(init=False)

    def __post_init__(self) -> None:
        # Clients send what is beyond ASCII in either way.
        shown = [key.encode() for key in self.keys]
        shown += [
            key.encode("latin-1")
            for key in self.keys
            if all(character < "\u0100" for character in key)
        ]
        self._digests = tuple(hashlib.sha256(key).digest() for key in dict.fromkeys(shown))
        self._coming = Crowd(self.room, self.waiting)
        self._reading = Crowd(self.room, self.answers)
        self._streamed = Crowd(self.streams, self.answers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the app's lifespan."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        path = _path(scope)
        headers = dict(scope["headers"])
        # One for all of a request: its body, its reading and the work.
        scope = {**scope, DEADLINE: anyio.current_time() + self.timeout}
        if scope["method"] == "HEAD":
            # Answered as GET is; the server leaves the body out.
            scope["method"] = "GET"
        answer = _Answer(self, send, (*_HEADERS, *self._cors_headers(headers)))
        try:
            await self._answer(scope, receive, answer, path, headers)
        except ClientDisconnect:
            # Nobody reads the answer: the server cuts the connection of one that is not complete.
            self.metrics.hung_up.inc()
        finally:
            answer.leave()
            route = path if path in self.routes else "other"
            self.metrics.request(route, answer.status or 499, time.perf_counter() - started)

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        answer: _Answer,
        path: str,
        headers: dict[bytes, bytes],
    ) -> None:
        try:
            self._check(scope, path, headers)
            if path in self.routes and scope["method"] in ("POST", "PUT", "PATCH"):
                # It takes up room when it is there, however long that takes.
                length = headers.get(b"content-length", b"")
                body = await body_of(receive, length, self.body, self.timeout, self._coming)
                receive = rest_of(body, receive)
            if not _is_open(path):
                self._check_room()
                answer.enter()
            if _is_preflight(scope, headers) and self._cors_headers(headers):
                await answer({"type": "http.response.start", "status": 204, "headers": []})
                await answer({"type": "http.response.body", "body": b""})
            else:
                await self.app(scope, receive, answer)
        except RefusalError as error:
            if not answer.status:
                await refused(error)(scope, receive, answer)
        except ClientDisconnect:
            raise
        except Exception as error:
            # The message may quote a text: the log has the place and no more.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s while answering %r\n%s", type(error).__name__, path, frames)
            if not answer.status:
                told = RefusalError(500, "internal", INTERNAL)
                await refused(told)(scope, receive, answer)
            else:
                # Half an answer must not pass for a whole one: the connection is cut.
                raise RuntimeError("an answer broke off") from None

    def _check(self, scope: Scope, path: str, headers: dict[bytes, bytes]) -> None:
        """Make sure that a request may be answered.

        Raises:
            RefusalError: It may not.
        """
        if self.hosts is not None and _host(headers.get(b"host", b"")) not in self.hosts:
            raise RefusalError(
                403, "host", "this server does not go by that name; see --allow-host"
            )
        if self._digests and not _is_preflight(scope, headers) and not _is_open(path):
            kind, _, key = headers.get(b"authorization", b"").partition(b" ")
            digest = hashlib.sha256(key.strip()).digest()
            # All of them, every time: how long it takes tells nothing.
            matches = [hmac.compare_digest(digest, known) for known in self._digests]
            if kind.lower() != b"bearer" or not any(matches):
                message = "this server wants a key: send Authorization: Bearer KEY"
                raise RefusalError(401, "unauthorized", message)

    def _check_room(self) -> None:
        """Make sure that there is room for one more request.

        Raises:
            RefusalError: There is none.
        """
        if self._inside >= self.room:
            self.metrics.refused.inc()
            message = f"{self.room} requests are on their way; try again in a moment"
            raise RefusalError(503, "busy", message, retry_after=1)

    def _cors_headers(self, headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        origin = headers.get(b"origin", b"")
        if not self.cors or origin.decode("latin-1") not in self.cors:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-headers", b"authorization, content-type"),
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-expose-headers", b"retry-after"),
            (b"access-control-max-age", b"600"),
            (b"vary", b"origin"),
        ]


class _Answer:
    """An answer on its way to its client: with headers of the server's, and for no longer than it
    may take.

    Its request takes up room until the last of it is sent: that waits for the client, in a crowd.
    """

    def __init__(self, safety: Safety, send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status = 0
        self._safety = safety
        self._send = send
        self._headers = headers
        self._start: Message | None = None
        self._inside = False

    def enter(self) -> None:
        """Take up room."""
        self._inside = True
        self._safety._inside += 1

    def leave(self) -> None:
        """Give it back; once is enough, more often does no harm."""
        self._safety._inside -= self._inside
        self._inside = False

    async def __call__(self, message: Message) -> None:
        """Send a part.

        Raises:
            ClientDisconnect: The client does not read.
        """
        safety = self._safety
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # With the first part of the body: it too may wait for the client.
            self._start = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        elif message.get("more_body"):
            await send_part(message, self._begun, safety.timeout, safety._streamed)
        else:
            self.leave()
            if len(message.get("body", b"")) > _LONG:
                await send_long(message, self._begun, safety._reading)
            else:
                await send_part(message, self._begun, safety.timeout, safety._reading)

    async def _begun(self, message: Message) -> None:
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
        await self._send(message)


def _path(scope: Scope) -> str:
    """The path within this app, which may be mounted in another."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] or "/" if root and f"{path}/".startswith(f"{root}/") else path


def _is_open(path: str) -> bool:
    """Whether anyone may see it, however much is going on."""
    return path in _OPEN or path.startswith("/static/")


def _is_preflight(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser asks what it may ask."""
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in headers


def _host(header: bytes) -> str:
    """The name in a Host header, without its port."""
    host = header.decode("latin-1").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
