"""Figures in Prometheus form, by prometheus-client: a registry of our own, with the process's CPU and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

# From a call within the machine to one that waits for an encoder.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The figures of one process."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def counter(self, name: str, says: str, labels: Sequence[str] = ()) -> Counter:
        """A figure that only rises; `.labels(…).inc()`."""
        return Counter(name, says, labels, registry=self._registry)

    def gauge(self, name: str, says: str, labels: Sequence[str] = ()) -> Gauge:
        """A figure that rises and falls; `.labels(…).set(…)`."""
        return Gauge(name, says, labels, registry=self._registry)

    def histogram(
        self, name: str, says: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """How figures are spread; `.labels(…).observe(…)`."""
        return Histogram(name, says, labels, buckets=buckets, registry=self._registry)

    def watch(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Have a gauge read when it is asked for, which costs nothing at other times."""
        gauge.set_function(read)

    def render(self) -> bytes:
        """Everything, as text."""
        return generate_latest(self._registry)
