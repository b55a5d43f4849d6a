"""Whatever the server's own OpenAPI allows, and what it does not, gets an answer that OpenAPI
describes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis")
pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.fakes import Model, running, service

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pytest.PytestWarning"
)


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    with running(service(Model(), batch_wait=0)) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


PATHS = [
    "/infer",
    "/v1/extract",
    "/v1/explain",
    "/v1/project",
    "/predict",
    "/setup",
    "/v1/recipes",
    "/health",
    "/healthz",
    "/readyz",
    "/metrics",
]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_every_path_is_tried(api: Any) -> None:
    assert sorted(found.ok().path for found in api.get_all_operations()) == sorted(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_no_request_breaks_the_server_and_answers_are_as_described(api: Any, path: str) -> None:
    operation = api[path]["POST" if path in PATHS[:6] else "GET"]

    @given(case=schemathesis_cases(operation))
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    def hold(case: Any) -> None:
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    statuses: set[int] = set()
    hold()
    assert statuses >= ({200, 422} if path in PATHS[:4] else {200})


def schemathesis_cases(operation: Any) -> Any:
    """Requests that the schema allows, and some that it does not."""
    kinds = [schemathesis.GenerationMode.POSITIVE]
    if operation.method == "post":
        kinds.append(schemathesis.GenerationMode.NEGATIVE)
    return st.one_of([operation.as_strategy(generation_mode=kind) for kind in kinds])
