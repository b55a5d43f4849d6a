"""Running the app: an address, log lines, a calm end."""

from __future__ import annotations

import logging
import os
import socket

import uvicorn

from llmner.errors import InputError
from llmner.serving._app import create_app
from llmner.serving._protocol import bounded
from llmner.serving._safety import is_loopback
from llmner.serving._service import Service

__all__ = ["run_server"]

# Connections that wait to be accepted.
_BACKLOG = 2048
# Times that the listening socket is watched: uvloop accepts one connection a turn of the loop on
# each. With one alone, the last of two hundred clients waited while the others were answered a
# hundred times: 6 to 11 seconds.
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
    """Serve until a signal says to stop; then answer what is being answered, and return.

    Args:
        service: What is served.
        host: Address to listen at.
        port: Its port; 0 for any that is free.
        keys: One of these must be shown; none for an open server.
        names: Host names it may be asked by, besides the loopback ones. On the loopback address
            others are refused; elsewhere, unless some are given, any will do.
        cors: Origins whose pages may read answers.
        access_log: Log a line for each request: a tenth of what a projection takes; ``/metrics``
            counts anyway.

    Raises:
        InputError: Nothing can listen there, or a key is none.
        Exception: What kept the model from being loaded.
    """
    hosts = None
    if names or is_loopback(host):
        hosts = frozenset(
            {"localhost", "127.0.0.1", "::1", host.lower(), *(name.lower() for name in names)}
        )
    fatal: list[Exception] = []
    service.secrets = (*service.secrets, *keys)
    # Long requests are worked on in processes that Python starts as modules. Without this they
    # would import what lies in the current folder, which may be somebody's download.
    os.environ["PYTHONSAFEPATH"] = "1"
    app = create_app(service, keys=keys, hosts=hosts, cors=cors)
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        http=bounded(service.limits.timeout),
        ws="none",
        log_config=_LOGGING,
        access_log=access_log,
        server_header=False,
        timeout_graceful_shutdown=int(service.limits.timeout) + 1,
        # Nothing in front of it is believed unless the operator's proxy is told to be.
        proxy_headers=False,
    )
    server = uvicorn.Server(config)

    def stop(error: Exception) -> None:
        fatal.append(error)
        server.should_exit = True

    service.on_fatal = stop
    shown = f"[{host}]" if ":" in host else host
    with listening:
        logging.getLogger("uvicorn.error").info("http://%s:%d", shown, listening.getsockname()[1])
        server.run(sockets=watched(listening))
    if fatal:
        raise fatal[0]


def watched(listening: socket.socket) -> list[socket.socket]:
    """A listening socket as often as the loop should look at it, for as many connections a turn."""
    return [listening, *(listening.dup() for _ in range(_ACCEPTS - 1))]


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, before the model is loaded: a port in use is told at once."""
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        # From here on clients wait to be answered, and are not refused.
        made.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen on {host}:{port} ({why})", hint="name another --host or --port"
        ) from None
    return made


class _Quiet(logging.Filter):
    """Leaves out what says nothing new: probes that come every few seconds, clients that do not
    read.

    The latter are counted, and anyone could fill the log with them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line of the log is kept."""
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
