"""The routes that ask the model: ``/infer``, ``/v1/extract`` and ``/v1/explain``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from llmner.corpora.jsonl import text_label_rows
from llmner.extraction import Extraction
from llmner.extraction._coverage import replies_of
from llmner.files import dump_json
from llmner.serving import _schemas as schemas
from llmner.serving._asked import Asked
from llmner.serving._bodies import json_bytes, markup_of
from llmner.serving._http import (
    describe_body,
    describe_responses,
    json_response,
    read_request,
    run_while_connected,
)
from llmner.serving._refusals import BLANK, RefusalError
from llmner.serving._service import Service

__all__ = ["add_extraction_routes", "error_of", "limited"]

_T = TypeVar("_T")
_NDJSON = "application/x-ndjson"
_STATUSES = (401, 408, 413, 415, 422, 500, 501, 502, 503, 504)


def add_extraction_routes(app: FastAPI, service: Service) -> None:
    """Add ``/infer``, ``/v1/extract`` and ``/v1/explain``."""

    @app.post(
        "/infer",
        responses=describe_responses(schemas.InferAnswer, *_STATUSES),
        openapi_extra=describe_body(schemas.InferRequest),
        summary="Entities of a text",
    )
    async def infer(request: Request) -> Response:
        """Entities in the shape of token-classification pipelines. A list of texts gives a list of
        lists; a text without an answer has an `error` in its place.
        """
        body = await read_request(request, service, schemas.InferRequest)
        texts = [body.text] if isinstance(body.text, str) else body.text

        async def work() -> list[_Entities]:
            async with service.extracting(texts, _entities) as rows:
                return [row async for row in limited(rows, service, lambda row: len(row.body))]

        rows = await run_while_connected(request, service, work) if texts else []
        errors = [row.error for row in rows if row.error is not None]
        retryable = [error for error in errors if error.retry_after is not None]
        if errors and isinstance(body.text, str):
            raise errors[0]
        if retryable and len(errors) == len(rows):
            # Nothing is lost by sending all of them again.
            raise retryable[0]
        one = isinstance(body.text, str)
        result = _joined([row.body for row in rows], one=one)
        if not service.about_texts:
            return json_response(b'{"result":' + result + b"}")
        labels = _joined([row.labels for row in rows], one=one)
        return json_response(b'{"result":' + result + b',"labels":' + labels + b"}")

    responses = describe_responses(schemas.ExtractAnswer, *_STATUSES)
    responses[200]["content"] = {
        _NDJSON: {"schema": {"$ref": "#/components/schemas/TextResult"}},
    }

    @app.post(
        "/v1/extract",
        responses=responses,
        openapi_extra=describe_body(schemas.ExtractRequest),
        summary="Spans, outcomes and raw replies of texts",
    )
    async def extract(request: Request) -> Response:
        """With `Accept: application/x-ndjson` the answer is streamed: each text's result is a line
        of its own, sent as soon as it is there.

        An error after the first line is a line `{"error": ...}`, and ends the answer.
        """
        body = await read_request(request, service, schemas.ExtractRequest)
        asked = Asked.of(body, body.texts)
        recipe = service.chosen(asked)
        if _NDJSON in request.headers.get("accept", ""):
            return await _stream(request, service, body.texts, asked)

        async def work() -> list[_Row]:
            async with service.extracting(body.texts, _row, asked) as rows:
                return [row async for row in limited(rows, service, lambda row: len(row.body))]

        rows = await run_while_connected(request, service, work)
        usage = _usage([row.prompt_tokens for row in rows], [row.completion_tokens for row in rows])
        results = b",".join(row.body for row in rows)
        named = None if service.labels is not None else recipe.name
        rest = json_bytes({"recipe": named, "usage": usage})
        return json_response(b'{"results":[' + results + b"]," + rest[1:])

    @app.post(
        "/v1/explain",
        responses=describe_responses(schemas.ExplainAnswer, *_STATUSES),
        openapi_extra=describe_body(schemas.ExplainRequest),
        summary="Which words the labels of a text rest on",
    )
    async def explain(request: Request) -> Response:
        """One word at a time is left out, and the fall of each score is the word's share."""
        body = await read_request(request, service, schemas.ExplainRequest)
        asked = Asked.of(body, [body.text])
        found = await run_while_connected(
            request, service, lambda: service.explanations(body.text, asked)
        )
        rows = [explanation.to_dict() for explanation in found]
        return json_response(json_bytes({"text": body.text, "explanations": rows}))


def _joined(bodies: list[bytes], *, one: bool) -> bytes:
    """The body of the only text, or those of several as a list."""
    return bodies[0] if one else b"[" + b",".join(bodies) + b"]"


