"""A process of its own that reads a cache: `python -m tests.conformance.cache_client URL TASKS LOADS GO [SLOW_S]`.

It says `ready`, waits until the file GO is there, lets TASKS tasks get the same key at once, and prints what they got.
Every load adds a line to the file LOADS and takes SLOW_S seconds. On uvloop, as the deployment runs.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from matinee.drivers.cache import Cache, Figures, Policy
from matinee.drivers.cache.opening import open_guard
from matinee.drivers.metrics import Metrics
from matinee.kit.clock import SystemClock


async def main(url: str, tasks: int, loads: Path, go: Path, slow_s: float) -> None:
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        guard = await open_guard(url, stack=stack, figures=Figures(Metrics()), clock=clock, limit_ms=10_000)
        cache: Cache[str] = Cache(guard, name="stampede", kind=str, clock=clock, policy=Policy(wait_ms=30_000))

        async def load() -> str:
            with loads.open("a") as file:
                file.write(f"{os.getpid()}\n")
            await asyncio.sleep(slow_s)
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
