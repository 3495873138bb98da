"""Cache engines for the suites, and helpers that wait."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from tests.engines import private_engine, unique_name

from matinee.drivers.cache import CacheClient, CacheMetrics, MemoryCache
from matinee.drivers.cache.opening import open_cache_client
from matinee.drivers.metrics import Metrics
from matinee.kit.clock import Clock, SystemClock
from matinee.lab.engines import EngineProcess

T = TypeVar("T")
# Long enough for a loaded machine; only tests of timeouts use less.
LONG_MS = 10_000
ZONES = ("a", "a", "b", "b")


class PrivateEngines:
    """Engines that a test may kill: a single one, or the four hosts of a ring (0, 1 in zone a and 2, 3 in zone b)."""

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

    def restore(self) -> None:
        """Resume and start each engine, and change the namespace."""
        for process in self.processes:
            process.resume()
            process.start()
        self.namespace = unique_name("cache")


@contextmanager
def private_engines(kind: str, folder: Path) -> Iterator[PrivateEngines]:
    """Start engines that a test may kill."""
    with ExitStack() as stack:
        names = ["memcached"] * 4 if kind == "ring" else [kind]
        yield PrivateEngines(kind, [stack.enter_context(private_engine(name, folder)) for name in names])


class Clients:
    """Opens clients of one engine, each as another process would; those of `memory://` share one dictionary."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self.stack = stack
        self._memory: MemoryCache | None = None
        self._metrics: dict[CacheClient, Metrics] = {}

    async def open(self, *, url: str = "", clock: Clock | None = None, timeout_ms: int = LONG_MS) -> CacheClient:
        """Open a client."""
        metrics, clock, url = Metrics(), clock or SystemClock(), url or self.url
        exported = CacheMetrics(metrics)
        if url.startswith("memory"):
            self._memory = self._memory or MemoryCache(clock=clock)
            client = CacheClient(self._memory, metrics=exported, timeout_ms=timeout_ms)
        else:
            client = await open_cache_client(
                url, stack=self.stack, metrics=exported, clock=clock, timeout_ms=timeout_ms
            )
        self._metrics[client] = metrics
        return client

    def count_keys(self, client: CacheClient, outcome: str) -> int:
        """Return how many keys a client has counted under an outcome."""
        return self._read(client, "keys_total", outcome)

    def count_calls(self, client: CacheClient, outcome: str) -> int:
        """Return how many calls a client has counted under an outcome."""
        return self._read(client, "calls_total", outcome)

    def _read(self, client: CacheClient, name: str, outcome: str) -> int:
        pattern = rf'matinee_cache_{name}{{engine="[^"]*",outcome="{outcome}"}} (\S+)'
        match = re.search(pattern, self._metrics[client].render().decode())
        return int(float(match[1])) if match else 0


async def wait_for(value: T, read: Callable[[], Awaitable[T]]) -> None:
    """Wait until a read returns a value."""
    async with asyncio.timeout(60):
        while await read() != value:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)
