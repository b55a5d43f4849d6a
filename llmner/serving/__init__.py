"""The HTTP server: entities of texts, projection of any LLM's replies, a page to try both.

It stands on everything else and holds no logic of its own: extraction and projection are
``extraction``'s and ``projection``'s, engines are ``engines``'. ``llmner serve`` runs it;
:func:`create_app` is the ASGI app for those who run it themselves.

Names are imported when they are first used: the processes that long projections run in need none of
HTTP.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmner.errors import MissingExtraError

if TYPE_CHECKING:
    from llmner.serving._app import create_app
    from llmner.serving._run import run_server
    from llmner.serving._service import Asked, Limits, Service

__all__ = ["Asked", "Limits", "Service", "create_app", "run_server"]

_HOMES = {
    "Asked": "llmner.serving._service",
    "Limits": "llmner.serving._service",
    "Service": "llmner.serving._service",
    "create_app": "llmner.serving._app",
    "run_server": "llmner.serving._run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "llmner":
            raise
        raise MissingExtraError("serve", "the server") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
