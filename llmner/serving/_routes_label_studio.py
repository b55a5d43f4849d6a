"""Label Studio's calls of a machine-learning backend: ``/predict``, ``/setup``, ``/health``.

A project is connected to the server's address. Label Studio then asks for predictions of tasks, and
shows them to whoever labels. It shows a key as the password of basic authentication, if it has one.
Nothing is trained by what it sends.
"""

from __future__ import annotations

import re
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
from llmner.serving._service import Service
from llmner.spans import Sentence

__all__ = ["add_label_studio_routes"]

_STATUSES = (401, 408, 413, 415, 422, 500, 501, 502, 503, 504)
# Controls of a labelling interface, and what they are about.
_CONTROL = re.compile(r"<(Labels|Choices|Text)\b([^<>]*)>")
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


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

        async def work() -> list[dict[str, Any]]:
            def shape(_: int, extraction: Extraction) -> dict[str, Any]:
                return _prediction(extraction, names)

            async with service.extracting(asked, shape) as rows:
                return [row async for row in rows]

        found = iter(await run_while_connected(request, service, work) if asked else [])
        empty = {"result": [], "score": 0.0, "model_version": _version()}
        results = [next(found) if text else empty for text in texts]
        return json_response(json_bytes({"results": results}))

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
        responses=describe_responses(schemas.LabelStudioHealth, 500),
        summary="Whether Label Studio may ask",
    )
    async def health() -> Response:
        """Says UP once requests can be answered."""
        if service.state != "ready" or not service.has_model:
            raise RefusalError(503, "loading", "the model is not ready yet", retry_after=5)
        return json_response(json_bytes({"status": "UP", "model_class": "llmner"}))


def _version() -> str:
    return f"llmner-{__version__}"


def _names(config: str) -> dict[str, str]:
    """The names of controls in a labelling interface; those of Label Studio's template by default.

    It is looked through with a pattern, and not parsed: XML from a stranger can take a parser days.
    """
    names = {"labels": "label", "text": "text", "choices": "labels", "value": "text"}
    found: dict[str, dict[str, str]] = {}
    for match in _CONTROL.finditer(config):
        attributes = {
            key: unescape(double or single) for key, double, single in _ATTRIBUTE.findall(match[2])
        }
        found.setdefault(match[1], attributes)
    labels, choices, text = (found.get(kind, {}) for kind in ("Labels", "Choices", "Text"))
    names["labels"] = labels.get("name", names["labels"])
    names["choices"] = choices.get("name", names["choices"])
    names["text"] = labels.get("toName") or choices.get("toName") or text.get("name", "text")
    names["value"] = text.get("value", "$text").removeprefix("$")
    return names


def _text(task: schemas.LabelStudioTask, value: str) -> str:
    own = task.data.get(value)
    text = own if isinstance(own, str) else text_of(task.data)
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
