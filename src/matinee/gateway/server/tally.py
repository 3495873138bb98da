"""Counts of what was answered, in Prometheus text form."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Tally:
    """Requests by method, route and status, and how long each route took."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def count(self, method: str, route: str, status: int, took_s: float) -> None:
        """Add one request."""
        self._answers[method, route, status] += 1
        self._buckets.setdefault(route, [0] * (len(BOUNDS_S) + 1))[bisect_left(BOUNDS_S, took_s)] += 1
        self._seconds[route] += took_s  # type: ignore[assignment]  # a Counter adds floats as well

    def text(self) -> str:
        """Prometheus' text exposition format, version 0.0.4."""
        lines = ["# TYPE matinee_requests_total counter"]
        for (method, route, status), number in sorted(self._answers.items()):
            lines.append(f'matinee_requests_total{{method="{method}",route="{route}",status="{status}"}} {number}')
        lines.append("# TYPE matinee_request_seconds histogram")
        for route, buckets in sorted(self._buckets.items()):
            lines += self._histogram(route, buckets)
        return "\n".join([*lines, ""])

    def _histogram(self, route: str, buckets: list[int]) -> list[str]:
        name, total, lines = "matinee_request_seconds", 0, []
        for bound, number in zip((*BOUNDS_S, "+Inf"), buckets, strict=True):
            total += number
            lines.append(f'{name}_bucket{{route="{route}",le="{bound}"}} {total}')
        return [
            *lines,
            f'{name}_sum{{route="{route}"}} {self._seconds[route]:.6f}',
            f'{name}_count{{route="{route}"}} {total}',
        ]
