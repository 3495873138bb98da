"""The client of a cache engine: every call has a time limit, and a circuit breaker skips calls after failures."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from matinee.drivers.cache.engine import CacheEngine, StoredBytes, Swap, Token
from matinee.drivers.engine import ENGINE_PROBLEMS, to_operation
from matinee.drivers.metrics import Metrics
from matinee.kit import log
from matinee.kit.breaker import Breaker
from matinee.kit.context import traced

T = TypeVar("T")
_OUTCOMES = (
    "hit, stale, absent, miss, leased, too_large, wait, load, bypass, corrupt, stored, lost, invalidated, pending"
)
_log = log.get()


def engine_breaker() -> Breaker:
    """Return the breaker of an engine, or of one host of it."""
    return Breaker(threshold=3, pause_s=0.25, max_pause_s=4.0)


class CacheMetrics:
    """The metrics of all caches of a process."""

    def __init__(self, metrics: Metrics) -> None:
        self._keys = metrics.counter("matinee_cache_keys", f"Keys read from caches: {_OUTCOMES}.", ("cache", "outcome"))
        self._calls = metrics.counter(
            "matinee_cache_calls", "Calls of cache engines: done, failed, skipped.", ("engine", "outcome")
        )
        self._open = metrics.gauge("matinee_cache_open", "1 while the breaker of a cache engine is open.", ("engine",))
        self._metrics = metrics

    def count_keys(self, cache: str, outcome: str, count: int = 1) -> None:
        """Count keys of a cache."""
        if count:
            self._keys.labels(cache, outcome).inc(count)

    def count_call(self, engine: str, outcome: str) -> None:
        """Count a call of an engine."""
        self._calls.labels(engine, outcome).inc()

    def render(self) -> bytes:
        """Return all metrics as text."""
        return self._metrics.render()

    def export(self, engine: str, breaker: Breaker) -> None:
        """Export the state of an engine's breaker."""
        self._metrics.set_source(self._open.labels(engine), lambda: float(breaker.is_open))


class CacheClient:
    """Calls an engine for at most `timeout_ms`. It raises nothing: the result says when the engine did not answer."""

    def __init__(self, engine: CacheEngine, *, metrics: CacheMetrics, timeout_ms: int = 50) -> None:
        self.engine = engine
        self.metrics = metrics
        self._timeout_s = timeout_ms / 1000
        self._breaker = engine_breaker()
        self._label = engine.engine
        self._operation = to_operation(engine.engine, "cache")
        metrics.export(self._label, self._breaker)

    async def get_many(self, keys: Sequence[str]) -> dict[str, StoredBytes] | None:
        """Return what is stored under the keys; None if the engine did not answer."""
        return await self._call(self.engine.get_many, keys)

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token] | None:
        """Return the new tokens of the swaps that were done; None if the engine did not answer."""
        return await self._call(self.engine.swap_many, swaps)

    async def set_many(
        self, values: Mapping[str, bytes], ttl_ms: int, *, missed: Mapping[str, Token | None]
    ) -> dict[str, Token | None]:
        """Overwrite copies as `CacheEngine.set_many` does. None, in the result and in `missed`, means all copies."""
        copies = {key: token for key, token in missed.items() if token is not None}
        result = await self._call(functools.partial(self.engine.set_many, missed=copies), values, ttl_ms)
        return {key: missed.get(key) for key in values} if result is None else dict(result)

    async def _call(self, method: Callable[..., Awaitable[T]], *args: object) -> T | None:
        if not self._breaker.allows(time.monotonic()):
            self.metrics.count_call(self._label, "skipped")
            return None
        self._breaker.begin()
        try:
            with traced(self._operation, method):
                async with asyncio.timeout(self._timeout_s):
                    result = await method(*args)
        except Exception as error:  # whatever it is, the value can be loaded from its source
            self._on_failure(error)
            return None
        except BaseException:  # cancelled: this says nothing about the engine
            self._breaker.abstain()
            raise
        self._breaker.succeed()
        self.metrics.count_call(self._label, "done")
        return result

    def _on_failure(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.fail(time.monotonic())
        self.metrics.count_call(self._label, "failed")
        if self._breaker.is_open and not was_open:
            detail = str(error) if isinstance(error, ENGINE_PROBLEMS) else repr(error)
            _log.warning("cache.unavailable", engine=self._label, error=detail)
