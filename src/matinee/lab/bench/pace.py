"""How long an operation takes when many are under way: ours and the baseline's in turns, so that noise meets both."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from matinee.lab.engines import ENGINES, EngineProcess

Work: TypeAlias = Callable[[int], Awaitable[object]]
ROUNDS = 5


@contextlib.contextmanager
def engines(*names: str) -> Iterator[dict[str, EngineProcess]]:
    """Engines of this bench's own, by name; gone afterwards. Raises EngineMissing where one cannot be had."""
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as place, contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(EngineProcess(ENGINES[name], Path(place) / name)) for name in names}


async def side_by_side(*works: Work, count: int, in_flight: int, rounds: int = ROUNDS) -> list[float]:
    """The median time of one operation of each, in µs of the whole machine's time, over rounds in turns.

    Each is handed numbers that no other round has. The first round only warms up.
    """
    seen: list[list[float]] = [[] for _ in works]
    turns = deque(zip(seen, works, strict=True))
    for turn in range(rounds + 1):
        for took, work in turns:
            took.append(await _pace_us(work, first=turn * count, count=count, in_flight=in_flight))
        turns.rotate()  # what an engine puts off (compaction, collection of garbage) is to meet all of them
    return [statistics.median(took[1:]) for took in seen]


async def _pace_us(work: Work, *, first: int, count: int, in_flight: int) -> float:
    numbers = iter(range(first, first + count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return (time.perf_counter() - began) / count * 1e6
