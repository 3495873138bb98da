"""The worker of a work queue: success, retries, failures, cancellation, lost claims and shutdown."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.conformance.test_work_queue import NOW, Export, ExportQueue, export, must_find, relay_facts

from matinee.drivers.sql import Database
from matinee.kit.clock import ManualClock
from matinee.mesh.queue.items import RetryPolicy, WorkState
from matinee.mesh.queue.worker import LEASE, Failure, QueueWorker


class ExportWork:
    """Work that ends with an error, never, or well."""

    def __init__(self, item: Export) -> None:
        self.item = item
        self.error: Exception | None = None
        self.endless = False
        self.started = asyncio.Event()
        self.stopped = False
        self.cleaned_up = False

    async def run(self) -> None:
        self.item = replace(self.item, done=1)
        self.started.set()
        try:
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.stopped = True
        if self.error is not None:
            raise self.error

    def snapshot(self) -> Export:
        return self.item

    def end(self, state: WorkState, reason: str | None) -> tuple[Export, Sequence[bytes]]:
        item = replace(self.item, state=state, reason=self.item.reason if reason is None else reason)
        return item, [state.encode()] if state in ("done", "failed") else []

    async def clean_up(self) -> None:
        self.cleaned_up = True


class Rig:
    """A worker on a queue with one item."""

    def __init__(self, queue: ExportQueue, item: Export) -> None:
        self.queue = queue
        self.item = item
        self.clock = ManualClock(NOW + timedelta(seconds=1))
        self.works: list[ExportWork] = []

    def worker(self, owner: str = "w", **settings: Any) -> QueueWorker[Export]:
        def start(item: Export) -> ExportWork:
            work = ExportWork(item)
            for name, value in settings.items():
                setattr(work, name, value)
            self.works.append(work)
            return work

        return QueueWorker(
            queue=self.queue,
            start=start,
            classify=lambda error: Failure(
                final=isinstance(error, ValueError), reason=str(error), waits=isinstance(error, BlockingIOError)
            ),
            clock=self.clock,
            owner=owner,
            name="export",
            policy=RetryPolicy(max_attempts=2),
        )

    async def find(self) -> Export:
        return await must_find(self.queue, self.item)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Database(f"sqlite:///{tmp_path}/queue.db") as database:
        queue = await ExportQueue.open(database)
        yield Rig(queue, await queue.add(item=export(), key="a"))


async def test_finished_item_is_done(rig: Rig) -> None:
    assert await rig.worker().run_next()
    found = await rig.find()
    assert (found.state, found.done, found.attempts) == ("done", 1, 1)
    assert await relay_facts(rig.queue) == [b"done"]
    assert rig.works[0].cleaned_up
    assert not await rig.worker().run_next()


async def test_transient_failure_is_retried_after_a_delay_and_then_final(rig: Rig) -> None:
    failing = rig.worker(error=RuntimeError("not now"))
    assert await failing.run_next()
    found = await rig.find()
    assert (found.state, found.reason) == ("queued", "not now")
    assert not await failing.run_next()
    rig.clock.advance(seconds=5)
    assert await failing.run_next()
    found = await rig.find()
    assert (found.state, found.reason, found.attempts) == ("failed", "not now", 2)
    assert await relay_facts(rig.queue) == [b"failed"]


async def test_item_that_waits_is_attempted_until_it_can_go_on(rig: Rig) -> None:
    waiting = rig.worker(error=BlockingIOError("no space"))
    for _ in range(5):
        assert await waiting.run_next()
        found = await rig.find()
        assert (found.state, found.reason, found.attempts) == ("queued", "no space", 0)
        assert not await waiting.run_next()
        rig.clock.advance(seconds=15)
    assert await rig.worker().run_next()
    found = await rig.find()
    assert (found.state, found.reason) == ("done", "")


async def test_final_failure_is_not_retried(rig: Rig) -> None:
    await rig.worker(error=ValueError("never")).run_next()
    found = await rig.find()
    assert (found.state, found.reason, found.attempts) == ("failed", "never", 1)


async def test_item_whose_workers_were_killed_too_often_fails_without_a_start(rig: Rig) -> None:
    for attempt in range(2):
        now = NOW + attempt * LEASE
        await rig.queue.claim(owner="killed", now=now, lease_until=now + LEASE)
    rig.clock.advance(seconds=60)
    assert await rig.worker().run_next()
    assert (await rig.find()).state == "failed"
    assert not rig.works[0].started.is_set()


async def start_endless(rig: Rig) -> asyncio.Task[bool]:
    task = asyncio.create_task(rig.worker(endless=True).run_next())
    while not rig.works:  # noqa: ASYNC110  # the worker starts the work after its claim
        await asyncio.sleep(0.01)
    await rig.works[0].started.wait()
    return task


async def test_cancelled_item_stops_its_work(rig: Rig) -> None:
    task = await start_endless(rig)
    await rig.queue.cancel(item_id=rig.item.item_id, now=rig.clock.now())
    assert await task
    assert rig.works[0].stopped
    assert (await rig.find()).state == "cancelled"


async def test_heartbeats_save_progress_and_extend_the_lease(rig: Rig) -> None:
    task = await start_endless(rig)
    rig.clock.advance(seconds=10)
    while (await rig.find()).done == 0:  # noqa: ASYNC110  # saved by the worker's task
        await asyncio.sleep(0.05)
    later: datetime = rig.clock.now() + LEASE - timedelta(seconds=1)
    assert await rig.queue.claim(owner="other", now=later, lease_until=later + LEASE) is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_lost_claim_stops_the_work_and_saves_nothing(rig: Rig) -> None:
    task = await start_endless(rig)
    later = rig.clock.now() + timedelta(minutes=1)
    claimed = await rig.queue.claim(owner="other", now=later, lease_until=later + LEASE)
    assert claimed is not None
    assert await task
    assert rig.works[0].stopped
    assert (await rig.find()).attempts == 2


async def test_stopping_worker_releases_its_item(rig: Rig) -> None:
    task = await start_endless(rig)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = await rig.find()
    assert (found.state, found.attempts) == ("queued", 0)
    assert rig.works[0].stopped
