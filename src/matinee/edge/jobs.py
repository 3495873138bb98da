"""What an edge does as time passes: keep its cache within the limit, and tell steering that it lives."""

from __future__ import annotations

import asyncio
import time
from itertools import count

from matinee.edge.api import EdgeSettings
from matinee.edge.ports import CacheStore, EdgeMetrics, Evictor, Metric
from matinee.kit import log
from matinee.steering.api import EdgeReport, Steering

_log = log.get()
KEEP_S = 0.1
BEAT_S = 2.0
_REFRESH_TICKS = 10
_CPU_S = 1.0
_BEAT_LIMIT_S = 2.0


async def run_eviction(*, disk: CacheStore, evictor: Evictor, metrics: EdgeMetrics) -> None:
    """Keep the cache within its limit, if this worker is the one to do it; let go of what another evicted."""
    for tick in count():
        try:
            if tick % _REFRESH_TICKS == 0:
                disk.refresh()
            if evictor.elect():
                metrics.add(Metric.EVICTIONS, evictor.keep())
                metrics.set(Metric.DISK_USED_BYTES, evictor.used_bytes())
        except Exception as error:
            _log.warning("cache.not_kept", error=repr(error))
        await asyncio.sleep(KEEP_S)


async def record_cpu(*, metrics: EdgeMetrics) -> None:
    """Put this worker's processor time on the metrics, every second."""
    told_ms = 0
    while True:
        spent_ms = round(time.process_time() * 1000)
        metrics.add(Metric.CPU_MS, spent_ms - told_ms)
        told_ms = spent_ms
        await asyncio.sleep(_CPU_S)


async def send_heartbeats(
    *, settings: EdgeSettings, port: int, evictor: Evictor, metrics: EdgeMetrics, steering: Steering
) -> None:
    """Tell steering every two seconds how this edge is: one worker speaks for all. Steering may be away."""
    reporter = EdgeReporter(settings, port, metrics)
    away = False
    while True:
        if evictor.elect():
            try:
                async with asyncio.timeout(_BEAT_LIMIT_S):
                    await steering.heartbeat(report=reporter.report(time.monotonic()))
                away = False
            except Exception as error:  # clients are served all the same; steering learns of us when it is back
                if not away:
                    _log.warning("steering.away", error=repr(error))
                away = True
        await asyncio.sleep(BEAT_S)


class EdgeReporter:
    """Makes heartbeats; keeps what it needs to tell the load between two of them."""

    def __init__(self, settings: EdgeSettings, port: int, metrics: EdgeMetrics) -> None:
        scheme = "https" if settings.tls_cert else "http"
        self._base_url = settings.base_url or f"{scheme}://{settings.host}:{port}"
        self._settings = settings
        self._metrics = metrics
        self._last: tuple[float, int] | None = None

    def report(self, now_s: float) -> EdgeReport:
        """A heartbeat at an instant of the monotonic clock."""
        settings, totals = self._settings, self._metrics.totals()
        return EdgeReport(
            edge_id=settings.edge_id,
            name=settings.name,
            base_url=self._base_url,
            region=settings.region,
            load=self._load(now_s, totals),
            open_connections=totals[Metric.CONNECTIONS],
            sent_bytes=totals[Metric.SENT_BYTES],
            hits=totals[Metric.HITS],
            misses=totals[Metric.MISSES],
            upstream_errors=totals[Metric.UPSTREAM_ERRORS],
            disk_used_bytes=totals[Metric.DISK_USED_BYTES],
            disk_limit_bytes=settings.cache_limit_bytes,
        )

    def _load(self, now_s: float, totals: dict[Metric, int]) -> float:
        """The fuller of the two things that run out: connections, and the workers' processor time."""
        workers = max(1, self._metrics.workers())
        crowd = totals[Metric.CONNECTIONS] / (workers * self._settings.max_connections)
        cpu_ms, busy = totals[Metric.CPU_MS], 0.0
        if self._last is not None and now_s > self._last[0]:
            busy = (cpu_ms - self._last[1]) / ((now_s - self._last[0]) * 1000 * workers)
        self._last = (now_s, cpu_ms)
        return round(min(1.0, max(crowd, busy, 0.0)), 3)
