"""What the routes share: reading requests, writing answers, describing both for OpenAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import anyio
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from llmner.serving._refusals import RefusalError, error_response
from llmner.serving._safety import DEADLINE
from llmner.serving._schemas import ErrorAnswer
from llmner.serving._service import Service

__all__ = [
    "add_error_handlers",
    "describe_body",
    "describe_responses",
    "json_response",
    "read_body",
    "read_request",
    "run_while_connected",
]

_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)
_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"description": "The server requires a key."},
    408: {"description": "The request's body came too slowly."},
    415: {"description": "The request is not JSON."},
    413: {"description": "The request is too large."},
    422: {
        "description": "A field is wrong, the request is too much work, or the model cannot answer "
        "this text."
    },
    500: {"description": "Something went wrong in the server."},
    501: {"description": "The server has no model."},
    502: {"description": "The engine refuses to answer."},
    503: {
        "description": "The queue is full, the model is being loaded, or the engine does not "
        "answer."
    },
    504: {"description": "The request took too long."},
}


class _DisconnectedError(Exception):
    """The client disconnected before it had an answer."""


def json_response(body: bytes, status: int = 200) -> Response:
    """A response whose body is JSON already."""
    return Response(body, status, media_type="application/json")


async def read_body(request: Request, service: Service) -> bytes:
    """The body of a request.

    Raises:
        RefusalError: The headers say that the body is not JSON, or that it is compressed.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise RefusalError(415, "not_json", "send JSON, with Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RefusalError(415, "not_json", "send plain JSON, without Content-Encoding")
    try:
        return await request.body()
    except ClientDisconnect:
        service.metrics.hung_up.inc()
        raise _DisconnectedError from None


async def read_request(request: Request, service: Service, model: type[_M]) -> _M:
    """The validated body of a request.

    Raises:
        RefusalError: The body is not JSON, or does not fit the model.
    """
    body = await read_body(request, service)
    parsed = service.read_short(model, body)
    if parsed is not None:
        return parsed
    return await run_while_connected(request, service, lambda: service.read_apart(model, body))


async def run_while_connected(
    request: Request, service: Service, work: Callable[[], Awaitable[_T]]
) -> _T:
    """The result of ``work()``, which is cancelled if the client disconnects or the time is over.

    Raises:
        RefusalError: It took too long.
        Exception: Whatever the work raises.
    """
    results: list[_T] = []
    errors: list[Exception] = []

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        with anyio.CancelScope(deadline=request.scope[DEADLINE]) as scope:
            try:
                results.append(await work())
            except Exception as error:
                # Raised below: a task group would wrap it in an exception group.
                errors.append(error)
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    if results:
        return results[0]
    if scope.cancelled_caught:
        seconds = f"{service.limits.timeout:g} seconds"
        raise RefusalError(504, "timeout", f"no answer within {seconds}; send less at once")
    service.metrics.hung_up.inc()
    raise _DisconnectedError


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of the app a JSON answer."""

    @app.exception_handler(HTTPException)
    async def on_http_error(_: Request, error: HTTPException) -> Response:
        if isinstance(error, RefusalError):
            return error_response(error)
        kind = HTTPStatus(error.status_code).name.lower()
        refusal = RefusalError(error.status_code, kind, str(error.detail))
        return error_response(refusal, error.headers)

    @app.exception_handler(_DisconnectedError)
    async def on_disconnect(_: Request, __: _DisconnectedError) -> Response:
        return Response(status_code=499)


def describe_body(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI description of a body that :func:`read_request` reads."""
    takes_more = model.model_config.get("extra") == "ignore"
    schema = model.model_json_schema() | {"additionalProperties": takes_more}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe_responses(answer: type, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of an answer, and of errors with these statuses."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {**_ERRORS[status], "model": ErrorAnswer} for status in statuses
    }
    return {200: {"model": answer}, **errors}
