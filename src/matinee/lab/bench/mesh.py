"""The cost of a call between two domains of one process, beside a bare call of the same method."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

from matinee.drivers.metrics import Metrics
from matinee.kit.clock import SystemClock
from matinee.kit.context import Context, activate
from matinee.kit.tracing import Operation, Span, Tracer
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench
from matinee.mesh.service import Services

AREA = "mesh"
GOAL_US = 5.0


class Echo(Protocol):
    """A service without any work of its own."""

    async def echo(self, *, number: int) -> int:
        """Return a number at once."""

    async def suspend(self, *, number: int) -> int:
        """Return a number after one turn of the event loop."""


class _Echo:
    async def echo(self, *, number: int) -> int:
        return number

    async def suspend(self, *, number: int) -> int:
        await asyncio.sleep(0)
        return number


class _Sink:
    dropped = 0

    def record(self, span: Span) -> None:
        pass


def measure(bench: Bench) -> list[Figure]:
    """Measure what the mesh adds to a call, as CPU time."""
    return asyncio.run(_measure(bench.size(15, 2), bench.size(20_000, 1_000)))


async def _measure(rounds: int, count: int) -> list[Figure]:
    bare = _Echo()
    local = _bind(bare)
    suspend_us, local_suspend_us = await _cost_us(rounds, count, bare.suspend, local.suspend)
    echo_us, local_us = await _cost_us(rounds, count, bare.echo, local.echo)
    tracer = Tracer(sink=_Sink(), sampling=1.0, clock=SystemClock(), rng=Random(1))  # noqa: S311  # not a secret
    with activate(Context(trace_id="", span=tracer.start(Operation("bench")))):
        (traced_us,) = await _cost_us(rounds, count, local.echo)
    return [
        make_figure(AREA, "bare call", echo_us, "µs"),
        make_figure(AREA, "local call: added", local_us - echo_us, "µs", goal=GOAL_US),
        make_figure(AREA, "local call with a span: added", traced_us - echo_us, "µs", goal=GOAL_US),
        make_figure(AREA, "local call that suspends: added", local_suspend_us - suspend_us, "µs"),
    ]


def _bind(implementation: _Echo) -> Echo:
    services = Services(Metrics())
    services.add("echo", Echo, implementation)
    bound: Echo = services.bind("echo", caller="bench")
    return bound


async def _cost_us(rounds: int, count: int, *calls: Callable[..., Awaitable[int]]) -> list[float]:
    """Return the least CPU time per call of each function over rounds in turns."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, call in enumerate(calls):
            started_s = time.process_time()
            for number in range(count):
                await call(number=number)
            best[index] = min(best[index], (time.process_time() - started_s) / count * 1e6)
    return best
