"""An engine behind a deadline and a breaker: what it cannot answer soon counts as not there, and costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from matinee.drivers.cache.breaker import Breaker
from matinee.drivers.cache.engine import CacheEngine, Held, Swap, Token
from matinee.drivers.engine import ENGINE_PROBLEMS
from matinee.drivers.metrics import Metrics
from matinee.kit import log

T = TypeVar("T")
_log = log.get()


class Figures:
    """What caches count, once a process: `keys` by cache and outcome, `calls` by engine and outcome."""

    def __init__(self, metrics: Metrics) -> None:
        keys = (
            "Keys asked of caches: hit, stale, none, miss, wait, load, dark, corrupt, big, kept, lost, gone, pending."
        )
        self._keys = metrics.counter("matinee_cache_keys", keys, ("cache", "outcome"))
        self._calls = metrics.counter(
            "matinee_cache_calls", "Calls of cache engines: done, failed, spared.", ("engine", "outcome")
        )
        self._open = metrics.gauge(
            "matinee_cache_open", "1 while nobody asks this engine, since it failed.", ("engine",)
        )
        self._metrics = metrics

    def keys(self, cache: str, outcome: str, count: int = 1) -> None:
        """Count keys."""
        if count:
            self._keys.labels(cache, outcome).inc(count)

    def call(self, engine: str, outcome: str) -> None:
        """Count a call."""
        self._calls.labels(engine, outcome).inc()

    def render(self) -> bytes:
        """All figures, as text."""
        return self._metrics.render()

    def watch(self, engine: str, breaker: Breaker) -> None:
        """Show a breaker."""
        self._metrics.set_source(self._open.labels(engine), lambda: float(breaker.is_open))


class Guard:
    """An engine that never raises and never takes longer than `limit_ms` (a set may take `settle_ms` more)."""

    def __init__(
        self, engine: CacheEngine, *, figures: Figures, limit_ms: int = 50, settle_ms: int = 0, failures: int = 3
    ) -> None:
        self.engine = engine
        self._limit_s = limit_ms / 1000
        self._settle_s = settle_ms / 1000
        self._breaker = Breaker(failures=failures)
        self._label = engine.engine
        self.figures = figures
        figures.watch(self._label, self._breaker)

    @property
    def value_limit(self) -> int:
        """The greatest value, in bytes."""
        return self.engine.value_limit

    async def get_many(self, keys: Sequence[str]) -> dict[str, Held] | None:
        """What there is; None where the engine did not say."""
        return await self._asked(lambda: self.engine.get_many(keys), self._limit_s)

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token] | None:
        """The swaps that were done; None where the engine did not say."""
        return await self._asked(lambda: self.engine.swap_many(swaps), self._limit_s)

    async def set_many(self, values: Mapping[str, bytes], ttl_ms: int) -> bool:
        """Whether the values stand, for everyone."""

        async def call() -> bool:
            await self.engine.set_many(values, ttl_ms)
            return True

        return await self._asked(call, self._limit_s + self._settle_s) or False

    async def _asked(self, call: Callable[[], Awaitable[T]], limit_s: float) -> T | None:
        if not self._breaker.lets():
            self.figures.call(self._label, "spared")
            return None
        try:
            async with asyncio.timeout(limit_s):
                answer = await call()
        except Exception as error:  # whatever it is, the answer is at the source
            self._failed(error)
            return None
        self.figures.call(self._label, "done")
        self._breaker.succeeded()
        return answer

    def _failed(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed()
        self.figures.call(self._label, "failed")
        if self._breaker.is_open and not was_open:
            said = str(error) if isinstance(error, ENGINE_PROBLEMS) else repr(error)
            _log.warning("cache.away", engine=self._label, error=said)
