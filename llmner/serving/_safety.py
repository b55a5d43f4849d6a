"""Around every request: who may ask, how much, what browsers may do with answers, what is logged and counted.

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

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmner.serving._crowds import Crowd
from llmner.serving._metrics import Metrics
from llmner.serving._patience import body_of, rest_of, send_long, send_part
from llmner.serving._refusals import INTERNAL, RefusalError, refused

__all__ = ["Safety", "is_loopback"]

log = logging.getLogger("llmner.serving")

# What anyone may see: the page, which asks for a key itself, and whether the server is well.
_OPEN = ("/", "/healthz", "/readyz", "/openapi.json")
# Bytes of an answer that wait for a client in buffers anyway.
_LONG = 1 << 16
_HEADERS = tuple(
    (name.encode(), value.encode())
    for name, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
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
        hosts: Names that a request may ask this server by, where they are known: a page elsewhere may have its
            own name point here to get around the browser's rules. None for any.
        routes: The app's paths, for metrics; other paths are counted as one.
        cors: Origins whose pages may read answers.
        room: Requests that are there and not answered yet; one more is told to come again. As many are on
            their way: when there is one more, the one that has been longest is let go, so that those who send
            slowly keep out nobody.
        waiting: Bytes of bodies that are on their way together.
        answers: Bytes of long answers that wait together for clients to read them.
        streams: Streamed answers that wait at once for clients to read them: each holds a place in a queue.
        timeout: Seconds that a body may take to come, and a client to read a part of what is streamed.
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
        shown += [key.encode("latin-1") for key in self.keys if all(character < "\u0100" for character in key)]
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
        status = 0
        path = _path(scope)
        headers = dict(scope["headers"])
        allowed = self._cors_headers(headers)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS, *allowed]
            if message.get("more_body"):
                await send_part(message, send, self.timeout, self._streamed)
            elif len(message.get("body", b"")) > _LONG:
                await send_long(message, send, self._reading)
            else:
                await send(message)

        if scope["method"] == "HEAD":
            # Answered as GET is; the server leaves the body out.
            scope = {**scope, "method": "GET"}
        inside = False
        try:
            self._check(scope, path, headers)
            if path in self.routes and scope["method"] in ("POST", "PUT", "PATCH"):
                # It takes up room when it is there, however long that takes.
                length = headers.get(b"content-length", b"")
                body = await body_of(receive, length, self.body, self.timeout, self._coming)
                receive = rest_of(body, receive)
            self._check_room(path)
            inside = True
            self._inside += 1
            if scope["method"] == "OPTIONS" and allowed and b"access-control-request-method" in headers:
                await answer({"type": "http.response.start", "status": 204, "headers": []})
                await answer({"type": "http.response.body", "body": b""})
            else:
                await self.app(scope, receive, answer)
        except RefusalError as error:
            if not status:
                await refused(error)(scope, receive, answer)
        except ClientDisconnect:
            # Nobody reads the answer: the server cuts the connection of one that is not complete.
            self.metrics.hung_up.inc()
        except Exception as error:
            # The message may quote a text: the log has the place and no more.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s while answering %r\n%s", type(error).__name__, path, frames)
            if not status:
                told = RefusalError(500, "internal", INTERNAL)
                await refused(told)(scope, receive, answer)
            else:
                # Half an answer must not pass for a whole one: the connection is cut.
                raise RuntimeError("an answer broke off") from None
        finally:
            self._inside -= inside
            route = path if path in self.routes else "other"
            self.metrics.request(route, status or 499, time.perf_counter() - started)

    def _check(self, scope: Scope, path: str, headers: dict[bytes, bytes]) -> None:
        """Make sure that a request may be answered.

        Raises:
            RefusalError: It may not.
        """
        if self.hosts is not None and _host(headers.get(b"host", b"")) not in self.hosts:
            raise RefusalError(403, "host", "this server does not go by that name; see --allow-host")
        preflight = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        if self._digests and not preflight and not _is_open(path):
            kind, _, key = headers.get(b"authorization", b"").partition(b" ")
            digest = hashlib.sha256(key.strip()).digest()
            # All of them, every time: how long it takes tells nothing.
            matches = [hmac.compare_digest(digest, known) for known in self._digests]
            if kind.lower() != b"bearer" or not any(matches):
                message = "this server wants a key: send Authorization: Bearer KEY"
                raise RefusalError(401, "unauthorized", message)

    def _check_room(self, path: str) -> None:
        """Make sure that there is room for one more request.

        Raises:
            RefusalError: There is none.
        """
        if self._inside >= self.room and not _is_open(path):
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


def _path(scope: Scope) -> str:
    """The path within this app, which may be mounted in another."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] or "/" if root and f"{path}/".startswith(f"{root}/") else path


def _is_open(path: str) -> bool:
    """Whether anyone may see it, however much is going on."""
    return path in _OPEN or path.startswith("/static/")


def _host(header: bytes) -> str:
    """The name in a Host header, without its port."""
    host = header.decode("latin-1").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
