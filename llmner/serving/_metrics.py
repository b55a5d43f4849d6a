"""What ``/metrics`` counts. Nothing of a text or a reply gets here: labels are routes, statuses and
kinds.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from llmner.engines import Reply
from llmner.extraction import Extraction

__all__ = ["Metrics", "replies_of"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts of one server, apart from those of any other in the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self._requests = Counter(
            "llmner_requests",
            "Requests that were answered.",
            ("route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "llmner_request_seconds",
            "Seconds from a request's first byte to its answer's last.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "llmner_refused", "Requests that found the queue full.", registry=self.registry
        )
        self.hung_up = Counter(
            "llmner_hung_up",
            "Requests whose client went away before the answer.",
            registry=self.registry,
        )
        self._batch_size = Histogram(
            "llmner_batch_size",
            "Questions that the engine was asked together.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "llmner_batch_seconds",
            "Seconds that the engine took for a batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "llmner_outcomes", "Mentions by what became of them.", ("kind",), registry=self.registry
        )
        self._replies = Counter(
            "llmner_replies",
            "Replies by how they could be read.",
            ("status",),
            registry=self.registry,
        )
        self._tokens = Counter(
            "llmner_tokens", "Tokens of questions and answers.", ("kind",), registry=self.registry
        )
        self._unanswered = Counter(
            "llmner_unanswered_texts",
            "Texts that the engine had no answer to.",
            registry=self.registry,
        )

    def _of(self, metric: Any, *labels: str) -> Any:
        """A metric's child; looking one up takes longer than counting."""
        key = (metric, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def watch(self, name: str, what: str, count: Callable[[], float]) -> None:
        """A gauge that is read whenever it is asked for."""
        Gauge(f"llmner_{name}", what, registry=self.registry).set_function(count)

    def request(self, route: str, status: int, seconds: float) -> None:
        """One request, answered."""
        self._of(self._requests, route, str(status)).inc()
        self._of(self._seconds, route).observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        """One batch, answered."""
        self._batch_size.observe(size)
        self._batch_seconds.observe(seconds)

    def reply(self, status: str, outcomes: Mapping[str, int]) -> None:
        """One projected reply: how it could be read, and its mentions by what became of them."""
        if status:
            self._of(self._replies, status).inc()
        for kind, count in outcomes.items():
            self._of(self._outcomes, kind).inc(count)

    def extraction(self, extraction: Extraction) -> None:
        """One text, asked about."""
        projection = extraction.projection
        status = "" if projection.reply is None else projection.reply.status
        self.reply(status, Counts(outcome.kind for outcome in projection.outcomes))
        if extraction.reply.error is not None:
            self._unanswered.inc()
        for reply in replies_of(extraction):
            for kind, count in (
                ("prompt", reply.prompt_tokens),
                ("completion", reply.completion_tokens),
            ):
                if count:
                    self._of(self._tokens, kind).inc(count)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


def replies_of(extraction: Extraction) -> list[Reply]:
    """Every reply about a text: of each window, and of each sample."""
    return [
        reply
        for part in extraction.windows or (extraction,)
        for reply in part.samples or (part.reply,)
    ]
