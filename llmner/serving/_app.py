"""The ASGI app: the routes, the page, and the middleware around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from llmner import __version__
from llmner.serving._docs import docs_page
from llmner.serving._http import add_error_handlers
from llmner.serving._routes_extract import add_extraction_routes
from llmner.serving._routes_label_studio import add_label_studio_routes
from llmner.serving._routes_project import add_projection_route
from llmner.serving._routes_status import add_status_routes
from llmner.serving._safety import Safety
from llmner.serving._secrets import checked_keys
from llmner.serving._service import Service

__all__ = ["create_app"]

# Requests that may be in progress at the same time, at least. It exceeds the queue, since requests
# are also being parsed, and answers read by their clients.
_ROOM = 256


def create_app(
    service: Service,
    *,
    keys: tuple[str, ...] = (),
    hosts: frozenset[str] | None = None,
    cors: frozenset[str] = frozenset(),
) -> FastAPI:
    """The server as an ASGI app, for any ASGI server.

    >>> from llmner import Recipe
    >>> app = create_app(Service(Recipe.load("klue")), keys=("secret",))
    >>> sorted(app.openapi()["paths"])[1:5]
    ['/healthz', '/infer', '/metrics', '/predict']

    Long projections run in processes that the app starts. As with ``multiprocessing``, a script
    that serves the app itself must do so under ``if __name__ == "__main__":``.

    Args:
        service: Does the work.
        keys: Requests must show one of these as ``Authorization: Bearer KEY``; empty for an open
            server.
        hosts: Host names that requests may use; ``None`` for any.
        cors: Origins whose pages may read answers, such as ``"https://example.org"``.

    Raises:
        InputError: A key is empty or cannot stand in a header, or ``keys`` is a single string.
    """
    keys = checked_keys(keys)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="llmner",
        summary="Named entities of any LLM, as exact spans of the text.",
        description="Offsets are half-open and count code points, as Python's strings do.",
        version=__version__,
        lifespan=lifespan,
        # FastAPI's own pages load scripts from other hosts; ``_docs`` has one that does not.
        docs_url=None,
        redoc_url=None,
    )
    add_error_handlers(app)
    add_extraction_routes(app, service)
    add_projection_route(app, service)
    add_label_studio_routes(app, service)
    add_status_routes(app, service)
    _add_page(app)
    routes = frozenset(getattr(route, "path", "") for route in app.routes)
    app.add_middleware(
        cast(Any, Safety),
        metrics=service.metrics,
        body=service.limits.body,
        keys=keys,
        hosts=hosts,
        routes=routes,
        cors=cors,
        room=max(_ROOM, 4 * service.limits.queue),
        waiting=16 * service.limits.body,
        answers=4 * service.limits.answer,
        # Streams whose clients do not read leave half of the queue to others.
        streams=max(1, service.limits.queue // 2),
        timeout=service.limits.timeout,
    )
    return app


def _add_page(app: FastAPI) -> None:
    folder = Path(str(resources.files("llmner.serving"))) / "page"
    page = (folder / "index.html").read_bytes()

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, media_type="text/html; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        address = str(request.base_url).rstrip("/")
        return Response(docs_page(app.openapi(), address), media_type="text/html; charset=utf-8")

    app.mount("/static", StaticFiles(directory=folder), name="static")
