"""The HTTP server: entities of texts, projection of any LLM's replies, a page to try both.

It stands on everything else and holds no logic of its own: extraction and projection are ``extraction``'s and
``projection``'s, engines are ``generation``'s. ``llmner serve`` runs it; :func:`create_app` is the ASGI app for
those who run it themselves.
"""

from __future__ import annotations

from llmner.errors import MissingExtraError

try:
    from llmner.serving._app import create_app
    from llmner.serving._run import run_server
    from llmner.serving._service import Asked, Limits, Service
except ModuleNotFoundError as error:
    if error.name is not None and error.name.partition(".")[0] == "llmner":
        raise
    raise MissingExtraError("serve", "the server") from None

__all__ = ["Asked", "Limits", "Service", "create_app", "run_server"]
