"""The harness of the bench: what every area is given, and how ours and the baselines are measured in turns."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from matinee.lab.bench.figures import Figure, Samples, make_figure

Call: TypeAlias = Callable[[int], Awaitable[object]]
# Runs the turn of a round and returns its cost.
Variant: TypeAlias = Callable[[int], Awaitable[float]]
Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One measurement of an area, at its full or its smallest size; `folder` and `stack` end with it."""

    area: str
    folder: Path
    stack: AsyncExitStack
    open_engine: Callable[[str], str]
    smallest: bool = False
    figures: list[Figure] = field(default_factory=list)

    def size(self, full: int, smallest: int) -> int:
        """Choose between two sizes."""
        return smallest if self.smallest else full

    def report(
        self,
        name: str,
        samples: Samples,
        unit: str,
        *,
        baseline: Samples | None = None,
        max_ratio: float | None = None,
        max_value: float | None = None,
    ) -> None:
        """Add a figure. Its goal is `max_ratio` if there is a baseline, else `max_value`."""
        goal = max_ratio if baseline else max_value
        self.figures.append(make_figure(self.area, name, samples, unit, baseline=baseline, goal=goal))


async def measure_in_turns(
    variants: Mapping[str, Variant], *, rounds: int, warm_up: bool = True, limit_s: float = math.inf
) -> list[Samples]:
    """Run the variants in turns, in another order in each round, and return the costs of each.

    A round before the first one only warms up. After `limit_s` no further round starts.
    """
    deadline_s = time.monotonic() + limit_s
    costs: dict[str, list[float]] = {name: [] for name in variants}
    turns = deque(variants.items())
    for number in range(rounds + warm_up):
        for name, variant in turns:
            costs[name].append(await variant(number))
        turns.rotate()  # so that what an engine defers (compaction, garbage collection) affects all of them
        if time.monotonic() > deadline_s:
            break
    return [Samples(values[warm_up:], name) for name, values in costs.items()]


async def time_in_turns(
    calls: Mapping[str, Call],
    *,
    count: int,
    rounds: int,
    in_flight: int = 1,
    parts: float = 1,
    warm_up: bool = True,
    clock: Clock = time.perf_counter,
) -> list[Samples]:
    """Repeat calls in turns, `count` times in each, and return the cost of each by the clock.

    A call is given numbers that no other round has. The cost is of one of its `parts`.
    """

    def to_variant(call: Call) -> Variant:
        async def run_turn(number: int) -> float:
            return await time_calls(call, first=number * count, count=count, in_flight=in_flight, clock=clock)

        return run_turn

    variants = {name: to_variant(call) for name, call in calls.items()}
    samples = await measure_in_turns(variants, rounds=rounds, warm_up=warm_up)
    return [Samples([value / parts for value in one.values], one.name) for one in samples]


async def time_calls(call: Call, *, clock: Clock, first: int = 0, count: int = 1, in_flight: int = 1) -> float:
    """Repeat a call, some at a time, and return its cost by the clock."""
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            await call(number)

    started_s = clock()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return (clock() - started_s) / count


def cpu_clock(*pids: int) -> Clock:
    """Return a clock of the CPU time of processes, user and system, including threads that have ended."""
    return lambda: sum(map(_read_cpu_s, pids))


def _read_cpu_s(pid: int) -> float:
    if sys.platform == "linux":
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)
    spent = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return sum(float(part) * 60.0**at for at, part in enumerate(reversed(spent.stdout.strip().split(":"))))
