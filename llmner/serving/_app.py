"""The routes: HTTP on one side, the service on the other. Nothing is decided here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from llmner import __version__
from llmner.extraction import Extraction
from llmner.files import dump_json
from llmner.replies import REPAIRS, REPLY_FORMATS
from llmner.serving import _schemas as schemas
from llmner.serving._bodies import json_bytes, markup_of
from llmner.serving._metrics import replies_of
from llmner.serving._refusals import RefusalError, refused
from llmner.serving._safety import DEADLINE, Safety
from llmner.serving._secrets import checked_keys
from llmner.serving._service import Asked, Service

__all__ = ["create_app"]

_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)
_NDJSON = "application/x-ndjson"
# Requests on their way at once, beside those in the queue: reading them, and clients that read
# answers.
_ROOM = 256
_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"description": "The server wants a key."},
    408: {"description": "The request took too long to come."},
    415: {"description": "The request is no JSON."},
    413: {"description": "The request is too large."},
    422: {
        "description": "A field is wrong, it is too much work, or the model cannot answer this "
        "text."
    },
    500: {"description": "Something went wrong in the server."},
    501: {"description": "The server has no model."},
    502: {"description": "The engine refuses."},
    503: {
        "description": "The queue is full, the model is being loaded, or the engine does not "
        "answer."
    },
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

    Long projections run in processes that this one starts. As with ``multiprocessing``, a script
    that serves the app itself does so under ``if __name__ == "__main__":``.

    Raises:
        InputError: A key is empty, or cannot stand in a header; or ``keys`` is one string.
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
        waiting=16 * service.limits.body,
        answers=4 * service.limits.answer,
        # Half of the queue is for those who read what they asked for.
        streams=max(1, service.limits.queue // 2),
        timeout=service.limits.timeout,
    )
    return app


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


async def _whole(request: Request, service: Service) -> bytes:
    """The body of a request.

    Raises:
        RefusalError: It says that it is no JSON, or in a form that is not read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusalError(415, "not_json", "send JSON, with Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RefusalError(415, "not_json", "send JSON as it is, without Content-Encoding")
    try:
        return await request.body()
    except ClientDisconnect:
        service.metrics.hung_up.inc()
        raise _GoneError from None


async def _read(request: Request, service: Service, model: type[_M]) -> _M:
    """A request, checked.

    Raises:
        RefusalError: It is no JSON, or not what it should be.
    """
    body = await _whole(request, service)
    asked = service.read_short(model, body)
    if asked is not None:
        return asked
    return await _attended(request, service, lambda: service.read_apart(model, body))


def _body(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that :func:`_read` reads."""
    held = {
        "application/json": {"schema": model.model_json_schema() | {"additionalProperties": False}}
    }
    return {"requestBody": {"required": True, "content": held}}


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
        with anyio.CancelScope(deadline=request.scope[DEADLINE]) as clock:
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
        raise RefusalError(
            504, "timeout", f"there was no answer within {seconds}; send less at once"
        )
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
        """Entities in the shape of token-classification pipelines; a list of texts gives a list of
        lists.
        """
        asked = await _read(request, service, schemas.InferRequest)
        texts = [asked.text] if isinstance(asked.text, str) else asked.text

        async def work() -> list[bytes]:
            async with service.extracting(texts, _entities) as found:
                return [row async for row in _bounded(found, service, len)]

        rows = await _attended(request, service, work) if texts else []
        whole = rows[0] if isinstance(asked.text, str) else b"[" + b",".join(rows) + b"]"
        return _json(b'{"result":' + whole + b"}")

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
        """With `Accept: application/x-ndjson` each text's result is sent as soon as it is there,
        one a line.

        An error after the first line is a line of its own, `{"error": ...}`, and ends the answer.
        """
        asked = await _read(request, service, schemas.ExtractRequest)
        choice = Asked(asked.recipe, asked.reply_format, asked.grounded, asked.min_score)
        recipe = service.chosen(choice)
        if _NDJSON in request.headers.get("accept", ""):
            return await _streamed(request, service, asked.texts, choice)

        async def work() -> list[_Row]:
            async with service.extracting(asked.texts, _result, choice) as found:
                return [row async for row in _bounded(found, service, lambda row: len(row.body))]

        rows = await _attended(request, service, work)
        usage = _usage([row.prompt_tokens for row in rows], [row.completion_tokens for row in rows])
        results = b",".join(row.body for row in rows)
        told = json_bytes({"recipe": recipe.name, "usage": usage})
        return _json(b'{"results":[' + results + b"]," + told[1:])


async def _bounded(
    found: AsyncIterator[_T], service: Service, size: Callable[[_T], int]
) -> AsyncIterator[_T]:
    """What is found, as long as it is not too much for an answer.

    Raises:
        RefusalError: It is.
    """
    held = 0
    async for row in found:
        held += size(row)
        if held > service.limits.answer:
            message = (
                f"the answer would have more than {service.limits.answer} bytes; send fewer texts, "
                f"or ask /v1/extract with Accept: {_NDJSON}"
            )
            raise RefusalError(422, "too_much", message)
        yield row


async def _streamed(request: Request, service: Service, texts: list[str], asked: Asked) -> Response:
    stack = AsyncExitStack()

    async def first() -> tuple[AsyncIterator[_Row], _Row]:
        extractions = await stack.enter_async_context(service.extracting(texts, _result, asked))
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
                yield result.body + b"\n"
                number += 1
                with anyio.fail_after(service.limits.timeout):
                    result = await anext(extractions)
        except StopAsyncIteration:
            return
        except TimeoutError:
            timeout = RefusalError(
                504, "timeout", f"text {number} took more than {service.limits.timeout:g} s"
            )
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


@dataclass(frozen=True, slots=True)
class _Row:
    """One text's result as it is sent, JSON; and its tokens, where they are counted."""

    body: bytes
    prompt_tokens: int | None
    completion_tokens: int | None


def _entities(_: int, extraction: Extraction) -> bytes:
    """Entities as token-classification pipelines give them, JSON.

    Raises:
        RefusalError: The engine had no answer to this text.
    """
    reply, text = extraction.reply, extraction.sentence.text
    if reply.error is not None:
        if reply.retryable:
            raise RefusalError(503, "engine_unavailable", reply.error, retry_after=1)
        raise RefusalError(422, "no_answer", reply.error)
    return json_bytes(
        [
            {
                "entity_group": span.label,
                "score": None if span.score is None else round(span.score, 6),
                "word": text[span.start : span.end],
                "start": span.start,
                "end": span.end,
            }
            for span in extraction.spans
        ]
    )


def _result(index: int, extraction: Extraction) -> _Row:
    row = extraction.row()
    row.pop("id")
    replies = replies_of(extraction)
    usage = _usage(
        [reply.prompt_tokens for reply in replies], [reply.completion_tokens for reply in replies]
    )
    told = {"index": index, **row, "markup": markup_of(extraction.projection), "usage": usage}
    return _Row(json_bytes(told), usage["prompt_tokens"], usage["completion_tokens"])


def _usage(prompts: list[int | None], completions: list[int | None]) -> dict[str, int | None]:
    return {"prompt_tokens": _total(prompts), "completion_tokens": _total(completions)}


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _add_projection(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/project",
        responses=_responses(schemas.ProjectAnswer, 401, 408, 413, 415, 422, 500, 503, 504),
        openapi_extra=_body(schemas.ProjectRequest),
        summary="A reply of any LLM, as exact spans of its text",
    )
    async def project(request: Request) -> Response:
        """Needs no model: it reads the reply, however damaged, and finds each mention in the
        text.
        """
        body = await _whole(request, service)
        answer = service.project_short(body)
        if answer is None:
            answer = await _attended(request, service, lambda: service.project_apart(body))
        return _json(answer)


def _recipes(service: Service) -> bytes:
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
    return json_bytes(
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


def _add_health(app: FastAPI, service: Service) -> None:
    told = _recipes(service)

    @app.get(
        "/v1/recipes",
        responses=_responses(schemas.RecipesAnswer, 401, 500),
        summary="What can be asked for",
    )
    async def recipes() -> Response:
        """Recipes, their labels, and the reply formats a request can choose from."""
        return _json(told)

    @app.get(
        "/healthz", responses=_responses(schemas.Health, 500), summary="Whether the server runs"
    )
    async def healthz() -> Response:
        """Says ok as long as the process answers at all."""
        return _json(json_bytes({"state": "ok", "message": ""}))

    @app.get(
        "/readyz", responses={**_responses(schemas.Health, 500), 503: {"model": schemas.Health}}
    )
    async def readyz() -> Response:
        """Whether requests can be answered now: the model is loaded, the endpoint answers."""
        ready = service.state == "ready"
        message = {"loading": "the model is being loaded", "failing": "the engine does not answer"}
        held = {"state": service.state, "message": message.get(service.state, "")}
        return _json(json_bytes(held), 200 if ready else 503)

    @app.get(
        "/metrics", responses={401: _responses(schemas.Health, 401)[401]}, response_class=Response
    )
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
