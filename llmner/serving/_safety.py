"""Middleware around every request: keys, host names, limits, headers for browsers, metrics.

It is plain ASGI. So no answer is buffered, and the app behind it notices when a client disconnects.
"""

from __future__ import annotations

import base64
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

from llmner.serving._metrics import Metrics
from llmner.serving._pools import EvictingPool
from llmner.serving._refusals import INTERNAL, RefusalError, error_response
from llmner.serving._transfers import receive_body, replay_body, send_long, send_part

__all__ = ["DEADLINE", "Safety", "is_loopback"]

log = logging.getLogger("llmner.serving")

# Paths that need no key: the page, which asks for a key itself, and whether the server is well.
_OPEN_PATHS = ("/", "/docs", "/health", "/healthz", "/readyz", "/openapi.json")
# Longer answers are sent in pieces, in bytes. Shorter ones fit into the system's buffers anyway.
_LONG_ANSWER = 1 << 16
# Key of a request's scope: when it must be answered, on the event loop's clock.
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
    """Whether an address or a name can be reached from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(eq=False)
class Safety:
    """Passes requests on to an app, or refuses them.

    Attributes:
        app: The app.
        metrics: Counts every answer.
        body: Largest request body, in bytes.
        keys: Requests must show one of these; empty for an open server.
        hosts: Host names that requests may use; ``None`` for any. This stops a page elsewhere that
            lets its own name point to this server (DNS rebinding).
        routes: The app's paths, for metrics. All other paths are counted as one.
        cors: Origins whose pages may read answers.
        room: Most requests that are being answered at the same time; further ones get a 503. As
            many bodies may be on their way, and as many answers may wait to be read. There the
            oldest is dropped to make room, so that slow clients keep nobody out.
        waiting: Most bytes of all bodies that are on their way.
        answers: Most bytes of all answers that wait for their clients to read them.
        streams: Most streamed answers that wait for their clients at the same time. Each of them
            holds a place in a queue.
        timeout: Seconds that a request may take, from its headers on. Also the seconds that a
            client may take to read a part of an answer.
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
    _receiving: EvictingPool = field(init=False)
    _sending: EvictingPool = field(init=False)
    _streaming: EvictingPool = field(init=False)

    def __post_init__(self) -> None:
        # Characters beyond ASCII: some clients send UTF-8, others Latin-1.
        encoded = [key.encode() for key in self.keys]
        encoded += [
            key.encode("latin-1")
            for key in self.keys
            if all(character < "\u0100" for character in key)
        ]
        self._digests = tuple(hashlib.sha256(key).digest() for key in dict.fromkeys(encoded))
        self._receiving = EvictingPool(self.room, self.waiting)
        self._sending = EvictingPool(self.room, self.answers)
        self._streaming = EvictingPool(self.streams, self.answers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or pass on the app's lifespan."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        path = _path(scope)
        headers = dict(scope["headers"])
        # One deadline for the whole request: receiving, parsing and answering it.
        scope = {**scope, DEADLINE: anyio.current_time() + self.timeout}
        if scope["method"] == "HEAD":
            # Answered like GET. uvicorn leaves out the body.
            scope["method"] = "GET"
        answer = _Answer(self, send, (*_HEADERS, *self._cors_headers(headers)))
        try:
            await self._answer(scope, receive, answer, path, headers)
        except ClientDisconnect:
            # Nobody reads the answer. uvicorn closes the connection if it is not complete.
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
                # The request takes up room only when its body is here, so that slow bodies do not.
                length = headers.get(b"content-length", b"")
                body = await receive_body(receive, length, self.body, self.timeout, self._receiving)
                receive = replay_body(body, receive)
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
                await error_response(error)(scope, receive, answer)
        except ClientDisconnect:
            raise
        except Exception as error:
            # The message may quote a text, so only the type and the traceback are logged.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s while answering %r\n%s", type(error).__name__, path, frames)
            if not answer.status:
                refusal = RefusalError(500, "internal", INTERNAL)
                await error_response(refusal)(scope, receive, answer)
            else:
                # uvicorn closes the connection, so that half an answer does not pass for a whole.
                raise RuntimeError("an answer broke off") from None

    def _check(self, scope: Scope, path: str, headers: dict[bytes, bytes]) -> None:
        """Check a request's host name and key.

        Raises:
            RefusalError: The server does not have that name, or the key is missing or wrong.
        """
        if self.hosts is not None and _host(headers.get(b"host", b"")) not in self.hosts:
            raise RefusalError(
                403, "host", "this server does not answer to that host name; see --allow-host"
            )
        if self._digests and not _is_preflight(scope, headers) and not _is_open(path):
            key = _shown_key(headers.get(b"authorization", b""))
            digest = hashlib.sha256(key).digest()
            # Every key is compared every time, so that the time it takes reveals nothing.
            matches = [hmac.compare_digest(digest, expected) for expected in self._digests]
            if not any(matches):
                message = "this server requires a key; send Authorization: Bearer KEY"
                raise RefusalError(401, "unauthorized", message)

    def _check_room(self) -> None:
        """Check that there is room for one more request.

        Raises:
            RefusalError: There is none.
        """
        if self._inside >= self.room:
            self.metrics.refused.inc()
            message = f"{self.room} requests are in progress already; try again in a moment"
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


def _shown_key(authorization: bytes) -> bytes:
    """The key that a header shows: a bearer's token, or the password of basic authentication, which
    is all that some clients can send.
    """
    kind, _, shown = authorization.partition(b" ")
    if kind.lower() == b"bearer":
        return shown.strip()
    if kind.lower() == b"basic":
        try:
            return base64.b64decode(shown.strip(), validate=True).partition(b":")[2].strip()
        except ValueError:
            return b""
    return b""


class _Answer:
    """Sends an answer: adds the server's headers, and bounds how long the client may take to read.

    The request takes up room until the last part of its answer is about to be sent. From then on
    the answer only waits for its client, in a pool.
    """

    def __init__(self, safety: Safety, send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status = 0
        self._safety = safety
        self._send = send
        self._headers = headers
        self._start: Message | None = None
        self._inside = False

    def enter(self) -> None:
        """Take up room in the middleware."""
        self._inside = True
        self._safety._inside += 1

    def leave(self) -> None:
        """Give the room back. Further calls do nothing."""
        self._safety._inside -= self._inside
        self._inside = False

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer.

        Raises:
            ClientDisconnect: The client does not read.
        """
        safety = self._safety
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # Sent with the first part of the body, since it may have to wait for the client too.
            self._start = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        elif message.get("more_body"):
            await send_part(message, self._send_started, safety.timeout, safety._streaming)
        else:
            self.leave()
            if len(message.get("body", b"")) > _LONG_ANSWER:
                await send_long(message, self._send_started, safety._sending)
            else:
                await send_part(message, self._send_started, safety.timeout, safety._sending)

    async def _send_started(self, message: Message) -> None:
        """Send a message, and the answer's status and headers before the first one."""
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
        await self._send(message)


def _path(scope: Scope) -> str:
    """The path within this app, which may be mounted in another app."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] or "/" if root and f"{path}/".startswith(f"{root}/") else path


def _is_open(path: str) -> bool:
    """Whether a path needs no key and takes up no room."""
    return path in _OPEN_PATHS or path.startswith("/static/")


def _is_preflight(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser asks what requests it may make (CORS)."""
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in headers


def _host(header: bytes) -> str:
    """The name in a Host header, without the port."""
    host = header.decode("latin-1").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
