"""What a run showed."""

from __future__ import annotations

import statistics
import time

import msgspec


class Killed(msgspec.Struct, kw_only=True):
    """A process that was killed, and how long until it ran again."""

    name: str
    at_s: float
    back_s: float | None = None


class Report(msgspec.Struct, kw_only=True):
    """`retried`: calls that one repeat mended; `failed`: those it did not; `lost`: acknowledged writes not found."""

    began: float = msgspec.field(default_factory=time.monotonic)
    seconds: float = 0.0
    viewers: int = 0
    calls: int = 0
    plays: int = 0
    heartbeats: int = 0
    segments: int = 0
    retried: list[str] = []
    failed: list[str] = []
    lost: list[str] = []
    killed: list[Killed] = []
    took_ms: list[float] = []

    def at_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    @property
    def good(self) -> bool:
        """Whether nothing was lost and nothing failed."""
        return bool(self.plays and self.heartbeats) and not self.failed and not self.lost

    def lines(self) -> list[str]:
        """The report for people."""
        backs = [killed.back_s for killed in self.killed if killed.back_s is not None]
        return [
            (
                f"{self.seconds:.0f} s, {self.viewers} viewers: {self.calls} calls "
                f"({self.calls / max(self.seconds, 1):.0f}/s), {self.plays} plays, {self.heartbeats} heartbeats, "
                f"{self.segments} segments"
            ),
            (
                f"answer times: median {self.quantile_ms(0.5):.0f} ms, p99 {self.quantile_ms(0.99):.0f} ms, "
                f"longest {max(self.took_ms, default=0):.0f} ms"
            ),
            f"killed: {len(self.killed)} processes; back after {_span(backs)}",
            f"mended by one retry: {len(self.retried)}; failed: {len(self.failed)}; lost writes: {len(self.lost)}",
            *(f"  killed: {one.name} at {one.at_s} s, back after {one.back_s} s" for one in self.killed),
            *(f"  failed: {words}" for words in self.failed[:20]),
            *(f"  lost: {words}" for words in self.lost[:20]),
        ]

    def quantile_ms(self, share: float) -> float:
        """An answer time that a share of the calls stayed below, in ms."""
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _span(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{statistics.median(values):.1f} s (longest {max(values):.1f} s)"
