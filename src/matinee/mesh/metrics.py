"""Metrics of the calls that this process serves, to local and remote callers."""

from __future__ import annotations

from matinee.drivers.metrics import Metrics
from matinee.mesh.limit import ConcurrencyLimit


class MeshMetrics:
    """Counts and durations of calls by outcome, and the concurrency limits."""

    def __init__(self, metrics: Metrics) -> None:
        labels = ("domain", "method")
        self._metrics = metrics
        self._calls = metrics.fast_counter("matinee_calls", "Calls served, by outcome", (*labels, "outcome"))
        self._seconds = metrics.fast_histogram("matinee_call_seconds", "Durations of calls", labels)
        self._in_flight = metrics.gauge("matinee_calls_in_flight", "Calls in flight", ("domain",))
        self._limit = metrics.gauge("matinee_call_limit", "Limit on concurrent calls", ("domain",))

    def watch(self, domain: str, limit: ConcurrencyLimit, long_running: ConcurrencyLimit) -> None:
        """Publish the limit of a domain and its calls in flight, long-running ones included."""
        self._metrics.set_source(self._in_flight.labels(domain), lambda: limit.in_flight + long_running.in_flight)
        self._metrics.set_source(self._limit.labels(domain), lambda: limit.limit)

    def method(self, domain: str, method: str) -> CallMetrics:
        """Return the metrics of one method."""
        return CallMetrics(self, domain, method)


class CallMetrics:
    """The metrics of one method, with its labels resolved in advance."""

    __slots__ = ("_calls", "_labels", "_ok", "_seconds")

    def __init__(self, metrics: MeshMetrics, domain: str, method: str) -> None:
        self._calls = metrics._calls
        self._labels = (domain, method)
        self._seconds = metrics._seconds.labels(domain, method)
        self._ok = self._calls.labels(domain, method, "ok")

    def count_refusal(self) -> None:
        """Count a call that was refused before any work."""
        self._calls.labels(*self._labels, "refused").value += 1

    def observe(self, outcome: str, seconds: float) -> None:
        """Count a finished call."""
        (self._ok if outcome == "ok" else self._calls.labels(*self._labels, outcome)).value += 1
        self._seconds.observe(seconds)
