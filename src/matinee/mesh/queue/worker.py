"""The worker of a queue: claims items, renews their leases while they are processed, and saves how they ended."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from matinee.kit import context, log
from matinee.kit.clock import Clock
from matinee.kit.ticks import sleep_until_tick
from matinee.kit.tracing import Operation, Tracer
from matinee.mesh.queue.items import ClaimStatus, RetryPolicy, WorkItem, WorkState
from matinee.mesh.queue.ports import Item, WorkQueue

Item_co = TypeVar("Item_co", bound=WorkItem, covariant=True)
_log = log.get()
LEASE = timedelta(seconds=15)
HEARTBEAT_S = 0.5
IDLE_S = 1.0
# How long a stopping worker may take to release its item.
RELEASE_S = 3.0


class Failure(msgspec.Struct, frozen=True):
    """Why an item failed. `final` when another attempt cannot help; `reason` is one line.

    An item that `waits` for a change outside is attempted again and again; these attempts do not count.
    """

    final: bool
    reason: str
    waits: bool = False


class Work(Protocol[Item_co]):
    """The processing of one claimed item."""

    async def run(self) -> None:
        """Do the work. Any exception is a failure; cancellation must end all subprocesses."""

    def snapshot(self) -> Item_co:
        """Return the item with its progress; each heartbeat saves it."""

    def end(self, state: WorkState, reason: str | None) -> tuple[Item_co, Sequence[bytes]]:
        """Return the item in its next state, and encoded facts to save with it. `reason` None keeps its reason."""

    async def clean_up(self) -> None:
        """Delete temporary files, once the item is done."""


class QueueWorker(Generic[Item]):
    """A worker. `owner` is unique to it; `name` is the first part of its log events.

    `start` prepares the work on an item without doing any of it; `classify` explains its failures.
    """

    def __init__(
        self,
        *,
        queue: WorkQueue[Item],
        start: Callable[[Item], Work[Item]],
        classify: Callable[[BaseException], Failure],
        clock: Clock,
        owner: str,
        name: str,
        policy: RetryPolicy | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._queue = queue
        self._start = start
        self._classify = classify
        self._clock = clock
        self._owner = owner
        self._name = name
        self._policy = policy or RetryPolicy()
        self._tracer = tracer

    async def run(self) -> None:
        """Process items one after another until cancelled."""
        while True:
            try:
                idle = not await self.run_next()
            except Exception as error:  # the queue may be unavailable; the items stay in it
                _log.warning(f"{self._name}.worker_waits", error=repr(error))
                idle = True
            if idle:
                await sleep_until_tick(IDLE_S)

    async def run_next(self) -> bool:
        """Process the next item; return False where none is free."""
        now = self._clock.now()
        item = await self._queue.claim(owner=self._owner, now=now, lease_until=now + LEASE)
        if item is None:
            return False
        _log.info(f"{self._name}.claimed", item_id=item.item_id, attempt=item.attempts)
        work = self._start(replace(item, reason=""))
        if item.attempts > self._policy.max_attempts:
            reason = "Its worker stopped several times before it ended: see the worker's log."
            await self._end(work, "failed", reason)
        else:
            await self._process(work)
        return True

    async def _process(self, work: Work[Item]) -> None:
        task = asyncio.create_task(self._run_traced(work))
        try:
            status = await self._supervise(work, task)
        except asyncio.CancelledError:
            await _stop(task)
            await asyncio.wait_for(self._release(work), RELEASE_S)
            raise
        if status == "lost":
            _log.warning(f"{self._name}.lost", item_id=work.snapshot().item_id)
        elif status == "cancelled":
            await self._end(work, "cancelled", "")
        elif (error := task.exception()) is not None:
            await self._handle_failure(work, error)
        else:
            await self._end(work, "done", "")
            await work.clean_up()

    async def _run_traced(self, work: Work[Item]) -> None:
        """Run the work in a trace of its own, which is linked to the request that queued the item."""
        item = work.snapshot()
        operation = Operation(f"{self._name} item", "consumer", {"messaging.message.id": item.item_id})
        with context.start_trace(self._tracer, operation, link=item.traceparent):
            await work.run()

    async def _supervise(self, work: Work[Item], task: asyncio.Task[None]) -> ClaimStatus:
        """Save the item's progress until its task ends; stop the task when the claim is cancelled or lost."""
        claimed_until = self._clock.now() + LEASE
        while True:
            done, _ = await asyncio.wait({task}, timeout=HEARTBEAT_S)
            if done:
                return "active"
            item, lease_until = work.snapshot(), self._clock.now() + LEASE
            try:
                status = await self._queue.save(item=item, owner=self._owner, lease_until=lease_until)
                claimed_until = lease_until
            except Exception as error:  # the queue may be unavailable for less than the lease
                _log.warning(f"{self._name}.heartbeat_failed", item_id=item.item_id, error=repr(error))
                status = "active" if self._clock.now() < claimed_until else "lost"
            if status != "active":
                await _stop(task)
                return status

    async def _handle_failure(self, work: Work[Item], error: BaseException) -> None:
        failure, item = self._classify(error), work.snapshot()
        # As text: a traceback that a terminal renders shows local variables, and some of those are keys.
        trace = None if failure.final else "".join(traceback.format_exception(error))
        _log.warning(
            f"{self._name}.stopped", item_id=item.item_id, final=failure.final, reason=failure.reason, trace=trace
        )
        if failure.waits:
            await self._release(work, failure.reason, timedelta(seconds=self._policy.wait_s))
        elif failure.final or item.attempts >= self._policy.max_attempts:
            await self._end(work, "failed", failure.reason)
        else:
            delay = self._policy.compute_delay(item.attempts)
            await self._end(work, "queued", failure.reason, available_at=self._clock.now() + delay)

    async def _release(self, work: Work[Item], reason: str | None = None, delay: timedelta = timedelta(0)) -> None:
        """Queue the item again after an attempt that does not count, such as that of a stopping worker."""
        item, records = work.end("queued", reason)
        item = replace(item, attempts=max(0, item.attempts - 1), updated_at=self._clock.now())
        available_at = item.updated_at + delay
        await self._queue.save(item=item, owner=self._owner, records=records, available_at=available_at)

    async def _end(
        self, work: Work[Item], state: WorkState, reason: str | None = None, available_at: datetime | None = None
    ) -> None:
        item, records = work.end(state, reason)
        item = replace(item, updated_at=self._clock.now())
        await self._queue.save(item=item, owner=self._owner, records=records, available_at=available_at)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
