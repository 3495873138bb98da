"""One suite for the store of schedules on every SQL engine: reopen, race, recover, compare with a plain model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.deployment import eventually
from tests.stores import SQL, database_url, store_opener

from matinee.kit.clock import ManualClock
from matinee.kit.ids import InstanceId
from matinee.mesh.schedules.adapters.sql import ABANDONED, KEPT_RUNS, SqlScheduleStore
from matinee.mesh.schedules.ports import Run, ScheduleNotFound, ScheduleStore
from matinee.mesh.schedules.scheduler import Scheduler

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_S = 30.0
ONE, OTHER = InstanceId("ins_1"), InstanceId("ins_2")
Open = Callable[[], Awaitable[ScheduleStore]]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture(params=SQL)
async def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    async with store_opener(SqlScheduleStore, database_url(request.param, tmp_path, "schedules")) as reopen:
        yield reopen


async def declare(store: ScheduleStore, schedule: str = "a", *, at_s: float = 0, expression: str = "@every 1m") -> None:
    await store.declare(schedule=schedule, expression=expression, next_at=later(at_s))


async def claim(
    store: ScheduleStore, schedule: str = "a", *, at_s: float = 0, instance_id: InstanceId = ONE
) -> Run | None:
    return await store.claim(schedule=schedule, instance_id=instance_id, lease_s=LEASE_S, now=later(at_s))


async def start(store: ScheduleStore, *, at_s: float = 0, instance_id: InstanceId = ONE) -> Run:
    run = await claim(store, at_s=at_s, instance_id=instance_id)
    assert run is not None
    return run


async def test_a_schedule_declared_by_one_process_is_listed_by_another(open_again: Open) -> None:
    await declare(await open_again(), "b", at_s=5)
    await declare(await open_again(), "a")
    listed = await (await open_again()).list_schedules()
    assert [(s.schedule, s.next_at, s.last_run) for s in listed] == [("a", NOW, None), ("b", later(5), None)]


async def test_declaring_again_keeps_the_state_unless_the_expression_changed(open_again: Open) -> None:
    store = await open_again()
    await declare(store, at_s=5)
    await store.order(schedule="a", order="pause")
    await declare(await open_again(), at_s=99)
    (schedule,) = await store.list_schedules()
    assert (schedule.next_at, schedule.is_paused) == (later(5), True)
    await declare(await open_again(), at_s=99, expression="@every 2m")
    (schedule,) = await store.list_schedules()
    assert (schedule.next_at, schedule.expression, schedule.is_paused) == (later(99), "@every 2m", True)


async def test_a_next_run_that_is_later_than_it_can_be_is_replaced(open_again: Open) -> None:
    store = await open_again()
    await declare(store, at_s=5 * 3600)
    await declare(store, at_s=60)
    (schedule,) = await store.list_schedules()
    assert schedule.next_at == later(60)


async def test_a_lease_of_a_clock_that_was_ahead_ends_as_if_it_had_begun_now(open_again: Open) -> None:
    store = await open_again()
    await declare(store)
    run = await start(store, at_s=5 * 3600)
    assert await claim(store, instance_id=OTHER) is None
    assert await claim(store, at_s=LEASE_S - 1, instance_id=OTHER) is None
    again = await start(store, at_s=LEASE_S, instance_id=OTHER)
    assert (again.number, await store.renew(run=run, lease_s=LEASE_S, now=later(LEASE_S))) == (2, False)


async def test_a_due_schedule_is_claimed_once(open_again: Open) -> None:
    stores = await asyncio.gather(*(open_again() for _ in range(4)))
    await declare(stores[0], at_s=1)
    assert await claim(stores[0]) is None
    runs = await asyncio.gather(*(claim(stores[n % 4], at_s=1, instance_id=InstanceId(f"ins_{n}")) for n in range(12)))
    (run,) = [run for run in runs if run]
    assert (run.number, run.due_at, run.started_at) == (1, later(1), later(1))
    (schedule,) = await stores[3].list_schedules()
    assert schedule.last_run == run


async def test_a_finished_run_is_recorded_and_the_next_one_is_due_later(open_again: Open) -> None:
    store = await open_again()
    await declare(store)
    run = await start(store)
    await store.finish(run=run, error="ValueError()", next_at=later(60), now=later(2))
    (recorded,) = await (await open_again()).list_runs(schedule="a", limit=10)
    assert (recorded.error, recorded.duration_ms, recorded.instance_id) == ("ValueError()", 2000, ONE)
    assert await claim(store, at_s=59) is None
    assert (await start(store, at_s=60)).number == 2


async def test_a_run_whose_lease_expired_is_taken_over(open_again: Open) -> None:
    store = await open_again()
    await declare(store)
    lost = await start(store)
    assert await store.renew(run=lost, lease_s=LEASE_S, now=later(20))
    assert await claim(store, at_s=40, instance_id=OTHER) is None
    taken = await start(await open_again(), at_s=51, instance_id=OTHER)
    assert not await store.renew(run=lost, lease_s=LEASE_S, now=later(52))
    await store.finish(run=lost, error="late", next_at=later(99), now=later(53))
    newest, oldest = await store.list_runs(schedule="a", limit=10)
    assert (newest, oldest.error, oldest.ended_at) == (taken, ABANDONED, later(51))
    await store.finish(run=taken, error="", next_at=later(99), now=later(54))
    assert (await store.list_schedules())[0].next_at == later(99)


async def test_a_paused_schedule_runs_only_when_requested(open_again: Open) -> None:
    store = await open_again()
    await declare(store)
    await store.order(schedule="a", order="pause")
    assert await claim(store) is None
    await (await open_again()).order(schedule="a", order="run")
    assert (await store.list_schedules())[0].is_requested
    await store.finish(run=await start(store), error="", next_at=NOW, now=later(1))
    assert await claim(store, at_s=2) is None
    await store.order(schedule="a", order="resume")
    assert await claim(store, at_s=2) is not None


async def test_a_run_requested_during_a_run_follows_it(open_again: Open) -> None:
    store = await open_again()
    await declare(store)
    run = await start(store)
    await store.order(schedule="a", order="run")
    await store.finish(run=run, error="", next_at=later(60), now=later(2))
    run = await start(store, at_s=3)
    await store.finish(run=run, error="", next_at=later(60), now=later(4))
    assert await claim(store, at_s=5) is None


async def test_a_requested_run_that_was_killed_is_repeated(open_again: Open) -> None:
    store = await open_again()
    await declare(store, at_s=3600)
    await store.order(schedule="a", order="run")
    assert (await start(store)).due_at == NOW
    assert await claim(store, at_s=1) is None
    assert (await start(await open_again(), at_s=31, instance_id=OTHER)).number == 2


async def test_an_unknown_schedule_cannot_be_ordered(open_again: Open) -> None:
    with pytest.raises(ScheduleNotFound):
        await (await open_again()).order(schedule="x", order="run")


async def test_the_history_is_bounded(open_again: Open) -> None:
    store = await open_again()
    await declare(store)
    for number in range(KEPT_RUNS + 5):
        await store.finish(run=await start(store, at_s=number), error="", next_at=later(number), now=later(number))
    runs = await store.list_runs(schedule="a", limit=1000)
    assert [run.number for run in runs] == list(range(KEPT_RUNS + 5, 5, -1))


async def test_schedulers_of_many_instances_run_work_once_per_time(open_again: Open) -> None:
    clock, runs = ManualClock(NOW), []

    async def work() -> None:
        runs.append(clock.now())

    schedulers = []
    for number in range(4):
        scheduler = Scheduler(
            store=await open_again(), clock=clock, instance_id=InstanceId(f"ins_{number}"), poll_s=0.01
        )
        scheduler.add("work", "@every 1m", work)
        schedulers.append(asyncio.create_task(scheduler.run()))
    store = await open_again()
    await eventually(store.list_schedules)
    for minute in range(1, 6):
        clock.advance(minutes=1)
        await eventually(lambda minute=minute: len(runs) == minute)
        await eventually(lambda minute=minute: has_finished(store, minute))
    assert runs == [later(60 * minute) for minute in range(1, 6)]
    for task in schedulers:
        task.cancel()
    await asyncio.gather(*schedulers, return_exceptions=True)


async def has_finished(store: ScheduleStore, number: int) -> bool:
    (run,) = await store.list_runs(schedule="work", limit=1)
    return run.number == number and run.ended_at is not None
