"""A process that reads a cache: `python -m tests.conformance.cache_client URL TASKS LOADS GO [LOAD_S]`.

It prints `ready`, waits for the file GO, gets the same key in TASKS concurrent tasks, and prints the values. Each load
appends a line to the file LOADS and takes LOAD_S seconds. It runs on uvloop, as a deployment does.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from matinee.drivers.cache import Cache, CacheMetrics, CachePolicy
from matinee.drivers.cache.opening import open_cache_client
from matinee.drivers.metrics import Metrics
from matinee.kit.clock import SystemClock


async def main(url: str, tasks: int, loads: Path, go: Path, load_s: float) -> None:
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        metrics = CacheMetrics(Metrics())
        client = await open_cache_client(url, stack=stack, metrics=metrics, clock=clock, timeout_ms=10_000)
        cache: Cache[str] = Cache(client, name="stampede", kind=str, clock=clock, policy=CachePolicy(wait_ms=30_000))

        async def load() -> str:
            with loads.open("a") as file:
                file.write(f"{os.getpid()}\n")
            await asyncio.sleep(load_s)
            return "loaded"

        print("ready", flush=True)
        while not go.exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.005)
        got = await asyncio.gather(*(cache.get("key", load) for _ in range(tasks)))
        print(" ".join(map(str, got)), flush=True)
        await cache.close()


if __name__ == "__main__":
    address, count, loads_file, go_file, *rest = sys.argv[1:]
    uvloop.run(main(address, int(count), Path(loads_file), Path(go_file), float(rest[0]) if rest else 0.3))