async def limited(
    rows: AsyncIterator[_T], service: Service, size: Callable[[_T], int]
) -> AsyncIterator[_T]:
    """The rows, as long as all of them fit into an answer.

    Args:
        rows: The rows.
        service: Has the limit.
        size: The size of a row, in bytes.

    Raises:
        RefusalError: They do not fit.
    """
    total = 0
    async for row in rows:
        total += size(row)
        if total > service.limits.answer:
            message = (
                f"the answer would have more than {service.limits.answer} bytes; send fewer texts, "
                f"or ask /v1/extract for a stream with Accept: {_NDJSON}"
            )
            raise RefusalError(422, "too_much", message)
        yield row


async def _stream(request: Request, service: Service, texts: list[str], asked: Asked) -> Response:
    """The streamed answer to ``/v1/extract``."""
    stack = AsyncExitStack()

    async def start() -> tuple[AsyncIterator[_Row], _Row]:
        rows = await stack.enter_async_context(service.extracting(texts, _row, asked))
        # The first result is awaited before the answer begins, so that an error until then still
        # has a status of its own.
        return rows, await anext(rows)

    try:
        rows, first = await run_while_connected(request, service, start)
    except BaseException:
        await stack.aclose()
        raise

    async def lines() -> AsyncIterator[bytes]:
        index, row = 0, first
        try:
            while True:
                yield row.body + b"\n"
                index += 1
                with anyio.fail_after(service.limits.timeout):
                    row = await anext(rows)
        except StopAsyncIteration:
            return
        except TimeoutError:
            message = f"text {index} took more than {service.limits.timeout:g} seconds"
            yield dump_json(RefusalError(504, "timeout", message).body()) + b"\n"
        except RefusalError as error:
            yield dump_json(error.body()) + b"\n"

    return _LinesResponse(lines(), stack)


class _LinesResponse(StreamingResponse):
    """Streams JSON lines. At the end, however it comes, the request's place is given back."""

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
    """The result of one text.

    Attributes:
        body: The result, JSON.
        prompt_tokens: Tokens of its questions; ``None`` if the engine does not count them.
        completion_tokens: Tokens of its replies; ``None`` if the engine does not count them.
    """

    body: bytes
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True, slots=True)
class _Entities:
    """The entities of one text, or why there are none.

    Attributes:
        body: The entities, or an object with the error, JSON.
        error: Why the text has no answer, if it has none.
        labels: The labels of the whole text, JSON.
    """

    body: bytes
    error: RefusalError | None = None
    labels: bytes = b"[]"


def _entities(_: int, extraction: Extraction) -> _Entities:
    """Entities in the shape of token-classification pipelines."""
    error = error_of(extraction)
    if error is not None:
        return _Entities(json_bytes(error.body()), error)
    text = extraction.sentence.text
    return _Entities(
        json_bytes(
            [
                {
                    "entity_group": span.label,
                    "score": None if span.score is None else round(span.score, 6),
                    "word": text[span.start : span.end],
                    "start": span.start,
                    "end": span.end,
                }
                | ({"attributes": dict(span.attributes)} if span.attributes else {})
                for span in extraction.spans
            ]
        ),
        labels=json_bytes(text_label_rows(extraction.labels)),
    )


def error_of(extraction: Extraction) -> RefusalError | None:
    """Why the engine had no answer to a text, if it had none."""
    reply = extraction.reply
    if reply.error is not None:
        if reply.retryable:
            return RefusalError(503, "engine_unavailable", reply.error, retry_after=1)
        return RefusalError(422, "no_answer", reply.error)
    # Without an error, this one would look like a text without entities.
    return RefusalError(422, "no_answer", BLANK) if extraction.is_blank else None


def _row(index: int, extraction: Extraction) -> _Row:
    row = extraction.row()
    row.pop("id")
    if extraction.is_blank:
        row["error"] = BLANK
    replies = replies_of(extraction)
    usage = _usage(
        [reply.prompt_tokens for reply in replies], [reply.completion_tokens for reply in replies]
    )
    result = {"index": index, **row, "markup": markup_of(extraction.projection), "usage": usage}
    return _Row(json_bytes(result), usage["prompt_tokens"], usage["completion_tokens"])


def _usage(prompts: list[int | None], completions: list[int | None]) -> dict[str, int | None]:
    return {"prompt_tokens": _total(prompts), "completion_tokens": _total(completions)}


def _total(counts: list[int | None]) -> int | None:
    """The sum; ``None`` if any of the counts is unknown."""
    numbers = [count for count in counts if count is not None]
    return sum(numbers) if len(numbers) == len(counts) else None
