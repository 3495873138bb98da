"""The background work of an edge: evict from the cache, measure CPU time, send heartbeats to steering."""

from __future__ import annotations

import asyncio
import time

from matinee.edge.api import EdgeSettings
from matinee.edge.ports import CacheStore, EdgeMetrics, Evictor, Metric
from matinee.kit import log
from matinee.kit.ticks import sleep_until_tick
from matinee.steering.api import EdgeReport, Steering

_log = log.get()
# A cache that is nearly full is checked more often: it fills by up to a gigabyte a second.
_EVICT_INTERVAL_S, _IDLE_INTERVAL_S = 0.1, 1.0
# Between two steps of a long scan: most of the time is for deliveries.
_BEHIND_INTERVAL_S, _OVER_INTERVAL_S = 0.01, 0.001
_FULL_SHARE = 0.8
_CLOSE_INTERVAL_S = 0.5
HEARTBEAT_INTERVAL_S = _CPU_INTERVAL_S = 2.0
_HEARTBEAT_TIMEOUT_S = 2.0


async def run_eviction(*, store: CacheStore, evictor: Evictor, metrics: EdgeMetrics, limit_bytes: int) -> None:
    """Keep the cache within its limit if this worker is elected, and close files that another worker evicted."""
    closed_at_s = 0.0
    while True:
        interval_s = _IDLE_INTERVAL_S
        try:
            if time.monotonic() >= closed_at_s + _CLOSE_INTERVAL_S:
                closed_at_s = time.monotonic()
                store.close_evicted()
            if evictor.elect():
                metrics.add(Metric.EVICTIONS, evictor.evict())
                metrics.set(Metric.DISK_USED_BYTES, evictor.used_bytes())
                interval_s = _choose_interval(evictor, limit_bytes)
        except Exception as error:
            _log.warning("eviction.failed", error=repr(error))
        await (sleep_until_tick if interval_s == _IDLE_INTERVAL_S else asyncio.sleep)(interval_s)


def _choose_interval(evictor: Evictor, limit_bytes: int) -> float:
    if evictor.is_behind:
        return _BEHIND_INTERVAL_S if evictor.used_bytes() <= limit_bytes else _OVER_INTERVAL_S
    return _EVICT_INTERVAL_S if evictor.used_bytes() > limit_bytes * _FULL_SHARE else _IDLE_INTERVAL_S


async def record_cpu(*, metrics: EdgeMetrics) -> None:
    """Add this worker's CPU time to the metrics, as often as heartbeats report it and never at the same time."""
    recorded_ms = 0
    while True:
        spent_ms = round(time.process_time() * 1000)
        metrics.add(Metric.CPU_MS, spent_ms - recorded_ms)
        recorded_ms = spent_ms
        await sleep_until_tick(_CPU_INTERVAL_S, offset_s=_CPU_INTERVAL_S / 2)


async def send_heartbeats(
    *, settings: EdgeSettings, port: int, evictor: Evictor, metrics: EdgeMetrics, steering: Steering
) -> None:
    """Report to steering every two seconds. The elected worker reports for all; failures are logged once."""
    reporter = EdgeReporter(settings, port, metrics)
    is_failing = False
    while True:
        if evictor.elect():
            try:
                async with asyncio.timeout(_HEARTBEAT_TIMEOUT_S):
                    await steering.heartbeat(report=reporter.report(time.monotonic()))
                is_failing = False
            except Exception as error:  # serving clients does not depend on steering
                if not is_failing:
                    _log.warning("heartbeat.failed", error=repr(error))
                is_failing = True
        await sleep_until_tick(HEARTBEAT_INTERVAL_S)


class EdgeReporter:
    """Makes the reports of heartbeats. CPU load is measured between two of them."""

    def __init__(self, settings: EdgeSettings, port: int, metrics: EdgeMetrics) -> None:
        self._address = settings.address or _format_url(settings, port)
        self._base_url = settings.base_url or self._address
        self._settings = settings
        self._metrics = metrics
        self._last: tuple[float, int] | None = None

    def report(self, now_s: float) -> EdgeReport:
        """Return the report at an instant of the monotonic clock."""
        settings, totals = self._settings, self._metrics.totals()
        return EdgeReport(
            edge_id=settings.edge_id,
            name=settings.name,
            base_url=self._base_url,
            address=self._address,
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
        """Return the greater of the share of connections in use and the share of CPU time spent."""
        workers = max(1, self._metrics.count_workers())
        connections = totals[Metric.CONNECTIONS] / (workers * self._settings.max_connections)
        cpu_ms, cpu = totals[Metric.CPU_MS], 0.0
        if self._last is not None and now_s > self._last[0]:
            cpu = (cpu_ms - self._last[1]) / ((now_s - self._last[0]) * 1000 * workers)
        self._last = (now_s, cpu_ms)
        return round(min(1.0, max(connections, cpu, 0.0)), 3)


def _format_url(settings: EdgeSettings, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"
