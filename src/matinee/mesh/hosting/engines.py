"""The health of the engines that a process uses, checked every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from matinee.drivers.engine import ENGINE_PROBLEMS, EngineClient, EngineHealth, EngineState, to_health
from matinee.drivers.metrics import Metrics
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.problem import Problem
from matinee.kit.ticks import sleep_until_tick

INTERVAL_S: Final = 2.0
# An engine that does not answer within `LIMIT_S` is unavailable; one that answers after `SLOW_S` is slow.
LIMIT_S: Final = 4.0
SLOW_S: Final = 0.5

_log = log.get()


class EngineWatch:
    """The engines of one process. Register them with `add`, then `run`; `states` holds the last results."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: list[_Watched] = []
        self._reported: tuple[EngineState, ...] = ()

    @property
    def states(self) -> tuple[EngineState, ...]:
        """The state of each engine. Uses of one engine are merged while their states are equal."""
        merged: dict[tuple[str, EngineHealth, str], EngineState] = {}
        for state in (one.state for one in self._watched):
            key = (state.engine, state.state, state.detail)
            merged[key] = _merge(merged[key], state) if key in merged else state
        return tuple(merged.values())

    def add(self, client: EngineClient, *, used_for: str, needed: bool = True) -> None:
        """Watch an engine. Without a `needed` engine some calls fail; without others calls are slower."""
        self._watched.append(_Watched(client, used_for, needed, self._clock.now()))

    def export(self, metrics: Metrics) -> None:
        """Export at `/metrics` whether each engine is ok."""
        gauge = metrics.gauge(
            "matinee_engine_healthy", "Whether an engine was ok at the last check", ("engine", "used_for")
        )
        for one in self._watched:
            metrics.set_source(gauge.labels(one.state.engine, one.used_for), one.is_ok)

    async def run(self, on_change: Callable[[], None]) -> None:
        """Check all engines repeatedly; call `on_change` when a state changed."""
        while True:
            await self.check()
            if (states := self.states) != self._reported:
                self._reported = states
                on_change()
            await sleep_until_tick(INTERVAL_S)

    async def check(self) -> None:
        """Check all engines once, concurrently."""
        await asyncio.gather(*(one.check(self._clock.now()) for one in self._watched))


class _Watched:
    """One client of an engine, and the engine's state."""

    def __init__(self, client: EngineClient, used_for: str, needed: bool, now: datetime) -> None:
        self.used_for = used_for
        self.state = EngineState(engine=client.engine, state="ok", since=now, used_for=(used_for,), needed=needed)
        self._client = client

    def is_ok(self) -> bool:
        return self.state.state == "ok"

    async def check(self, now: datetime) -> None:
        state, detail = await self._check_health()
        if (state, detail) == (self.state.state, self.state.detail):
            return
        if state != self.state.state:
            write = _log.info if state == "ok" else _log.warning
            write(f"engine.{state}", engine=self.state.engine, used_for=self.used_for, detail=detail)
            self.state = msgspec.structs.replace(self.state, since=now)
        self.state = msgspec.structs.replace(self.state, state=state, detail=detail)

    async def _check_health(self) -> tuple[EngineHealth, str]:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._client.check()
        except TimeoutError:
            return "unavailable", f"{self.state.engine} does not answer within {LIMIT_S:.0f} s"
        except ENGINE_PROBLEMS as problem:
            return to_health(problem), describe_problem(problem)
        except Exception as error:  # whatever the client raises, the engine cannot be used
            return "unavailable", repr(error)
        if time.monotonic() - started_s > SLOW_S:
            return "slow", f"{self.state.engine} answers slowly"
        return "ok", ""


def describe_problem(problem: Problem) -> str:
    """Describe an engine's problem in one line that contains the engine's name."""
    engine = getattr(problem, "engine", "") or getattr(problem, "store", "")
    detail = problem.detail or problem.title.lower()
    return detail if engine.lower() in detail.lower() else f"{engine}: {detail}"


def _merge(one: EngineState, other: EngineState) -> EngineState:
    return msgspec.structs.replace(
        one,
        used_for=tuple(sorted({*one.used_for, *other.used_for})),
        since=min(one.since, other.since),
        needed=one.needed or other.needed,
    )
