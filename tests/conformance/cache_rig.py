"""Engines and caches for the suites, a source to load from, and helpers that wait."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.engines import private_engine, shared_engine, unique_name

from matinee.drivers.cache import Cache, CacheClient, CacheEngine, CacheMetrics, CachePolicy, MemoryCache
from matinee.drivers.cache.opening import open_cache_client
from matinee.drivers.metrics import Metrics
from matinee.kit.clock import Clock, SystemClock
from matinee.lab.engines import EngineProcess

# Long enough for a loaded machine; only tests of timeouts use less.
LONG_MS = 10_000
ZONES = ("a", "a", "b", "b")
Load = Callable[[], Coroutine[Any, Any, str | None]]


class PrivateEngines:
    """Engines of one test: a single one, or the four hosts of a ring (0 and 1 in zone a, 2 and 3 in zone b)."""

    def __init__(self, kind: str, processes: list[EngineProcess]) -> None:
        self.kind = kind
        self.processes = processes
        self.namespace = unique_name("cache")

    @property
    def url(self) -> str:
        """The URL; the near zone of a ring is a."""
        return self.url_near("a")

    def url_near(self, near: str) -> str:
        """Return the URL with another near zone."""
        if self.kind != "ring":
            return self.processes[0].url(self.namespace)
        hosts = ",".join(f"{zone}@{name}" for zone, name in zip(ZONES, self.names, strict=True))
        return f"memcached://{hosts}/{self.namespace}?near={near}"

    @property
    def names(self) -> list[str]:
        """The address of each engine."""
        return [process.location.client for process in self.processes]

    def each(self, action: Callable[[EngineProcess], Any]) -> None:
        """Do something to each engine."""
        for process in self.processes:
            action(process)


@contextmanager
def private_engines(kind: str, folder: Path) -> Iterator[PrivateEngines]:
    """Start engines that a test may kill."""
    with ExitStack() as stack:
        names = ["memcached"] * 4 if kind == "ring" else [kind]
        yield PrivateEngines(kind, [stack.enter_context(private_engine(name, folder)) for name in names])


def shared_url(kind: str) -> str:
    """Return the URL of a new namespace in a shared engine."""
    return shared_engine(kind).url("cache")


class FixedRandom(Random):
    """A random generator that always draws the same number."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


class Caches:
    """Opens caches on one engine, each as another process would."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self._stack = stack
        self._memory: MemoryCache | None = None

    async def open(
        self,
        *,
        name: str = "things",
        kind: Any = str,
        clock: Clock | None = None,
        policy: CachePolicy | None = None,
        timeout_ms: int = LONG_MS,
        rng: Random | None = None,
        url: str = "",
    ) -> Cache[Any]:
        clock = clock or SystemClock()
        client = await self._open_client(clock, timeout_ms, url or self.url)
        policy = policy or CachePolicy(wait_ms=LONG_MS)
        cache: Cache[Any] = Cache(client, name=name, kind=kind, clock=clock, policy=policy, rng=rng)
        self._stack.push_async_callback(cache.close)
        return cache

    async def _open_client(self, clock: Clock, timeout_ms: int, url: str) -> CacheClient:
        metrics = CacheMetrics(Metrics())
        if url.startswith("memory"):
            self._memory = self._memory or MemoryCache(clock=clock)
            return CacheClient(self._memory, metrics=metrics, timeout_ms=timeout_ms)
        return await open_cache_client(url, stack=self._stack, metrics=metrics, clock=clock, timeout_ms=timeout_ms)


def engine_of(cache: Cache[Any]) -> CacheEngine:
    """Return the engine below a cache."""
    return cache.client.engine


def key_count(cache: Cache[Any], outcome: str) -> int:
    """Return how many keys a cache has counted under an outcome."""
    return _read_metric(cache, rf'matinee_cache_keys_total{{cache="{cache.name}",outcome="{outcome}"}} (\S+)')


def call_count(cache: Cache[Any], outcome: str) -> int:
    """Return how many calls of its engine a cache has counted under an outcome."""
    return _read_metric(cache, rf'matinee_cache_calls_total{{engine="[^"]*",outcome="{outcome}"}} (\S+)')


def _read_metric(cache: Cache[Any], pattern: str) -> int:
    match = re.search(pattern, cache.client.metrics.render().decode())
    return int(float(match[1])) if match else 0


class Source:
    """The source that caches load from: values by key, and the number of loads of each."""

    def __init__(self, **values: str) -> None:
        self.values: dict[str, str] = dict(values)
        self.loads: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()

    def one(self, key: str) -> Load:
        async def load() -> str | None:
            return (await self.many([key])).get(key)

        return load

    async def many(self, keys: list[str]) -> Mapping[str, str]:
        self.loads.update(keys)
        found = {key: self.values[key] for key in keys if key in self.values}
        await self.gate.wait()
        return found


async def wait_until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_true():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)


async def wait_until_returns(value: str, get: Callable[[], Coroutine[Any, Any, str | None]]) -> None:
    async with asyncio.timeout(60):
        while await get() != value:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)
