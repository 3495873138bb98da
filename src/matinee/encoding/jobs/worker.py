"""The worker: claims jobs, renews their leases while they run, and saves how they ended."""

from __future__ import annotations

import asyncio
import traceback
from datetime import timedelta
from pathlib import Path

import msgspec

from matinee.catalogue.api import Asset
from matinee.encoding.api import Job
from matinee.encoding.jobs.failures import classify_failure
from matinee.encoding.jobs.pipeline import run_job
from matinee.encoding.jobs.reporter import ProgressReporter
from matinee.encoding.jobs.run import Run, Tools
from matinee.encoding.jobs.workspace import Workspace
from matinee.encoding.model.progress import MAX_ATTEMPTS, compute_back_off, stop_steps
from matinee.encoding.ports import ClaimStatus, JobStore
from matinee.events.api import AnyFact, EncodeFailed, EncodeFinished, new_record
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()
LEASE = timedelta(seconds=15)
HEARTBEAT_S = 0.5
IDLE_S = 0.5
# How long a stopping worker may take to release its job.
RELEASE_S = 3.0


async def run_worker(*, store: JobStore, tools: Tools, clock: Clock, folder: Path, owner: str) -> None:
    """Process jobs one after another until cancelled."""
    worker = Worker(store=store, tools=tools, clock=clock, folder=folder, owner=owner)
    while True:
        try:
            idle = not await worker.run_next()
        except Exception as error:  # the store may be unavailable; the jobs stay in it
            _log.warning("encode.worker_waits", error=repr(error))
            idle = True
        if idle:
            await asyncio.sleep(IDLE_S)


class Worker:
    """A worker; its name, `owner`, is unique."""

    def __init__(self, *, store: JobStore, tools: Tools, clock: Clock, folder: Path, owner: str) -> None:
        self._store = store
        self._tools = tools
        self._clock = clock
        self._folder = folder
        self._owner = owner

    async def run_next(self) -> bool:
        """Process the next job; return False where none is free."""
        now = self._clock.now()
        job = await self._store.claim(owner=self._owner, now=now, lease_until=now + LEASE)
        if job is None:
            return False
        _log.info("encode.claimed", job_id=job.job_id, attempt=job.attempts)
        if job.attempts > MAX_ATTEMPTS:
            await self._fail(job, "Its worker stopped several times before the job ended: see the worker's log.")
        else:
            await self._run(job)
        return True

    async def _run(self, job: Job) -> None:
        progress, workspace = ProgressReporter(job, self._clock), Workspace(self._folder, job.job_id)
        run = Run(order=job.order, file_name=job.file_name, workspace=workspace, tools=self._tools, progress=progress)
        task = asyncio.create_task(run_job(run))
        try:
            status = await self._supervise(progress, task)
        except asyncio.CancelledError:
            await _stop(task)
            await asyncio.wait_for(self._release(progress.job), RELEASE_S)
            raise
        await self._settle(progress.job, task, status, workspace)

    async def _supervise(self, progress: ProgressReporter, task: asyncio.Task[Asset]) -> ClaimStatus:
        """Save the job's progress until its task ends; stop the task when the job is cancelled or its claim lost."""
        claimed_until = self._clock.now() + LEASE
        while True:
            done, _ = await asyncio.wait({task}, timeout=HEARTBEAT_S)
            if done:
                return "active"
            lease_until = self._clock.now() + LEASE
            try:
                status = await self._store.save(job=progress.estimate(), owner=self._owner, lease_until=lease_until)
                claimed_until = lease_until
            except Exception as error:  # the store may be unavailable for less than the lease
                _log.warning("encode.heartbeat_failed", job_id=progress.job.job_id, error=repr(error))
                status = "active" if self._clock.now() < claimed_until else "lost"
            if status != "active":
                await _stop(task)
                return status

    async def _settle(self, job: Job, task: asyncio.Task[Asset], status: ClaimStatus, workspace: Workspace) -> None:
        if status == "lost":
            _log.warning("encode.lost", job_id=job.job_id)
        elif status == "cancelled":
            job = msgspec.structs.replace(stop_steps(job, self._clock.now(), failed=False), state="cancelled")
            await self._end(job)
        elif (error := task.exception()) is not None:
            await self._handle_failure(job, error)
        else:
            await self._complete(job, task.result())
            await asyncio.to_thread(workspace.remove)

    async def _complete(self, job: Job, asset: Asset) -> None:
        fact = EncodeFinished(job_id=job.job_id, title_id=job.order.title_id, asset_id=asset.asset_id)
        job = msgspec.structs.replace(job, state="done", asset_id=asset.asset_id, remaining_ms=0, reason="")
        await self._end(job, fact)

    async def _handle_failure(self, job: Job, error: BaseException) -> None:
        failure = classify_failure(error)
        # As text: a traceback that a terminal renders shows local variables, and some of those are keys.
        trace = None if failure.final else "".join(traceback.format_exception(error))
        _log.warning("encode.stopped", job_id=job.job_id, final=failure.final, reason=failure.reason, trace=trace)
        if failure.final or job.attempts >= MAX_ATTEMPTS:
            await self._fail(job, failure.reason)
            return
        now = self._clock.now()
        job = msgspec.structs.replace(stop_steps(job, now, failed=False), state="queued", reason=failure.reason)
        await self._store.save(job=job, owner=self._owner, available_at=now + compute_back_off(job.attempts))

    async def _fail(self, job: Job, reason: str) -> None:
        job = msgspec.structs.replace(job, state="failed", reason=reason, remaining_ms=None)
        job = stop_steps(job, self._clock.now(), failed=True)
        await self._end(job, EncodeFailed(job_id=job.job_id, title_id=job.order.title_id, reason=reason))

    async def _release(self, job: Job) -> None:
        """Queue the job for another worker; a stopping worker does not count as a failed attempt."""
        job = stop_steps(job, self._clock.now(), failed=False)
        job = msgspec.structs.replace(job, state="queued", attempts=max(0, job.attempts - 1), remaining_ms=None)
        await self._store.save(job=job, owner=self._owner)

    async def _end(self, job: Job, *facts: AnyFact) -> None:
        now = self._clock.now()
        records = [new_record(fact, key=job.order.title_id, now=now) for fact in facts]
        job = msgspec.structs.replace(job, updated_at=now)
        await self._store.save(job=job, owner=self._owner, facts=records)


async def _stop(task: asyncio.Task[Asset]) -> None:
    """Cancel a job's task and wait until its subprocesses have ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
