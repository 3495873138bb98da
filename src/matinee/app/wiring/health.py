"""How the engines are that a process uses: each is asked every few seconds, and what changed is told."""

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

LOOK_S: Final = 2.0
# With no answer in this time an engine is away; what takes more than the other is slow.
LIMIT_S: Final = 4.0
SLOW_S: Final = 0.5

_log = log.get()


class EngineWatch:
    """The engines of one process. `add` them, then `run` for ever; `states` tells how they were when last asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: list[_Watched] = []
        self._told: tuple[EngineState, ...] = ()

    @property
    def states(self) -> tuple[EngineState, ...]:
        """Each engine once, with all that it is used for; one that is well for some and not for other uses twice."""
        merged: dict[tuple[str, EngineHealth, str], EngineState] = {}
        for state in (one.state for one in self._watched):
            same = merged.get(what := (state.engine, state.state, state.detail))
            merged[what] = state if same is None else _together(same, state)
        return tuple(merged.values())

    def add(self, checked: EngineClient, *, used_for: str, needed: bool = True) -> None:
        """Watch an engine. Without a needed one some answers are refused; without the others all are only slower."""
        self._watched.append(_Watched(checked, used_for, needed, self._clock.now()))

    def show(self, metrics: Metrics) -> None:
        """Show at `/metrics` whether each engine is well."""
        well = metrics.gauge(
            "matinee_engine_well", "Whether an engine was well when last asked", ("engine", "used_for")
        )
        for one in self._watched:
            metrics.set_source(well.labels(one.state.engine, one.used_for), one.is_well)

    async def run(self, changed: Callable[[], None]) -> None:
        """Ask every engine every few seconds; call `changed` when some state is another than before."""
        while True:
            await self.look()
            if (states := self.states) != self._told:
                self._told = states
                changed()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask every engine once, all together."""
        await asyncio.gather(*(one.ask(self._clock.now()) for one in self._watched))


class _Watched:
    """One client of an engine, and how it was."""

    def __init__(self, checked: EngineClient, used_for: str, needed: bool, now: datetime) -> None:
        self.used_for = used_for
        self.state = EngineState(engine=checked.engine, state="ok", since=now, used_for=(used_for,), needed=needed)
        self._checked = checked

    def is_well(self) -> bool:
        return self.state.state == "ok"

    async def ask(self, now: datetime) -> None:
        state, detail = await self._found()
        if (state, detail) == (self.state.state, self.state.detail):
            return
        if state != self.state.state:
            say = _log.info if state == "ok" else _log.warning
            say(f"engine.{state}", engine=self.state.engine, used_for=self.used_for, detail=detail)
            self.state = msgspec.structs.replace(self.state, since=now)
        self.state = msgspec.structs.replace(self.state, state=state, detail=detail)

    async def _found(self) -> tuple[EngineHealth, str]:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._checked.check()
        except TimeoutError:
            return "unavailable", f"{self.state.engine} does not answer within {LIMIT_S:.0f} s"
        except ENGINE_PROBLEMS as trouble:
            return to_health(trouble), said(trouble)
        except Exception as error:  # whatever its client makes of it, nothing is to be had of this engine
            return "unavailable", repr(error)
        return ("slow", f"{self.state.engine} takes long to answer") if _slow(began_s) else ("ok", "")


def said(trouble: Problem) -> str:
    """What a trouble says, with the engine's name in it."""
    engine = getattr(trouble, "engine", "") or getattr(trouble, "store", "")
    detail = trouble.detail or trouble.title.lower()
    return detail if engine.lower() in detail.lower() else f"{engine}: {detail}"


def _slow(began_s: float) -> bool:
    return time.monotonic() - began_s > SLOW_S


def _together(one: EngineState, other: EngineState) -> EngineState:
    return msgspec.structs.replace(
        one,
        used_for=tuple(sorted({*one.used_for, *other.used_for})),
        since=min(one.since, other.since),
        needed=one.needed or other.needed,
    )
