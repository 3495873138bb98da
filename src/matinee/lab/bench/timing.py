"""What every area of the bench is given, and how operations are timed: ours and the baseline's in turns."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from matinee.lab.engines import ENGINES, EngineProcess

Operation: TypeAlias = Callable[[int], Awaitable[object]]


@contextlib.contextmanager
def start_engines(*names: str) -> Iterator[dict[str, str]]:
    """Start engines and yield a URL of each by name; remove them afterwards. Raises EngineMissing."""
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as folder, contextlib.ExitStack() as stack:
        engines = {name: EngineProcess(ENGINES[name], Path(folder) / name) for name in names}
        yield {name: stack.enter_context(engine).url("bench") for name, engine in engines.items()}


@dataclass(frozen=True)
class Bench:
    """How an area is measured: at its full or its smallest size, and on which engines."""

    smallest: bool = False
    open_engines: Callable[..., AbstractContextManager[dict[str, str]]] = start_engines

    def size(self, full: int, smallest: int) -> int:
        """Choose between two sizes."""
        return smallest if self.smallest else full


async def time_in_turns(*operations: Operation, count: int, in_flight: int, rounds: int = 5) -> list[float]:
    """Return the median time of one call of each operation, in µs of wall time, over rounds in turns.

    An operation is called with numbers that no other round has. The first round only warms up.
    """
    times_us: list[list[float]] = [[] for _ in operations]
    turns = deque(zip(times_us, operations, strict=True))
    for turn in range(rounds + 1):
        for times, operation in turns:
            times.append(await _time_us(operation, first=turn * count, count=count, in_flight=in_flight))
        turns.rotate()  # so that what an engine defers (compaction, garbage collection) affects all of them
    return [statistics.median(times[1:]) for times in times_us]


async def _time_us(operation: Operation, *, first: int, count: int, in_flight: int) -> float:
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            await operation(number)

    started_s = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return (time.perf_counter() - started_s) / count * 1e6
