"""The routes: HTTP on one side, the service on the other. Nothing is decided here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from llmner import __version__
from llmner._files import dump_json
from llmner.errors import MarkupError
from llmner.extraction import Extraction, projection_row
from llmner.markup import render_markup
from llmner.projection import Projection
from llmner.replies import REPAIRS, REPLY_FORMATS
from llmner.serving import _schemas as schemas
from llmner.serving._metrics import replies_of
from llmner.serving._refusals import RefusalError, refused
from llmner.serving._safety import Safety
from llmner.serving._service import Asked, Service

__all__ = ["create_app"]

_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)
_NDJSON = "application/x-ndjson"
# Requests on their way at once, beside those in the queue: reading them, and clients that read answers.
_ROOM = 256
_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"description": "The server wants a key."},
    408: {"description": "The request took too long to come."},
    415: {"description": "The request is no JSON."},
    413: {"description": "The request is too large."},
    422: {"description": "A field is wrong, or the model cannot answer this text."},
    500: {"description": "Something went wrong in the server."},
    501: {"description": "The server has no model."},
    502: {"description": "The engine refuses."},
    503: {"description": "The queue is full, the model is being loaded, or the engine does not answer."},
    504: {"description": "It took too long."},
}


class _GoneError(Exception):
    """The client hung up: there is nobody to answer."""


def create_app(
    service: Service,
    *,
    keys: tuple[str, ...] = (),
    hosts: frozenset[str] | None = None,
    cors: frozenset[str] = frozenset(),
) -> FastAPI:
    """The server as an ASGI app.

    Args:
        service: What it does.
        keys: One of these must be shown as ``Authorization: Bearer KEY``; none for an open server.
        hosts: Names it may be asked by; ``None`` for any.
        cors: Origins whose pages may read answers, ``"https://example.org"``.
    """

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
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    _answer_errors(app)
    _add_extraction(app, service)
    _add_projection(app, service)
    _add_health(app, service)
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
        timeout=service.limits.timeout,
    )
    return app


def _json(value: Any, status: int = 200) -> Response:
    try:
        # Several times as fast as the standard library's.
        body = to_json(value)
    except PydanticSerializationError:
        # A model may have replied with half a surrogate pair, which UTF-8 lacks.
        body = dump_json(value)
    return Response(body, status, media_type="application/json")


async def _read(request: Request, service: Service, model: type[_M]) -> _M:
    """The body of a request, checked. FastAPI's own way takes as long as a projection.

    Raises:
        RefusalError: It is late, no JSON, or not what it should be; fields are named, their values are not.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusalError(415, "not_json", "send JSON, with Content-Type: application/json")
    try:
        with anyio.fail_after(service.limits.timeout):
            body = await request.body()
    except ClientDisconnect:
        service.metrics.hung_up.inc()
        raise _GoneError from None
    except TimeoutError:
        message = f"the request was not there within {service.limits.timeout:g} seconds"
        raise RefusalError(408, "slow", message) from None
    try:
        asked = model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        raise _invalid([(_field(one["loc"]), one["msg"]) for one in found]) from None
    if asked.model_extra:
        unknown = islice(asked.model_extra, 100)
        raise _invalid([(name[:60], "Extra inputs are not permitted") for name in unknown])
    return asked


def _invalid(fields: list[tuple[str, str]]) -> RefusalError:
    told = "; ".join(f"{name}: {message}" for name, message in fields[:5])
    return RefusalError(422, "invalid", told, fields=fields[:100])


