"""The HTTP server: entities of texts, projection of any LLM's replies, a page to try both.

The server stands on the other packages and adds no logic of its own to theirs: extraction and
projection are in ``llmner.extraction`` and ``llmner.projection``, engines in ``llmner.engines``.
``llmner serve`` runs it. :func:`create_app` makes an ASGI app for other servers.

Names are imported when they are first used, since worker processes need none of HTTP.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmner.errors import MissingExtraError

if TYPE_CHECKING:
    from llmner.serving._app import create_app
    from llmner.serving._asked import Asked
    from llmner.serving._limits import Limits
    from llmner.serving._run import run_server
    from llmner.serving._service import Service

__all__ = ["Asked", "Limits", "Service", "create_app", "run_server"]

_MODULES = {
    "Asked": "llmner.serving._asked",
    "Limits": "llmner.serving._limits",
    "Service": "llmner.serving._service",
    "create_app": "llmner.serving._app",
    "run_server": "llmner.serving._run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "llmner":
            raise
        raise MissingExtraError("serve", "the server") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
