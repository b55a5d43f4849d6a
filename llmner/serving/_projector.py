"""Parses requests and projects replies: short ones in the event loop, long ones in processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from llmner.errors import WorkLimitError
from llmner.projection import Budget
from llmner.schema import LabelSchema
from llmner.serving import _workers
from llmner.serving._bodies import ProjectionResult, is_short, project_request, validate
from llmner.serving._limits import Gate, Limits
from llmner.serving._metrics import Metrics
from llmner.serving._refusals import INTERNAL, RefusalError
from llmner.serving._schemas import ProjectRequest

__all__ = ["Projector"]

log = logging.getLogger("llmner.serving")

_M = TypeVar("_M", bound=BaseModel)

# Longest body that is parsed in the event loop, in bytes. It takes a millisecond or two; longer
# ones would delay other requests.
_SHORT_BODY = 16 << 10
# Most steps of a projection in the event loop: some hundredths of a second.
_SHORT_STEPS = 20_000
# Steps of a projection that today's processors do in a second.
_STEPS_PER_SECOND = 1_000_000
# Processes for long projections. More would not be faster, and would slow down the event loop.
_PROCESSES = 2


class Projector:
    """Parses the bodies of all requests, and projects replies.

    Args:
        schemas: Labels by the name of their recipe.
        default: Name of the recipe of requests that name none.
        limits: The server's limits.
        metrics: Counts refused requests.
    """

    def __init__(
        self,
        schemas: Mapping[str, LabelSchema],
        default: str,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._schemas = schemas
        self._packed_schemas = _workers.PackedSchemas.of(schemas, default)
        self._default = default
        self._limits = limits
        self._projection_gate = Gate(limits.queue, metrics)
        self._parsing_gate = Gate(limits.queue, metrics)
        self._projection_workers = _workers.WorkerPool(_PROCESSES, limits.memory)
        # A process of its own, so that long projections do not delay the parsing of long texts.
        self._parsing_workers = _workers.WorkerPool(1, limits.memory)

    @property
    def inside(self) -> int:
        """Number of long requests that are worked on or wait."""
        return self._projection_gate.inside + self._parsing_gate.inside

    def read_short(self, model: type[_M], body: bytes) -> _M | None:
        """As :meth:`llmner.serving.Service.read_short`."""
        return validate(model, body) if len(body) <= _SHORT_BODY else None

    async def read_apart(self, model: type[_M], body: bytes) -> _M:
        """As :meth:`llmner.serving.Service.read_apart`."""
        leave = self._parsing_gate.enter()
        try:
            return cast(_M, await _run_in(self._parsing_workers, _workers.parse, model, body))
        finally:
            leave()

    def project_short(self, body: bytes) -> ProjectionResult | None:
        """As :meth:`llmner.serving.Service.project_short`."""
        request = self.read_short(ProjectRequest, body)
        if request is None or not is_short(request):
            return None
        budget = Budget(_SHORT_STEPS)
        try:
            return project_request(
                request, self._schemas, self._default, budget, self._limits.answer
            )
        except WorkLimitError:
            # A short request that needs a lot of work nevertheless.
            return None

    async def project_apart(self, body: bytes) -> ProjectionResult:
        """As :meth:`llmner.serving.Service.project_apart`."""
        leave = self._projection_gate.enter()
        try:
            steps = int(self._limits.timeout * _STEPS_PER_SECOND)
            arguments = body, self._packed_schemas, steps, self._limits.answer
            result = await _run_in(self._projection_workers, _workers.project, *arguments)
            return cast(ProjectionResult, result)
        finally:
            leave()


async def _run_in(
    workers: _workers.WorkerPool, work: Callable[..., Any], *arguments: object
) -> Any:
    try:
        return await workers.run(work, *arguments)
    except _workers.WorkerError as error:
        log.error("%s in another process\n%s", error.name, error.frames)
        raise RefusalError(500, "internal", INTERNAL) from None
