"""Label Studio's calls of a machine-learning backend: ``/predict``, ``/setup``, ``/health``.

A project is connected to the server's address. Label Studio then asks for predictions of tasks, and
shows them to whoever labels. It shows a key as the password of basic authentication, if it has one.
Nothing is trained by what it sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from fastapi import FastAPI, Request, Response

from llmner import __version__
from llmner.corpora._json import text_of
from llmner.corpora.label_studio import results_of
from llmner.extraction import Extraction
from llmner.serving import _schemas as schemas
from llmner.serving._bodies import json_bytes
from llmner.serving._http import (
    describe_body,
    describe_responses,
    json_response,
    read_request,
    run_while_connected,
)
from llmner.serving._refusals import RefusalError
from llmner.serving._routes_extract import error_of, limited
from llmner.serving._service import Service
from llmner.spans import Sentence

__all__ = ["add_label_studio_routes"]

_STATUSES = (401, 408, 413, 415, 422, 500, 501, 502, 503, 504)
# Controls of a labelling interface, and what they are about.
# Both are linear: what has been matched is never given back, and names are short.
_CONTROL = re.compile(r"""<(Labels|Choices|Text)\b((?:[^<>"']|"[^"<]*"|'[^'<]*')*+)>""")
_ATTRIBUTE = re.compile(r"""(?<![\w:-])([\w:-]{1,60})\s*=\s*(?:"([^"]{0,200})"|'([^']{0,200})')""")


def add_label_studio_routes(app: FastAPI, service: Service) -> None:
    """Add ``/predict``, ``/setup`` and ``/health``."""

    @app.post(
        "/predict",
        responses=describe_responses(schemas.LabelStudioAnswer, *_STATUSES),
        openapi_extra=describe_body(schemas.LabelStudioRequest),
        summary="Predictions for Label Studio's tasks",
    )
    async def predict(request: Request) -> Response:
        """What Label Studio asks a machine-learning backend for. A task without an answer has a
        prediction without results.
        """
        body = await read_request(request, service, schemas.LabelStudioRequest)
        names = _names(body.label_config or "")
        texts = [_text(task, names["value"]) for task in body.tasks]
        asked = [text for text in texts if text]

        async def work() -> list[_Predicted]:
            def shape(_: int, extraction: Extraction) -> _Predicted:
                return _Predicted(json_bytes(_prediction(extraction, names)), error_of(extraction))

            async with service.extracting(asked, shape) as rows:
                return [row async for row in limited(rows, service, lambda row: len(row.body))]

        found = await run_while_connected(request, service, work) if asked else []
        errors = [row.error for row in found if row.error is not None]
        if errors and len(errors) == len(found):
            # Empty predictions would look like texts without entities.
            raise errors[0]
        rows = iter(found)
        empty = json_bytes({"result": [], "score": 0.0, "model_version": _version()})
        results = b",".join(next(rows).body if text else empty for text in texts)
        return json_response(b'{"results":[' + results + b"]}")

    @app.post(
        "/setup",
        responses=describe_responses(schemas.LabelStudioSetup, 401, 408, 413, 415, 422, 500),
        openapi_extra=describe_body(schemas.LabelStudioProject),
        summary="What Label Studio says of a project",
    )
    async def setup(request: Request) -> Response:
        """Says the model's version. Nothing is kept of the project."""
        await read_request(request, service, schemas.LabelStudioProject)
        return json_response(json_bytes({"model_version": _version()}))

    @app.get(
        "/health",
        responses=describe_responses(schemas.LabelStudioHealth, 500, 501, 503),
        summary="Whether Label Studio may ask",
    )
    async def health() -> Response:
        """Says UP once requests can be answered."""
        if not service.has_model:
            raise RefusalError(501, "no_model", "this server has no model")
        if service.state == "loading":
            raise RefusalError(503, "loading", "the model is not ready yet", retry_after=5)
        if service.state != "ready":
            message = "the engine does not answer"
            raise RefusalError(503, "engine_unavailable", message, retry_after=5)
        return json_response(json_bytes({"status": "UP", "model_class": "llmner"}))


@dataclass(frozen=True, slots=True)
class _Predicted:
    """The prediction of one task, JSON, and why the text has no answer, if it has none."""

    body: bytes
    error: RefusalError | None


def _version() -> str:
    return f"llmner-{__version__}"


def _names(config: str) -> dict[str, str]:
    """The names of controls in a labelling interface; those of Label Studio's template by default.

    It is looked through with a pattern, and not parsed: XML from a stranger can take a parser days.
    """
    found: dict[str, dict[str, str]] = {}
    for match in _CONTROL.finditer(_without_comments(config)):
        attributes = {
            key: unescape(double or single) for key, double, single in _ATTRIBUTE.findall(match[2])
        }
        found.setdefault(match[1], attributes)
    labels, choices, text = (found.get(kind, {}) for kind in ("Labels", "Choices", "Text"))
    return {
        "labels": labels.get("name", "label"),
        "choices": choices.get("name", "labels"),
        "text": labels.get("toName") or choices.get("toName") or text.get("name", "text"),
        "value": text.get("value", "$text").removeprefix("$"),
    }


def _without_comments(config: str) -> str:
    kept, place = [], 0
    while (start := config.find("<!--", place)) >= 0:
        kept.append(config[place:start])
        end = config.find("-->", start + 4)
        place = len(config) if end < 0 else end + 3
    return "".join([*kept, config[place:]])


def _text(task: Mapping[str, Any], value: str) -> str:
    data = task["data"]
    own = data.get(value)
    text = own if isinstance(own, str) else text_of(data)
    return text if isinstance(text, str) and text.strip() else ""


def _prediction(extraction: Extraction, names: dict[str, str]) -> dict[str, Any]:
    sentence = Sentence(extraction.text, extraction.spans, labels=extraction.labels)
    scores = [span.score for span in extraction.spans if span.score is not None]
    scores += [label.score for label in extraction.labels if label.score is not None]
    return {
        "result": results_of(
            sentence, labels=names["labels"], text=names["text"], choices=names["choices"]
        ),
        # Tasks are sorted by it: the least sure part says how sure the whole is.
        "score": min(scores, default=0.0),
        "model_version": _version(),
    }
