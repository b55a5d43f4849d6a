"""Around every request: who may ask, how much, what browsers may do with answers, what is logged and counted.

Plain ASGI, so that nothing is buffered and a client that hangs up is noticed behind it.
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

from llmner.serving._metrics import Metrics
from llmner.serving._refusals import RefusalError, refused

__all__ = ["Safety", "is_loopback"]

log = logging.getLogger("llmner.serving")

# What anyone may see: the page, which asks for a key itself, and whether the server is well.
_OPEN = ("/", "/healthz", "/readyz", "/openapi.json")
# Bytes of an answer that wait for a client in buffers anyway.
_LONG = 1 << 16
# Seconds for which the rest of a body that is too large is read.
_DRAINING = 5.0
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
        room: Requests on their way at once, from their first byte to the last of their answer; one more is
            told to come again.
        timeout: Seconds that a client may take to read a part of an answer.
    """

    app: ASGIApp
    metrics: Metrics
    body: int = 4 << 20
    keys: Iterable[str] = ()
    hosts: frozenset[str] | None = None
    routes: frozenset[str] = frozenset()
    cors: frozenset[str] = frozenset()
    room: int = 256
    timeout: float = 60.0
    _digests: tuple[bytes, ...] = field(init=False, default=())
    _inside: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._digests = tuple(hashlib.sha256(key.encode()).digest() for key in self.keys)

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
            if message.get("more_body") or len(message.get("body", b"")) > _LONG:
                with anyio.move_on_after(self.timeout) as clock:
                    await send(message)
                if clock.cancelled_caught:
                    raise ClientDisconnect
            else:
                await send(message)

        if scope["method"] == "HEAD":
            # Answered as GET is; the server leaves the body out.
            scope = {**scope, "method": "GET"}
        self._inside += 1
        try:
            self._check(scope, path, headers)
            if scope["method"] == "OPTIONS" and allowed and b"access-control-request-method" in headers:
                await answer({"type": "http.response.start", "status": 204, "headers": []})
                await answer({"type": "http.response.body", "body": b""})
            else:
                await self.app(scope, self._limited(receive), answer)
        except RefusalError as error:
            if not status:
                if error.status_code == 413:
                    await _drain(receive, 8 * self.body)
                await refused(error)(scope, receive, answer)
        except ClientDisconnect:
            # Nobody reads the answer: the server cuts the connection of one that is not complete.
            self.metrics.hung_up.inc()
        except Exception as error:
            # The message may quote a text: the log has the place and no more.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s while answering %s\n%s", type(error).__name__, path, frames)
            if not status:
                told = RefusalError(500, "internal", "something went wrong here; the server's log says where")
                await refused(told)(scope, receive, answer)
            else:
                # Half an answer must not pass for a whole one: the connection is cut.
                raise RuntimeError("an answer broke off") from None
        finally:
            self._inside -= 1
            route = path if path in self.routes else "other"
            self.metrics.request(route, status or 499, time.perf_counter() - started)

    def _check(self, scope: Scope, path: str, headers: dict[bytes, bytes]) -> None:
        """Make sure that a request may be answered.

        Raises:
            RefusalError: It may not.
        """
        if self.hosts is not None and _host(headers.get(b"host", b"")) not in self.hosts:
            raise RefusalError(403, "host", "this server does not go by that name; see --allow-host")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self.body:
            raise self._too_large()
        open_to_all = path in _OPEN or path.startswith("/static/")
        if self._inside > self.room and not open_to_all:
            self.metrics.refused.inc()
            message = f"{self.room} requests are on their way; try again in a moment"
            raise RefusalError(503, "busy", message, retry_after=1)
        preflight = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        if self._digests and not preflight and not open_to_all:
            kind, _, key = headers.get(b"authorization", b"").partition(b" ")
            digest = hashlib.sha256(key.strip()).digest()
            # All of them, every time: how long it takes tells nothing.
            matches = [hmac.compare_digest(digest, known) for known in self._digests]
            if kind.lower() != b"bearer" or not any(matches):
                message = "this server wants a key: send Authorization: Bearer KEY"
                raise RefusalError(401, "unauthorized", message)

    def _too_large(self) -> RefusalError:
        return RefusalError(413, "too_large", f"a request may have {self.body} bytes; send texts in several")

    def _limited(self, receive: Receive) -> Receive:
        """Counts a body that did not say how long it is."""
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.body:
                if message.get("more_body"):
                    await _drain(receive, 8 * self.body)
                raise self._too_large()
            return message

        return counted

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


async def _drain(receive: Receive, size: int) -> None:
    """Read what is left of a body, so far as it is not too much: clients look for an answer only then."""
    with anyio.move_on_after(_DRAINING):
        while size > 0:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return
            size -= len(message["body"])


def _host(header: bytes) -> str:
    """The name in a Host header, without its port."""
    host = header.decode("latin-1").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
