"""The results of a run."""

from __future__ import annotations

import statistics
import time

import msgspec


class Kill(msgspec.Struct, kw_only=True):
    """A killed process, and the seconds until it ran again."""

    name: str
    at_s: float
    recovery_s: float | None = None


class Report(msgspec.Struct, kw_only=True):
    """`retried`: calls that succeeded when repeated; `failed`: calls that failed twice; `lost`: acknowledged writes."""

    started_s: float = msgspec.field(default_factory=time.monotonic)
    seconds: float = 0.0
    viewers: int = 0
    calls: int = 0
    plays: int = 0
    heartbeats: int = 0
    segments: int = 0
    retried: list[str] = []
    failed: list[str] = []
    lost: list[str] = []
    kills: list[Kill] = []
    times_ms: list[float] = []

    def elapsed_s(self) -> float:
        """Return the seconds since the run started."""
        return time.monotonic() - self.started_s

    @property
    def is_ok(self) -> bool:
        """Whether viewers played, nothing was lost and nothing failed."""
        return bool(self.plays and self.heartbeats) and not self.failed and not self.lost

    def lines(self) -> list[str]:
        """Return the report as text."""
        recoveries = [kill.recovery_s for kill in self.kills if kill.recovery_s is not None]
        return [
            (
                f"{self.seconds:.0f} s, {self.viewers} viewers: {self.calls} calls "
                f"({self.calls / max(self.seconds, 1):.0f}/s), {self.plays} plays, {self.heartbeats} heartbeats, "
                f"{self.segments} segments"
            ),
            (
                f"response times: median {self.quantile_ms(0.5):.0f} ms, p99 {self.quantile_ms(0.99):.0f} ms, "
                f"longest {max(self.times_ms, default=0):.0f} ms"
            ),
            f"killed: {len(self.kills)} processes; recovered after {_summarize(recoveries)}",
            f"succeeded when repeated: {len(self.retried)}; failed: {len(self.failed)}; lost writes: {len(self.lost)}",
            *(f"  killed: {kill.name} at {kill.at_s} s, recovered after {kill.recovery_s} s" for kill in self.kills),
            *(f"  failed: {line}" for line in self.failed[:20]),
            *(f"  lost: {line}" for line in self.lost[:20]),
        ]

    def quantile_ms(self, share: float) -> float:
        """Return a quantile of the response times, in ms."""
        ordered = sorted(self.times_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _summarize(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{statistics.median(values):.1f} s (longest {max(values):.1f} s)"
