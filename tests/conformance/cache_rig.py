"""Caches for the suites: their engines, some to be harmed, what opens them, what they load from, how to wait."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.engines import private_engine, shared_engine, unique_name

from matinee.drivers.cache import Cache, CacheEngine, Figures, Guard, MemoryCache, Policy
from matinee.drivers.cache.opening import open_guard
from matinee.drivers.metrics import Metrics
from matinee.kit.clock import Clock, SystemClock
from matinee.lab.engines import EngineProcess

# Time enough for anything on a busy machine: only a test about slowness has less.
PATIENT_MS = 10_000
ZONES = ("a", "a", "b", "b")
Load = Callable[[], Coroutine[Any, Any, str | None]]


class Mine:
    """Engines of a test's own: one, or the four of a ring (0 and 1 in zone a, 2 and 3 in zone b)."""

    def __init__(self, kind: str, running: list[EngineProcess]) -> None:
        self.kind = kind
        self.running = running
        self.namespace = unique_name("cache")

    @property
    def url(self) -> str:
        """Their URL; a ring's near zone is a."""
        return self.near("a")

    def near(self, zone: str) -> str:
        """The URL with another near zone."""
        if self.kind != "ring":
            return self.running[0].url(self.namespace)
        return ring_url([each.location.client for each in self.running], self.namespace, zone)

    def all(self, what: Callable[[EngineProcess], Any]) -> None:
        """Do something to each of them."""
        for each in self.running:
            what(each)


def ring_url(places: list[str], namespace: str, near: str = "a") -> str:
    hosts = ",".join(f"{zone}@{place}" for zone, place in zip(ZONES, places, strict=True))
    return f"memcached://{hosts}/{namespace}?near={near}"


@contextmanager
def mine(kind: str, folder: Path) -> Iterator[Mine]:
    """Engines of one's own."""
    with ExitStack() as stack:
        names = ["memcached"] * 4 if kind == "ring" else [kind]
        yield Mine(kind, [stack.enter_context(private_engine(name, folder)) for name in names])


def shared_url(kind: str) -> str:
    """A namespace of its own on the shared engine."""
    return shared_engine(kind).url("cache")


class Caches:
    """Opens caches on one engine, each as another process would."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self._stack = stack
        self._memory: dict[int, MemoryCache] = {}

    async def open(
        self,
        *,
        name: str = "things",
        kind: Any = str,
        clock: Clock | None = None,
        policy: Policy | None = None,
        limit_ms: int = PATIENT_MS,
        draw: Callable[[], float] | None = None,
        url: str = "",
        failures: int = 3,
    ) -> Cache[Any]:
        clock = clock or SystemClock()
        guard = await self.guard(clock, limit_ms, url or self.url)
        said = {} if draw is None else {"draw": draw}
        cache: Cache[Any] = Cache(
            guard, name=name, kind=kind, clock=clock, policy=policy or Policy(wait_ms=PATIENT_MS), **said
        )
        self._stack.push_async_callback(cache.close)
        return cache

    async def guard(self, clock: Clock, limit_ms: int, url: str) -> Guard:
        figures = Figures(Metrics())
        if url.startswith("memory"):
            return Guard(self._memory.setdefault(0, MemoryCache(clock=clock)), figures=figures, limit_ms=limit_ms)
        return await open_guard(url, stack=self._stack, figures=figures, clock=clock, limit_ms=limit_ms)


def engine_of(cache: Cache[Any]) -> CacheEngine:
    """The engine below a cache."""
    return cache.guard.engine


def counted(cache: Cache[Any], outcome: str) -> int:
    """How many keys a cache has counted under an outcome."""
    return _figure(cache, rf'matinee_cache_keys_total{{cache="{cache.name}",outcome="{outcome}"}} (\S+)')


def calls(cache: Cache[Any], outcome: str) -> int:
    """How many calls of its engine a cache has counted under an outcome."""
    return _figure(cache, rf'matinee_cache_calls_total{{engine="[^"]*",outcome="{outcome}"}} (\S+)')


def _figure(cache: Cache[Any], pattern: str) -> int:
    found = re.search(pattern, cache.guard.figures.render().decode())
    return int(float(found[1])) if found else 0


class Source:
    """Where the truth is: values by key, and how often each was asked for."""

    def __init__(self, **values: str) -> None:
        self.values: dict[str, str] = dict(values)
        self.asked: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()

    def one(self, key: str) -> Load:
        async def load() -> str | None:
            return (await self.many([key])).get(key)

        return load

    async def many(self, keys: list[str]) -> Mapping[str, str]:
        self.asked.update(keys)
        found = {key: self.values[key] for key in keys if key in self.values}
        await self.gate.wait()
        return found


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


async def until_it_is(value: str, ask: Callable[[], Coroutine[Any, Any, str | None]]) -> None:
    async with asyncio.timeout(60):
        while await ask() != value:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
