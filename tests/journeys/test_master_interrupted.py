"""Jobs whose worker is killed, stopped or cancelled, or whose disk is full."""

import asyncio
import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.encoding_deployment import EncodingDeployment
from tests.journeys.master_rig import (
    FILM,
    RATE,
    SECONDS,
    CountingEncoder,
    FutureClock,
    play,
    relay_facts,
    worker,
)

from matinee.encoding.api import Job, NoSpace, Order
from matinee.encoding.jobs.worker import run_worker
from matinee.encoding.ports import Blobs, Encoder
from matinee.kit.clock import SystemClock
from matinee.kit.disk import RESERVE_BYTES


async def test_job_of_a_killed_worker_resumes_after_its_finished_chunks(
    deployment: EncodingDeployment, master: Path, tmp_path: Path
) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    command = [sys.executable, "-m", "tests.journeys.encoding_deployment", str(tmp_path / "data"), "2"]
    root = Path(__file__).parents[2]
    other = await asyncio.create_subprocess_exec(*command, cwd=root)
    results = deployment.work / job.job_id
    while not list(results.glob("chunk-*.json")):
        assert other.returncode is None
        await asyncio.sleep(0.02)
    os.kill(other.pid, signal.SIGKILL)
    await other.wait()
    kept = {("64p", int(result.stem[-8:])) for result in results.glob("chunk-*.json")}
    counting = CountingEncoder(deployment.tools.encoder)
    assert await worker(deployment, encoder=counting, chunk_s=2, clock=FutureClock()).run_next()
    done = await deployment.encoding.get_job(job_id=job.job_id)
    assert (done.state, done.attempts) == ("done", 1)
    assert kept
    assert not kept & set(counting.chunks)
    asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
    assert len(await play(deployment, asset, asset.video[-1], tmp_path)) == SECONDS * RATE


async def wait_for_end(deployment: EncodingDeployment, job: Job) -> Job:
    """Poll a job until it has ended."""
    found = await deployment.encoding.get_job(job_id=job.job_id)
    if found.state in ("queued", "running"):
        await asyncio.sleep(0.05)
        return await wait_for_end(deployment, job)
    return found


class EndlessEncoder:
    """An encoder whose chunks never end."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    async def encode_chunk(self, **options: Any) -> None:
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.stopped.set()


async def test_cancelled_job_stops_and_can_be_retried(deployment: EncodingDeployment, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    endless = EndlessEncoder(deployment.tools.encoder)
    tools = dataclasses.replace(deployment.tools, encoder=endless)
    running = asyncio.create_task(
        run_worker(store=deployment.store, tools=tools, clock=SystemClock(), folder=deployment.work, owner="w")
    )
    await endless.started.wait()
    await deployment.encoding.cancel(job_id=job.job_id)
    assert (await wait_for_end(deployment, job)).state == "cancelled"
    assert endless.stopped.is_set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await deployment.encoding.retry(job_id=job.job_id)).state == "queued"
    await worker(deployment).run_next()
    assert (await deployment.encoding.get_job(job_id=job.job_id)).state == "done"


async def test_stopping_worker_releases_its_job(deployment: EncodingDeployment, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    endless = EndlessEncoder(deployment.tools.encoder)
    running = asyncio.create_task(worker(deployment, encoder=endless).run_next())
    await endless.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    released = await deployment.encoding.get_job(job_id=job.job_id)
    assert (released.state, released.attempts) == ("queued", 0)
    assert {step.state for step in released.steps} <= {"done", "waiting"}


class FullBlobs:
    """An object store that is full after some objects of an asset."""

    def __init__(self, blobs: Blobs, objects: int) -> None:
        self._blobs = blobs
        self._left = objects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def put_file(self, *, key: str, path: Path, move: bool = False, copy_of: str = "") -> None:
        self._left -= key.startswith("assets/")
        if self._left < 0:
            raise NoSpace(needed_bytes=0, free_bytes=0, detail="The object store is full: free some space.")
        await self._blobs.put_file(key=key, path=path, move=move, copy_of=copy_of)


async def test_job_waits_while_the_object_store_is_full_and_leaves_no_objects(
    deployment: EncodingDeployment, master: Path
) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    for _ in range(7):
        await worker(deployment, blobs=FullBlobs(deployment.tools.blobs, 5)).run_next()
    waiting = await deployment.encoding.get_job(job_id=job.job_id)
    assert waiting.state == "queued"
    assert waiting.reason == "The object store is full: free some space. The job then goes on by itself."
    assert not [path for path in (deployment.objects / "assets").rglob("*") if path.is_file()]
    assert await relay_facts(deployment) == []
    assert (await deployment.catalogue.title(title_id=FILM)).asset_id is None
    counting = CountingEncoder(deployment.tools.encoder)
    await worker(deployment, encoder=counting).run_next()
    done = await deployment.encoding.get_job(job_id=job.job_id)
    assert (done.state, done.reason) == ("done", "")
    assert counting.chunks == []


class ShrinkingBlobs:
    """An object store whose disk has nothing left beside the reserve while `is_full`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.is_full = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def get_free_bytes(self) -> int | None:
        return -1 if self.is_full else 1 << 40


class FillingEncoder(CountingEncoder):
    """An encoder that fills the disk in its first chunk, and then takes long."""

    def __init__(self, encoder: Encoder, blobs: ShrinkingBlobs) -> None:
        super().__init__(encoder)
        self._shrinking = blobs

    async def encode_chunk(self, **options: Any) -> None:
        self._shrinking.is_full = True
        await asyncio.Event().wait()


async def test_job_stops_at_the_reserve_and_goes_on_once_there_is_space(
    deployment: EncodingDeployment, master: Path
) -> None:
    blobs = ShrinkingBlobs(deployment.tools.blobs)
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    async with asyncio.timeout(60):
        await worker(deployment, blobs=blobs, encoder=FillingEncoder(deployment.tools.encoder, blobs)).run_next()
    kept = "The rest of the disk is kept for sign-in and playback: free some space. The job then goes on by itself."
    for reserve_bytes in (RESERVE_BYTES, 1 << 60):
        waiting = await deployment.encoding.get_job(job_id=job.job_id)
        assert (waiting.state, waiting.reason, waiting.attempts) == ("queued", kept, 0)
        assert {step.state for step in waiting.steps} == {"done", "waiting"}
        blobs.is_full = reserve_bytes == RESERVE_BYTES
        await worker(deployment, blobs=blobs, reserve_bytes=reserve_bytes).run_next()
    blobs.is_full = False
    await worker(deployment, blobs=blobs).run_next()
    assert (await deployment.encoding.get_job(job_id=job.job_id)).state == "done"
