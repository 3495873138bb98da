"""The client of a cache engine: every call has a time limit, and a circuit breaker skips calls after failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from matinee.drivers.cache.engine import CacheEngine
from matinee.drivers.engine import ENGINE_PROBLEMS, to_operation
from matinee.drivers.metrics import Metrics
from matinee.kit import log
from matinee.kit.breaker import Breaker
from matinee.kit.context import traced

T = TypeVar("T")
_log = log.get()


def engine_breaker() -> Breaker:
    """Return the breaker of an engine, or of one host of it."""
    return Breaker(threshold=3, pause_s=0.25, max_pause_s=4.0)


class CacheMetrics:
    """The metrics of the cache engines of a process."""

    def __init__(self, metrics: Metrics) -> None:
        self._keys = metrics.counter(
            "matinee_cache_keys", "Keys of cache engines: hit, miss, stored, too_large.", ("engine", "outcome")
        )
        self._calls = metrics.counter(
            "matinee_cache_calls", "Calls of cache engines: done, failed, skipped.", ("engine", "outcome")
        )
        self._open = metrics.gauge("matinee_cache_open", "1 while the breaker of a cache engine is open.", ("engine",))
        self._metrics = metrics

    def count_key(self, engine: str, outcome: str) -> None:
        """Count a key that was read or written."""
        self._keys.labels(engine, outcome).inc()

    def count_call(self, engine: str, outcome: str) -> None:
        """Count a call of an engine."""
        self._calls.labels(engine, outcome).inc()

    def export(self, engine: str, breaker: Breaker) -> None:
        """Export the state of an engine's breaker."""
        self._metrics.set_source(self._open.labels(engine), lambda: float(breaker.is_open))


class CacheClient:
    """Calls an engine for at most `timeout_ms`. It raises nothing: without the engine there are no values."""

    def __init__(self, engine: CacheEngine, *, metrics: CacheMetrics, timeout_ms: int = 50) -> None:
        self.engine = engine
        self._metrics = metrics
        self._timeout_s = timeout_ms / 1000
        self._breaker = engine_breaker()
        self._label = engine.engine
        self._operation = to_operation(engine.engine, "cache")
        metrics.export(self._label, self._breaker)

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key; None if there is none or the engine did not answer."""
        is_done, value = await self._call(self.engine.get, key)
        if is_done:
            self._metrics.count_key(self._label, "miss" if value is None else "hit")
        return value

    async def put(self, key: str, value: bytes, *, ttl_ms: int) -> bool:
        """Store a value; return False if it is too large or the engine did not answer."""
        if len(value) > self.engine.max_value_bytes:
            self._metrics.count_key(self._label, "too_large")
            return False
        is_done, _ = await self._call(self.engine.put, key, value, ttl_ms=ttl_ms)
        if is_done:
            self._metrics.count_key(self._label, "stored")
        return is_done

    async def _call(
        self, method: Callable[..., Coroutine[Any, Any, T]], *args: object, **options: object
    ) -> tuple[bool, T | None]:
        """Return whether the engine answered, and its answer."""
        if not self._breaker.allows(time.monotonic()):
            self._metrics.count_call(self._label, "skipped")
            return False, None
        self._breaker.begin()
        try:
            with traced(self._operation, method):
                async with asyncio.timeout(self._timeout_s):
                    result = await method(*args, **options)
        except Exception as error:  # whatever it is, callers continue without the value
            self._on_failure(error)
            return False, None
        except BaseException:  # cancelled: this says nothing about the engine
            self._breaker.abstain()
            raise
        self._breaker.succeed()
        self._metrics.count_call(self._label, "done")
        return True, result

    def _on_failure(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.fail(time.monotonic())
        self._metrics.count_call(self._label, "failed")
        if self._breaker.is_open and not was_open:
            detail = str(error) if isinstance(error, ENGINE_PROBLEMS) else repr(error)
            _log.warning("cache.unavailable", engine=self._label, error=detail)
