"""Prometheus metrics by prometheus-client: a registry of our own, with the CPU time and memory of the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

# From a call inside the machine to one that waits for an encoder.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one process."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, description: str, labels: Sequence[str] = ()) -> Counter:
        """Create a value that only rises: `.labels(…).inc()`."""
        return Counter(name, description, labels, registry=self._registry)

    def gauge(self, name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
        """Create a value that rises and falls: `.labels(…).set(…)`."""
        return Gauge(name, description, labels, registry=self._registry)

    def histogram(
        self, name: str, description: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """Create a distribution of values: `.labels(…).observe(…)`."""
        return Histogram(name, description, labels, buckets=buckets, registry=self._registry)

    def set_source(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Read a gauge from a function whenever the metrics are rendered."""
        gauge.set_function(read)

    def render(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self._registry)
