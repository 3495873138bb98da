"""The cost of a call between two domains of one process, beside a bare call of the same method."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol, TypeAlias

from matinee.drivers.metrics import Metrics
from matinee.kit.clock import SystemClock
from matinee.kit.context import Context, activate
from matinee.kit.tracing import Operation, Span, Tracer
from matinee.lab.bench.figures import Samples
from matinee.lab.bench.harness import Bench, Call, time_in_turns
from matinee.mesh.service import Services

GOAL_US = 5.0
Method: TypeAlias = Callable[..., Awaitable[int]]


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


async def measure(bench: Bench) -> None:
    """Measure what the mesh adds to a call, as CPU time; with a span, where the caller has one."""
    bare, services = _Echo(), Services(Metrics())
    services.add("echo", Echo, bare)
    local: Echo = services.bind("echo", caller="bench")
    echo, local_echo = await _time(bench, bare.echo, local.echo)
    suspend, local_suspend = await _time(bench, bare.suspend, local.suspend)
    tracer = Tracer(sink=_Sink(), sampling=1.0, clock=SystemClock(), rng=Random(1))  # noqa: S311  # not a secret
    with activate(Context(trace_id="", span=tracer.start(Operation("bench")))):
        again, traced = await _time(bench, bare.echo, local.echo)
    bench.report("bare call", echo, "µs")
    bench.report("local call: added", local_echo - echo, "µs", max_value=GOAL_US)
    bench.report("local call with a span: added", traced - again, "µs", max_value=GOAL_US)
    bench.report("local call that suspends: added", local_suspend - suspend, "µs")


async def _time(bench: Bench, bare: Method, local: Method) -> list[Samples]:
    calls: dict[str, Call] = {"bare": lambda n: bare(number=n), "local": lambda n: local(number=n)}
    count, rounds = bench.size(10_000, 1_000), bench.size(25, 1)
    return [one.least for one in await time_in_turns(calls, count=count, rounds=rounds, clock=time.process_time)]
