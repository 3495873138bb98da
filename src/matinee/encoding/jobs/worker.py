"""The worker: claims a job, keeps hold of it while it runs, and says how it ended."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from matinee.catalogue.api import Asset
from matinee.encoding.api import Job
from matinee.encoding.jobs.desk import Desk
from matinee.encoding.jobs.pipeline import run_job
from matinee.encoding.jobs.run import Run, Tools
from matinee.encoding.jobs.verdict import verdict
from matinee.encoding.jobs.workspace import Workspace
from matinee.encoding.model.progress import MOST_ATTEMPTS, back_off, halted
from matinee.encoding.ports import JobStore, Standing
from matinee.events.api import AnyFact, EncodeFailed, EncodeFinished, FactRecord, new_record
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()
LEASE = timedelta(seconds=15)
BEAT_S = 0.5
IDLE_S = 0.5
# How long a job may take to be put back when its worker is told to stop.
PARTING_S = 3.0


async def run_worker(*, store: JobStore, tools: Tools, clock: Clock, folder: Path, owner: str) -> None:
    """Take on jobs, one after another and the most urgent first, for ever until cancelled."""
    worker = Worker(store=store, tools=tools, clock=clock, folder=folder, owner=owner)
    while True:
        try:
            idle = not await worker.take_one()
        except Exception as error:  # the store may be away; jobs wait in it
            _log.warning("encode.worker_waits", error=repr(error))
            idle = True
        if idle:
            await asyncio.sleep(IDLE_S)


class Worker:
    """One worker by its name, `owner`, which no other has."""

    def __init__(self, *, store: JobStore, tools: Tools, clock: Clock, folder: Path, owner: str) -> None:
        self._store = store
        self._tools = tools
        self._clock = clock
        self._folder = folder
        self._owner = owner

    async def take_one(self) -> bool:
        """Do a job, if one is free."""
        now = self._clock.now()
        job = await self._store.claim(owner=self._owner, now=now, lease_until=now + LEASE)
        if job is None:
            return False
        _log.info("encode.claimed", job_id=job.job_id, attempt=job.attempts)
        if job.attempts > MOST_ATTEMPTS:
            await self._fail(job, "It was begun several times and never came to an end: see the log of the worker.")
            return True
        await self._do(job)
        return True

    async def _do(self, job: Job) -> None:
        desk, workspace = Desk(job, self._clock), Workspace(self._folder, job.job_id)
        run = Run(order=job.order, file_name=job.file_name, workspace=workspace, tools=self._tools, teller=desk)
        running = asyncio.create_task(run_job(run))
        try:
            standing = await self._hold(desk, running)
        except asyncio.CancelledError:
            await _stopped(running)
            await asyncio.wait_for(self._put_back(desk.job), PARTING_S)
            raise
        await self._settle(desk.job, running, standing, workspace)

    async def _hold(self, desk: Desk, running: asyncio.Task[Asset]) -> Standing:
        """Save the job's progress while it runs; stop it when it was cancelled or is no longer ours."""
        good_until = self._clock.now() + LEASE
        while True:
            done, _ = await asyncio.wait({running}, timeout=BEAT_S)
            if done:
                return "ours"
            lease_until = self._clock.now() + LEASE
            try:
                standing = await self._store.save(job=desk.estimated(), owner=self._owner, lease_until=lease_until)
                good_until = lease_until
            except Exception as error:  # the store may be away for less than the lease
                _log.warning("encode.beat_failed", job_id=desk.job.job_id, error=repr(error))
                standing = "ours" if self._clock.now() < good_until else "lost"
            if standing != "ours":
                await _stopped(running)
                return standing

    async def _settle(self, job: Job, running: asyncio.Task[Asset], standing: Standing, workspace: Workspace) -> None:
        if standing == "lost":
            _log.warning("encode.lost", job_id=job.job_id)
        elif standing == "cancel":
            await self._end(msgspec.structs.replace(halted(job, self._clock.now(), failed=False), state="cancelled"))
        elif (error := running.exception()) is not None:
            await self._judge(job, error)
        else:
            await self._finish(job, running.result())
            await asyncio.to_thread(workspace.sweep)

    async def _finish(self, job: Job, asset: Asset) -> None:
        fact = EncodeFinished(job_id=job.job_id, title_id=job.order.title_id, asset_id=asset.asset_id)
        job = msgspec.structs.replace(job, state="done", asset_id=asset.asset_id, remaining_ms=0, reason="")
        await self._end(job, fact)

    async def _judge(self, job: Job, error: BaseException) -> None:
        said = verdict(error)
        # As text: a traceback that a terminal draws shows local variables, and some of those are keys.
        trace = None if said.final else "".join(traceback.format_exception(error))
        _log.warning("encode.stopped", job_id=job.job_id, final=said.final, reason=said.reason, trace=trace)
        if said.final or job.attempts >= MOST_ATTEMPTS:
            await self._fail(job, said.reason)
            return
        now = self._clock.now()
        waiting = msgspec.structs.replace(halted(job, now, failed=False), state="queued", reason=said.reason)
        await self._store.save(job=waiting, owner=self._owner, available_at=now + back_off(job.attempts))

    async def _fail(self, job: Job, reason: str) -> None:
        job = msgspec.structs.replace(job, state="failed", reason=reason, remaining_ms=None)
        failed = halted(job, self._clock.now(), failed=True)
        await self._end(failed, EncodeFailed(job_id=job.job_id, title_id=job.order.title_id, reason=reason))

    async def _put_back(self, job: Job) -> None:
        """Leave the job to whoever comes next; being told to stop is no failed attempt."""
        waiting = halted(job, self._clock.now(), failed=False)
        waiting = msgspec.structs.replace(waiting, state="queued", attempts=max(0, job.attempts - 1), remaining_ms=None)
        await self._store.save(job=waiting, owner=self._owner)

    async def _end(self, job: Job, *facts: AnyFact) -> None:
        job = msgspec.structs.replace(job, updated_at=self._clock.now())
        await self._store.save(job=job, owner=self._owner, facts=self._records(job, facts))

    def _records(self, job: Job, facts: Sequence[AnyFact]) -> list[FactRecord]:
        now = self._clock.now()
        return [new_record(fact, key=job.order.title_id, now=now) for fact in facts]


async def _stopped(running: asyncio.Task[Asset]) -> None:
    """Cancel a job's task and wait until its programs are gone."""
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
