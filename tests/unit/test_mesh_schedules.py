"""When schedules are due, and what a scheduler does with failures, stops and lost leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deployment import eventually

from matinee.drivers.cron import next_occurrence
from matinee.drivers.sql import Database
from matinee.kit.clock import ManualClock
from matinee.kit.ids import InstanceId
from matinee.mesh.schedules.adapters.sql import SqlScheduleStore
from matinee.mesh.schedules.model import next_run
from matinee.mesh.schedules.ports import Run
from matinee.mesh.schedules.scheduler import Scheduler, Work

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def after(expression: str, *, due_at: datetime = NOW, now: datetime = NOW) -> datetime:
    return next_run(expression, due_at=due_at, now=now, cron=next_occurrence)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@every 30s", datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)),
        ("@every 5m", datetime(2026, 1, 1, 0, 5, tzinfo=UTC)),
        ("@every 2d", datetime(2026, 1, 3, tzinfo=UTC)),
        ("*/15 * * * *", datetime(2026, 1, 1, 0, 15, tzinfo=UTC)),
        ("30 4 * * MON", datetime(2026, 1, 5, 4, 30, tzinfo=UTC)),
    ],
)
def test_the_next_run_of_an_expression(expression: str, expected: datetime) -> None:
    assert after(expression) == expected


@pytest.mark.parametrize(
    "expression", ["", "@every", "@every 0s", "@every 5", "@every -1m", "* * *", "61 * * * *", "0 0 31 2 *"]
)
def test_an_invalid_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"expression|interval"):
        after(expression)


@given(st.integers(1, 1000), st.integers(0, 100_000))
def test_intervals_count_from_the_time_due_and_skip_missed_ones(every_s: int, late_s: int) -> None:
    now = NOW + timedelta(seconds=late_s)
    following = after(f"@every {every_s}s", now=now)
    assert now < following <= now + timedelta(seconds=every_s)
    assert (following - NOW).total_seconds() % every_s == 0


class Rig:
    """A scheduler with one schedule, due every minute, on a store in SQLite."""

    def __init__(self, store: SqlScheduleStore, work: Work, **options: Any) -> None:
        self.store, self.clock = store, ManualClock(NOW)
        self.outcomes: list[str] = []
        self.scheduler = Scheduler(
            store=store,
            clock=self.clock,
            instance_id=InstanceId("ins_1"),
            on_run=lambda schedule, outcome: self.outcomes.append(f"{schedule} {outcome}"),
            poll_s=0.01,
            **options,
        )
        self.scheduler.add("work", "@every 1m", work)

    async def is_due_in(self, **span: float) -> bool:
        """Return whether the next run is in the future, and not later than some time from now."""
        (schedule,) = await self.store.list_schedules()
        return timedelta(0) < schedule.next_at - self.clock.now() <= timedelta(**span)

    async def last_run(self) -> Run | None:
        schedules = await self.store.list_schedules()
        return schedules[0].last_run if schedules else None

    async def last_ended(self) -> Run | None:
        run = await self.last_run()
        return run if run is not None and run.ended_at else None


@asynccontextmanager
async def running(tmp_path: Path, work: Work, **options: Any) -> AsyncIterator[tuple[Rig, asyncio.Task[None]]]:
    async with Database(f"sqlite:///{tmp_path}/schedules.db") as database:
        rig = Rig(await SqlScheduleStore.open(database), work, **options)
        task = asyncio.create_task(rig.scheduler.run())
        await eventually(rig.store.list_schedules)
        rig.clock.advance(minutes=1)
        yield rig, task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_failed_run_is_recorded_and_the_next_one_follows(tmp_path: Path) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("a bug")

    async with running(tmp_path, work) as (rig, _):
        run = await eventually(rig.last_ended)
        assert run.error == "ValueError('a bug')"
        rig.clock.advance(minutes=1)
        await eventually(lambda: len(runs) == 2)
        await eventually(lambda: rig.outcomes == ["work failed", "work ok"])


async def test_a_schedule_runs_also_after_the_clock_was_set_back(tmp_path: Path) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)

    async with running(tmp_path, work) as (rig, _):
        await eventually(lambda: rig.is_due_in(minutes=1))
        rig.clock.advance(hours=5)
        await eventually(lambda: len(runs) == 2)
        await eventually(lambda: rig.is_due_in(minutes=1))
        rig.clock.advance(hours=-5)
        await eventually(lambda: rig.is_due_in(minutes=1))
        rig.clock.advance(minutes=1)
        await eventually(lambda: len(runs) == 3)


async def test_a_requested_run_starts_without_being_due(tmp_path: Path) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)

    async with running(tmp_path, work) as (rig, _):
        await eventually(rig.last_ended)
        await rig.store.order(schedule="work", order="run")
        await eventually(lambda: len(runs) == 2)


async def test_a_stopped_scheduler_cancels_its_run_which_is_then_due_at_once(tmp_path: Path) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with running(tmp_path, work) as (rig, task):
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert cancelled.is_set()
        run = await rig.last_ended()
        assert run is not None
        assert run.error == "stopped"
        assert (await rig.store.list_schedules())[0].next_at == rig.clock.now()


async def test_work_is_cancelled_when_its_lease_is_lost(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    async with running(tmp_path, work, lease_s=0.05) as (rig, _):
        await started.wait()
        rig.clock.advance(minutes=5)
        other = await rig.store.claim(
            schedule="work", instance_id=InstanceId("ins_2"), lease_s=600, now=rig.clock.now()
        )
        if other is None:  # renewed in between
            rig.clock.advance(minutes=5)
            other = await rig.store.claim(
                schedule="work", instance_id=InstanceId("ins_2"), lease_s=600, now=rig.clock.now()
            )
        assert other is not None
        await eventually(lambda: rig.outcomes == ["work lost"])
        assert await rig.last_run() == other


def test_an_invalid_schedule_is_refused_when_added() -> None:
    with pytest.raises(ValueError, match="expression"):
        Rig(None, None).scheduler.add("bad", "every minute", None)  # type: ignore[arg-type]
