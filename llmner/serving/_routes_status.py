"""The routes about the server itself: recipes, health, readiness, metrics."""

from __future__ import annotations

from fastapi import FastAPI, Response

from llmner._colours import word_colours
from llmner.replies import LABEL_FORMATS, REPAIRS, REPLY_FORMATS
from llmner.serving import _schemas as schemas
from llmner.serving._bodies import json_bytes
from llmner.serving._http import describe_responses, json_response
from llmner.serving._service import Service

__all__ = ["add_status_routes"]


def add_status_routes(app: FastAPI, service: Service) -> None:
    """Add ``/v1/recipes``, ``/healthz``, ``/readyz`` and ``/metrics``."""
    choices = _choices(service)

    @app.get(
        "/v1/recipes",
        responses=describe_responses(schemas.RecipesAnswer, 401, 500),
        summary="What can be asked for",
    )
    async def recipes() -> Response:
        """Recipes, their labels, and the reply formats a request can choose from."""
        return json_response(choices)

    @app.get(
        "/healthz",
        responses=describe_responses(schemas.Health, 500),
        summary="Whether the server runs",
    )
    async def healthz() -> Response:
        """Says ok as long as the process answers at all."""
        return json_response(json_bytes({"state": "ok", "message": ""}))

    @app.get(
        "/readyz",
        responses={**describe_responses(schemas.Health, 500), 503: {"model": schemas.Health}},
        summary="Whether requests can be answered",
    )
    async def readyz() -> Response:
        """Whether requests can be answered now: the model is loaded, the endpoint answers."""
        messages = {"loading": "the model is being loaded", "failing": "the engine does not answer"}
        health = {"state": service.state, "message": messages.get(service.state, "")}
        return json_response(json_bytes(health), 200 if service.state == "ready" else 503)

    @app.get(
        "/metrics",
        responses={401: describe_responses(schemas.Health, 401)[401]},
        response_class=Response,
        summary="Counts and durations",
    )
    async def metrics() -> Response:
        """Counts and durations in Prometheus' text format; nothing of any text."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _choices(service: Service) -> bytes:
    """The answer of ``/v1/recipes``, JSON."""
    rows = [
        {
            "name": recipe.name,
            "description": recipe.description,
            "language": recipe.language,
            "reply_format": recipe.reply_format,
            "labels": [
                {"code": label.code, "name": label.name, "description": label.description}
                for label in recipe.labels or recipe.text_labels
            ],
            "about": "spans" if recipe.labels else "texts",
        }
        for recipe in service.recipes.values()
    ]
    return json_bytes(
        {
            "default": service.recipe.name,
            "recipes": rows,
            "reply_formats": list(dict.fromkeys((*REPLY_FORMATS, *LABEL_FORMATS))),
            "repairs": dict(REPAIRS),
            "model": service.has_model,
            "tagger": service.labels,
            "fine_tuned": service.fine_tuned,
            "colours": word_colours(),
            "grounded": bool(service.options.get("grounded", False)),
            "constrains": service.constrains,
        }
    )
