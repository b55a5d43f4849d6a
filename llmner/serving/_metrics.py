"""What ``/metrics`` counts: labels are routes, statuses and kinds, never a text or a reply."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from llmner.extraction import Extraction
from llmner.extraction._coverage import replies_of

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one server, separate from those of other servers in this process.

    >>> metrics = Metrics()
    >>> metrics.request("/infer", 200, 0.1)
    >>> b'llmner_requests_total{route="/infer",status="200"} 1.0' in metrics.text()
    True
    """

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

    def _child(self, metric: Any, *labels: str) -> Any:
        """A metric's child for these labels. Cached, since looking one up takes longer than
        counting.
        """
        key = (metric, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def watch(self, name: str, what: str, count: Callable[[], float]) -> None:
        """Add a gauge whose value is computed whenever the metrics are read."""
        Gauge(f"llmner_{name}", what, registry=self.registry).set_function(count)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._child(self._requests, route, str(status)).inc()
        self._child(self._seconds, route).observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        """Count an answered batch."""
        self._batch_size.observe(size)
        self._batch_seconds.observe(seconds)

    def reply(self, status: str, outcomes: Mapping[str, int]) -> None:
        """Count a projected reply.

        Args:
            status: How the reply could be read; empty if there was none.
            outcomes: Number of its mentions by kind of outcome.
        """
        if status:
            self._child(self._replies, status).inc()
        for kind, count in outcomes.items():
            self._child(self._outcomes, kind).inc(count)

    def extraction(self, extraction: Extraction) -> None:
        """Count an extraction: its reply, its outcomes and its tokens."""
        projection = extraction.projection
        status = "" if projection.reply is None else projection.reply.status
        self.reply(status, Counts(outcome.kind for outcome in projection.outcomes))
        if extraction.reply.error is not None or extraction.is_blank:
            self._unanswered.inc()
        for reply in replies_of(extraction):
            for kind, count in (
                ("prompt", reply.prompt_tokens),
                ("completion", reply.completion_tokens),
            ):
                if count:
                    self._child(self._tokens, kind).inc(count)

    def text(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self.registry)
