"""Runs the app with uvicorn: listening, logging, a graceful shutdown."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable

import uvicorn

from llmner.errors import InputError
from llmner.serving._app import create_app
from llmner.serving._protocol import bounded
from llmner.serving._safety import is_loopback
from llmner.serving._service import Service

__all__ = ["run_server"]

log = logging.getLogger("llmner.serving")

# Connections that may wait to be accepted.
_BACKLOG = 2048
# Duplicates of the listening socket, itself included. uvloop accepts one connection per iteration
# of its loop on each socket. With one socket, the last of two hundred clients waited 6 to 11
# seconds, while the others got a hundred answers each.
_ACCEPTS = 32


def run_server(
    service: Service,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    keys: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    cors: frozenset[str] = frozenset(),
    access_log: bool = False,
) -> None:
    """Serve until a signal to stop comes, then finish the requests in progress and return.

    >>> from llmner import Recipe
    >>> run_server(Service(Recipe.load("klue")), port=8080)  # doctest: +SKIP

    Args:
        service: The service.
        host: Address to listen on.
        port: Port to listen on; 0 for any free port.
        keys: Requests must show one of these; empty for an open server.
        names: Host names that requests may use, besides those of the loopback address. If empty,
            a server on the loopback address refuses all other names, and a server on any other
            address accepts every name.
        cors: Origins whose pages may read answers.
        access_log: Log a line for each request. It takes a tenth of the time of a short projection,
            and ``/metrics`` counts requests anyway.

    Raises:
        InputError: The server cannot listen there, or a key cannot stand in a header.
        Exception: Why the model could not be loaded.
    """
    hosts = None
    if names or is_loopback(host):
        hosts = frozenset(
            {"localhost", "127.0.0.1", "::1", host.lower(), *(name.lower() for name in names)}
        )
    fatal: list[Exception] = []
    service.secrets = (*service.secrets, *keys)
    # Worker processes are started with ``python -m``. Without this they would import modules from
    # the current folder, which may hold somebody's download.
    os.environ["PYTHONSAFEPATH"] = "1"
    app = create_app(service, keys=keys, hosts=hosts, cors=cors)
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        http=bounded(service.limits.timeout),
        ws="none",
        log_config=_LOGGING,
        access_log=access_log,
        server_header=False,
        timeout_graceful_shutdown=int(service.limits.timeout) + 1,
        # Headers such as X-Forwarded-For are not trusted: any client can send them.
        proxy_headers=False,
    )
    url_host = f"[{host}]" if ":" in host else host
    address = f"http://{url_host}:{listener.getsockname()[1]}"
    server = _Server(config, lambda: service.when_ready(lambda: log.info("ready: %s", address)))

    def stop(error: Exception) -> None:
        fatal.append(error)
        server.should_exit = True

    service.on_fatal = stop
    with listener:
        log.info("listening at %s", address)
        server.run(sockets=duplicated(listener))
    if fatal:
        raise fatal[0]


class _Server(uvicorn.Server):
    """A server that tells when it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        self._on_started()


def duplicated(listener: socket.socket) -> list[socket.socket]:
    """A listening socket and its duplicates, so that each iteration accepts several connections."""
    return [listener, *(listener.dup() for _ in range(_ACCEPTS - 1))]


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Made before the model is loaded, so that a port in use fails at once.

    Raises:
        InputError: The address does not exist, or the port is in use.
    """
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # From here on clients wait, instead of being refused by the system.
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen on {host}:{port} ({reason})", hint="choose another --host or --port"
        ) from None
    return listener


class _Quiet(logging.Filter):
    """Leaves out lines that say nothing new: probes every few seconds, clients that do not read.

    The latter are counted by ``/metrics``, and anyone could fill the log with them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is logged."""
        if record.msg == "ASGI callable returned without completing response.":
            return False
        paths = ("/healthz", "/readyz", "/metrics")
        return not (
            isinstance(record.args, tuple) and len(record.args) > 2 and record.args[2] in paths
        )


_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "filters": {"quiet": {"()": _Quiet}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["quiet"]}
    },
    "loggers": {
        name: {"handlers": ["stderr"], "level": "INFO", "propagate": False}
        for name in ("uvicorn", "llmner.serving")
    },
}
