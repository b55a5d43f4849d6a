"""The route that needs no model: ``/v1/project``."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from llmner.serving import _schemas as schemas
from llmner.serving._http import (
    describe_body,
    describe_responses,
    json_response,
    read_body,
    run_while_connected,
)
from llmner.serving._service import Service

__all__ = ["add_projection_route"]


def add_projection_route(app: FastAPI, service: Service) -> None:
    """Add ``/v1/project``."""

    @app.post(
        "/v1/project",
        responses=describe_responses(schemas.ProjectAnswer, 401, 408, 413, 415, 422, 500, 503, 504),
        openapi_extra=describe_body(schemas.ProjectRequest),
        summary="A reply of any LLM, as exact spans of its text",
    )
    async def project(request: Request) -> Response:
        """Needs no model: it reads the reply, however damaged, and finds each mention in the
        text.
        """
        body = await read_body(request, service)
        answer = service.project_short(body)
        if answer is None:
            answer = await run_while_connected(
                request, service, lambda: service.project_apart(body)
            )
        return json_response(answer)
