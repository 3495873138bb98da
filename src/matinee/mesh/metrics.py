"""The mesh's figures, as served at `/metrics`."""

from __future__ import annotations

from matinee.drivers.metrics import Metrics
from matinee.mesh.limit import ConcurrencyLimit


class HostGauges:
    """Calls served by this process: how many by outcome, how long, how many at once and allowed."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._calls = metrics.counter(
            "matinee_calls", "Calls served, by what came of them", ("domain", "method", "outcome")
        )
        self._seconds = metrics.histogram("matinee_call_seconds", "How long calls took", ("domain", "method"))
        self._in_flight = metrics.gauge("matinee_calls_in_flight", "Calls under way", ("domain",))
        self._limit = metrics.gauge("matinee_call_limit", "Calls that may be under way at once", ("domain",))

    def watch(self, domain: str, limit: ConcurrencyLimit, patient: ConcurrencyLimit) -> None:
        """Show a domain's limit and how many calls are under way, those that only wait included."""
        self._metrics.watch(self._in_flight.labels(domain), lambda: limit.in_flight + patient.in_flight)
        self._metrics.watch(self._limit.labels(domain), lambda: limit.limit)

    def of(self, domain: str, method: str) -> CallGauges:
        """The figures of one method."""
        return CallGauges(self, domain, method)


class CallGauges:
    """One method's figures; looking them up once keeps labels off the hot path."""

    def __init__(self, host: HostGauges, domain: str, method: str) -> None:
        self._calls = host._calls
        self._labels = (domain, method)
        self._seconds = host._seconds.labels(domain, method)
        self._ok = self._calls.labels(domain, method, "ok")

    def ended(self, outcome: str, seconds: float) -> None:
        """A call has ended."""
        (self._ok if outcome == "ok" else self._calls.labels(*self._labels, outcome)).inc()
        self._seconds.observe(seconds)
