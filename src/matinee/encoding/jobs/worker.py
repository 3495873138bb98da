"""The worker of encoding: processes jobs of the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from matinee.encoding.api import Job
from matinee.encoding.jobs.failures import classify_failure
from matinee.encoding.jobs.pipeline import run_job
from matinee.encoding.jobs.reporter import ProgressReporter
from matinee.encoding.jobs.run import Run, Tools
from matinee.encoding.jobs.space import SpaceGuard
from matinee.encoding.jobs.workspace import Workspace
from matinee.encoding.model.progress import stop_steps
from matinee.encoding.ports import JobStore
from matinee.events.api import EncodeFailed, EncodeFinished, new_record
from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId
from matinee.kit.tracing import Tracer
from matinee.mesh.queue.items import RetryPolicy, WorkState
from matinee.mesh.queue.worker import QueueWorker


async def run_worker(
    *, store: JobStore, tools: Tools, clock: Clock, folder: Path, owner: str, tracer: Tracer | None = None
) -> None:
    """Process jobs one after another until cancelled."""
    await create_worker(store=store, tools=tools, clock=clock, folder=folder, owner=owner, tracer=tracer).run()


def create_worker(
    *,
    store: JobStore,
    tools: Tools,
    clock: Clock,
    folder: Path,
    owner: str,
    tracer: Tracer | None = None,
    policy: RetryPolicy | None = None,
) -> QueueWorker[Job]:
    """Create a worker; its `owner` is unique."""
    start = partial(EncodingWork, tools=tools, clock=clock, folder=folder)
    return QueueWorker(
        queue=store,
        start=start,
        classify=classify_failure,
        clock=clock,
        owner=owner,
        name="encode",
        policy=policy,
        tracer=tracer,
    )


class EncodingWork:
    """The processing of one job."""

    def __init__(self, job: Job, *, tools: Tools, clock: Clock, folder: Path) -> None:
        self._tools = tools
        self._clock = clock
        self._folder = folder
        self._progress = ProgressReporter(job, clock)
        self._asset_id: AssetId | None = None

    async def run(self) -> None:
        job, workspace = self._progress.job, Workspace(self._folder, self._progress.job.job_id)
        run = Run(
            order=job.order,
            file_name=job.file_name,
            workspace=workspace,
            tools=self._tools,
            progress=self._progress,
        )
        space = SpaceGuard(self._tools, workspace.folder)
        await space.check_start()
        async with asyncio.TaskGroup() as group:
            guard = group.create_task(space.watch())
            try:
                self._asset_id = (await run_job(run)).asset_id
            finally:
                guard.cancel()

    def snapshot(self) -> Job:
        return self._progress.estimate()

    def end(self, state: WorkState, reason: str | None) -> tuple[Job, Sequence[bytes]]:
        job, now = self._progress.job, self._clock.now()
        job = stop_steps(job, now, failed=state == "failed")
        job = msgspec.structs.replace(
            job,
            state=state,
            asset_id=self._asset_id,
            remaining_ms=0 if state == "done" else None,
            reason=job.reason if reason is None else reason,
        )
        fact: EncodeFinished | EncodeFailed
        if state == "done" and self._asset_id is not None:
            fact = EncodeFinished(job_id=job.job_id, title_id=job.order.title_id, asset_id=self._asset_id)
        elif state == "failed":
            fact = EncodeFailed(job_id=job.job_id, title_id=job.order.title_id, reason=job.reason)
        else:
            return job, []
        return job, [msgspec.json.encode(new_record(fact, key=job.order.title_id, now=now))]

    async def clean_up(self) -> None:
        workspace = Workspace(self._folder, self._progress.job.job_id)
        await asyncio.to_thread(workspace.remove)