def _body(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that :func:`_read` reads."""
    held = {"application/json": {"schema": model.model_json_schema() | {"additionalProperties": False}}}
    return {"requestBody": {"required": True, "content": held}}


def _field(place: tuple[int | str, ...]) -> str:
    """Where in the request: ``texts.0``; what pydantic adds about unions is left out."""
    return ".".join(str(part) for part in place if part not in ("str", "list[str]")) or "body"


def _responses(answer: type, *statuses: int) -> dict[int | str, dict[str, Any]]:
    errors: dict[int | str, dict[str, Any]] = {
        status: {**_ERRORS[status], "model": schemas.ErrorAnswer} for status in statuses
    }
    return {200: {"model": answer}, **errors}


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        if isinstance(error, RefusalError):
            return refused(error)
        kind = HTTPStatus(error.status_code).name.lower()
        return refused(RefusalError(error.status_code, kind, str(error.detail)), error.headers)

    @app.exception_handler(_GoneError)
    async def gone(_: Request, __: _GoneError) -> Response:
        return Response(status_code=499)


async def _attended(request: Request, service: Service, work: Callable[[], Awaitable[_T]]) -> _T:
    """The work's result, unless the client hangs up or the time is over: then it is given up.

    Raises:
        RefusalError: It took too long.
    """
    done: list[_T] = []
    failed: list[Exception] = []

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        with anyio.move_on_after(service.limits.timeout) as clock:
            try:
                done.append(await work())
            except Exception as error:
                failed.append(error)
        group.cancel_scope.cancel()
    if failed:
        raise failed[0]
    if done:
        return done[0]
    if clock.cancelled_caught:
        seconds = f"{service.limits.timeout:g} seconds"
        raise RefusalError(504, "timeout", f"there was no answer within {seconds}; send less at once")
    service.metrics.hung_up.inc()
    raise _GoneError


def _add_extraction(app: FastAPI, service: Service) -> None:
    statuses = (401, 408, 413, 415, 422, 500, 501, 502, 503, 504)

    @app.post(
        "/infer",
        responses=_responses(schemas.InferAnswer, *statuses),
        openapi_extra=_body(schemas.InferRequest),
        summary="Entities of a text",
    )
    async def infer(request: Request) -> Response:
        """Entities in the shape of token-classification pipelines; a list of texts gives a list of lists."""
        asked = await _read(request, service, schemas.InferRequest)
        texts = [asked.text] if isinstance(asked.text, str) else asked.text

        async def work() -> list[list[dict[str, Any]]]:
            async with service.extracting(texts) as extractions:
                return [_entities(extraction) async for extraction in extractions]

        found = await _attended(request, service, work) if texts else []
        return _json({"result": found[0] if isinstance(asked.text, str) else found})

    responses = _responses(schemas.ExtractAnswer, *statuses)
    responses[200]["content"] = {
        _NDJSON: {"schema": {"$ref": "#/components/schemas/TextResult"}},
    }

    @app.post(
        "/v1/extract",
        responses=responses,
        openapi_extra=_body(schemas.ExtractRequest),
        summary="Spans, outcomes and raw replies of texts",
    )
    async def extract(request: Request) -> Response:
        """With `Accept: application/x-ndjson` each text's result is sent as soon as it is there, one a line.

        An error after the first line is a line of its own, `{"error": ...}`, and ends the answer.
        """
        asked = await _read(request, service, schemas.ExtractRequest)
        choice = Asked(asked.recipe, asked.reply_format, asked.grounded, asked.min_score)
        recipe = service.chosen(choice)
        if _NDJSON in request.headers.get("accept", ""):
            return await _streamed(request, service, asked.texts, choice)

        async def work() -> list[dict[str, Any]]:
            async with service.extracting(asked.texts, choice) as extractions:
                rows: list[dict[str, Any]] = []
                async for extraction in extractions:
                    rows.append(_result(len(rows), extraction))
                return rows

        rows = await _attended(request, service, work)
        usage = {
            kind: _total([row["usage"][kind] for row in rows])
            for kind in ("prompt_tokens", "completion_tokens")
        }
        return _json({"results": rows, "recipe": recipe.name, "usage": usage})


async def _streamed(request: Request, service: Service, texts: list[str], asked: Asked) -> Response:
    stack = AsyncExitStack()

    async def first() -> tuple[AsyncIterator[Extraction], Extraction]:
        extractions = await stack.enter_async_context(service.extracting(texts, asked))
        # What goes wrong before the first result still has a status of its own.
        return extractions, await anext(extractions)

    try:
        extractions, found = await _attended(request, service, first)
    except BaseException:
        await stack.aclose()
        raise

    async def lines() -> AsyncIterator[bytes]:
        number, result = 0, found
        try:
            while True:
                yield dump_json(_result(number, result)) + b"\n"
                number += 1
                with anyio.fail_after(service.limits.timeout):
                    result = await anext(extractions)
        except StopAsyncIteration:
            return
        except TimeoutError:
            timeout = RefusalError(504, "timeout", f"text {number} took more than {service.limits.timeout:g} s")
            yield dump_json(timeout.body()) + b"\n"
        except RefusalError as error:
            yield dump_json(error.body()) + b"\n"

    return _Rows(lines(), stack)


class _Rows(StreamingResponse):
    """Lines of JSON; whatever becomes of the client, the request's place is given back."""

    def __init__(self, lines: AsyncIterator[bytes], stack: AsyncExitStack) -> None:
        super().__init__(lines, media_type=_NDJSON)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._stack.aclose()


def _entities(extraction: Extraction) -> list[dict[str, Any]]:
    """Entities as token-classification pipelines give them.

    Raises:
        RefusalError: The engine had no answer to this text.
    """
    reply, text = extraction.reply, extraction.sentence.text
    if reply.error is not None:
        if reply.retryable:
            raise RefusalError(503, "engine_unavailable", reply.error, retry_after=1)
        raise RefusalError(422, "no_answer", reply.error)
    return [
        {
            "entity_group": span.label,
            "score": None if span.score is None else round(span.score, 6),
            "word": text[span.start : span.end],
            "start": span.start,
            "end": span.end,
        }
        for span in extraction.spans
    ]


def _result(index: int, extraction: Extraction) -> dict[str, Any]:
    row = extraction.row()
    row.pop("id")
    usage = {
        "prompt_tokens": _total([reply.prompt_tokens for reply in replies_of(extraction)]),
        "completion_tokens": _total([reply.completion_tokens for reply in replies_of(extraction)]),
    }
    return {"index": index, **row, "markup": _markup(extraction.projection), "usage": usage}


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _markup(projection: Projection) -> str | None:
    try:
        return render_markup(projection.text, projection.spans)
    except MarkupError:
        return None


def _add_projection(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/project",
        responses=_responses(schemas.ProjectAnswer, 401, 408, 413, 415, 422, 500, 503, 504),
        openapi_extra=_body(schemas.ProjectRequest),
        summary="A reply of any LLM, as exact spans of its text",
    )
    async def project(request: Request) -> Response:
        """Needs no model: it reads the reply, however damaged, and finds each mention in the text."""
        asked = await _read(request, service, schemas.ProjectRequest)
        schema = None if asked.any_label else asked.schema_ or service.label_set(asked.recipe)
        policy = {"particles": asked.particles, "fuzzy": asked.fuzzy, "repeats": asked.repeats}
        held = service.projects_at_once(asked.text, asked.reply)
        if held:
            projection = service.project(asked.text, asked.reply, schema, asked.reply_format, policy)
        else:
            projection = await _attended(
                request,
                service,
                lambda: service.project_long(asked.text, asked.reply, schema, asked.reply_format, policy),
            )
        row = projection_row(None, projection, asked.reply)
        row.pop("id")
        return _json(row | {"markup": _markup(projection)})


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get(
        "/v1/recipes", responses=_responses(schemas.RecipesAnswer, 401, 500), summary="What can be asked for"
    )
    async def recipes() -> Response:
        """Recipes, their labels, and the reply formats a request can choose from."""
        rows = [
            {
                "name": recipe.name,
                "description": recipe.description,
                "language": recipe.language,
                "reply_format": recipe.reply_format,
                "labels": [
                    {"code": label.code, "name": label.name, "description": label.description}
                    for label in recipe.labels
                ],
            }
            for recipe in service.recipes.values()
        ]
        return _json(
            {
                "default": service.recipe.name,
                "recipes": rows,
                "reply_formats": list(REPLY_FORMATS),
                "repairs": dict(REPAIRS),
                "model": service.generator is not None,
                "grounded": bool(service.options.get("grounded", False)),
                "constrains": service.constrains,
            }
        )

    @app.get("/healthz", responses=_responses(schemas.Health, 500), summary="Whether the server runs")
    async def healthz() -> Response:
        """Says ok as long as the process answers at all."""
        return _json({"state": "ok", "message": ""})

    @app.get("/readyz", responses={**_responses(schemas.Health, 500), 503: {"model": schemas.Health}})
    async def readyz() -> Response:
        """Whether requests can be answered now: the model is loaded, the endpoint answers."""
        ready = service.state == "ready"
        message = {"loading": "the model is being loaded", "failing": "the engine does not answer"}
        held = {"state": service.state, "message": message.get(service.state, "")}
        return _json(held, 200 if ready else 503)

    @app.get("/metrics", responses={401: _responses(schemas.Health, 401)[401]}, response_class=Response)
    async def metrics() -> Response:
        """Counts and durations in Prometheus' text format; nothing of any text."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_page(app: FastAPI) -> None:
    folder = Path(str(resources.files("llmner.serving"))) / "page"
    page = (folder / "index.html").read_bytes()

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, media_type="text/html; charset=utf-8")

    app.mount("/static", StaticFiles(directory=folder), name="static")
