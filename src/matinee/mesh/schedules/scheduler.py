"""Runs the schedules of this process when they are due and no other instance runs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

from matinee.drivers.cron import next_occurrence
from matinee.kit import context, log
from matinee.kit.clock import CLOCK_SKEW, Clock
from matinee.kit.ids import InstanceId
from matinee.kit.ticks import sleep_until_tick
from matinee.kit.tracing import Operation, Tracer
from matinee.mesh.schedules.model import next_run
from matinee.mesh.schedules.ports import Run, Schedule, ScheduleStore

Work: TypeAlias = Callable[[], Awaitable[object]]
_log = log.get()


class Scheduler:
    """The schedules that this process can run. `run` follows the store until cancelled.

    `on_run` is called with a schedule and the outcome (`ok`, `failed`, `lost`, `stopped`) of each of its runs here.
    A run renews its lease; when its instance is killed, another one repeats it after the lease has expired.
    """

    def __init__(
        self,
        *,
        store: ScheduleStore,
        clock: Clock,
        instance_id: InstanceId,
        on_run: Callable[[str, str], None] = lambda schedule, outcome: None,
        poll_s: float = 2.0,
        lease_s: float = 30.0,
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._instance_id = instance_id
        self._on_run = on_run
        self._poll_s = poll_s
        self._lease_s = lease_s
        self._tracer = tracer
        self._works: dict[str, tuple[str, Work]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def add(self, schedule: str, expression: str, work: Work) -> None:
        """Add a schedule. Raises ValueError for an invalid expression."""
        self._compute_next(expression, self._clock.now())
        self._works[schedule] = (expression, work)

    async def run(self) -> None:
        """Declare the schedules, then run those that are due, until cancelled."""
        for schedule, (expression, _) in self._works.items():
            next_at = self._compute_next(expression, self._clock.now())
            await self._store.declare(schedule=schedule, expression=expression, next_at=next_at)
        try:
            while True:
                await self.poll()
                await sleep_until_tick(self._poll_s)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def poll(self) -> None:
        """Start every schedule of this process that is due."""
        now = self._clock.now()
        for schedule in await self._store.list_schedules():
            name = schedule.schedule
            await self._correct_next(schedule, now)
            is_due = schedule.is_requested or (not schedule.is_paused and schedule.next_at <= now)
            if not is_due or name not in self._works or name in self._running:
                continue
            run = await self._store.claim(
                schedule=name, instance_id=self._instance_id, lease_s=self._lease_s, now=self._clock.now()
            )
            if run is not None:
                task = self._running[name] = asyncio.create_task(self._run(run), name=name)
                task.add_done_callback(lambda task: self._running.pop(task.get_name(), None))

    async def _correct_next(self, schedule: Schedule, now: datetime) -> None:
        """Declare a schedule again whose next run is later than it can be: a clock was ahead."""
        expression, _ = self._works.get(schedule.schedule, ("", None))
        if expression and schedule.next_at > (next_at := self._compute_next(expression, now)) + CLOCK_SKEW:
            await self._store.declare(schedule=schedule.schedule, expression=expression, next_at=next_at)

    def _compute_next(self, expression: str, now: datetime, due_at: datetime | None = None) -> datetime:
        return next_run(expression, due_at=due_at or now, now=now, cron=next_occurrence)

    async def _run(self, run: Run) -> None:
        expression, work = self._works[run.schedule]
        error, outcome, is_stopped = "", "ok", False
        try:
            await self._run_leased(run, work)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            is_stopped = task is not None and task.cancelling() > 0
            error, outcome = ("stopped", "stopped") if is_stopped else ("the lease was lost", "lost")
        except Exception as raised:
            _log.exception("schedule.failed", schedule=run.schedule, run=run.number)
            error, outcome = repr(raised), "failed"
        self._on_run(run.schedule, outcome)
        now = self._clock.now()
        # A run that was stopped is due at once on another instance.
        next_at = now if is_stopped else self._compute_next(expression, now, run.due_at)
        try:
            await self._store.finish(run=run, error=error, next_at=next_at, now=now)
        except Exception as failure:  # the lease ends by itself, and the run is repeated
            _log.warning("schedule.not_finished", schedule=run.schedule, error=repr(failure))

    async def _run_leased(self, run: Run, work: Work) -> None:
        """Do the work of a run while its lease is renewed; cancel the work when the lease is lost."""
        working = asyncio.create_task(self._run_traced(run, work))
        renewing = asyncio.create_task(self._renew(run, working))
        try:
            await working
        finally:
            renewing.cancel()

    async def _run_traced(self, run: Run, work: Work) -> None:
        operation = Operation(run.schedule, "consumer", {"matinee.schedule.run": run.number})
        with context.start_trace(self._tracer, operation):
            await work()

    async def _renew(self, run: Run, working: asyncio.Task[None]) -> None:
        is_held = True
        while is_held:
            await asyncio.sleep(self._lease_s / 3)
            with contextlib.suppress(Exception):  # tried again before the lease ends
                is_held = await self._store.renew(run=run, lease_s=self._lease_s, now=self._clock.now())
        working.cancel()
