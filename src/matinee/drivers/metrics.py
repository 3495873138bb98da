"""Prometheus metrics by prometheus-client: a registry of our own, with the CPU time and memory of the process."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# From a call inside the machine to one that waits for an encoder.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

C = TypeVar("C", bound=Collector)


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

    def fast_counter(self, name: str, description: str, labels: Sequence[str]) -> FastCounter:
        """Create a counter for hot paths; `.labels(…).value += 1`, on the event loop only."""
        return self._register(FastCounter(name, description, labels))

    def fast_histogram(self, name: str, description: str, labels: Sequence[str]) -> FastHistogram:
        """Create a histogram of seconds for hot paths; `.labels(…).observe(…)`, on the event loop only."""
        return self._register(FastHistogram(name, description, labels))

    def _register(self, collector: C) -> C:
        self._registry.register(collector)
        return collector

    def set_source(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Read a gauge from a function whenever the metrics are rendered."""
        gauge.set_function(read)

    def render(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self._registry)


class Count:
    """The value of a `FastCounter` for one set of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class FastCounter(Collector):
    """A counter without locks, written by one thread: an increment costs a tenth of prometheus-client's."""

    def __init__(self, name: str, description: str, labels: Sequence[str]) -> None:
        self._family = (name, description, labels)
        self._counts: dict[tuple[str, ...], Count] = {}

    def labels(self, *values: str) -> Count:
        """Return the count for a set of labels, created at 0."""
        return self._counts.setdefault(values, Count())

    def collect(self) -> Iterable[Metric]:
        """Return the samples for prometheus-client."""
        name, description, labels = self._family
        family = CounterMetricFamily(name, description, labels=labels)
        for values, count in list(self._counts.items()):
            family.add_metric(values, count.value)
        yield family


class Distribution:
    """The buckets of a `FastHistogram` for one set of labels."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum_s += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the upper bounds of the buckets, each with the number of durations up to it."""
        bounds = [*map(str, SECONDS), "+Inf"]
        return [(bound, float(total)) for bound, total in zip(bounds, accumulate(self.counts), strict=True)]


class FastHistogram(Collector):
    """A histogram of seconds without locks, written by one thread."""

    def __init__(self, name: str, description: str, labels: Sequence[str]) -> None:
        self._family = (name, description, labels)
        self._distributions: dict[tuple[str, ...], Distribution] = {}

    def labels(self, *values: str) -> Distribution:
        """Return the distribution for a set of labels, created empty."""
        return self._distributions.setdefault(values, Distribution())

    def collect(self) -> Iterable[Metric]:
        """Return the samples for prometheus-client."""
        name, description, labels = self._family
        family = HistogramMetricFamily(name, description, labels=labels)
        for values, distribution in list(self._distributions.items()):
            family.add_metric(values, buckets=distribution.cumulative(), sum_value=distribution.sum_s)
        yield family
