"""What old jobs and killed processes have left removed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from matinee.encoding.api import JobNotFound
from matinee.encoding.ports import JobStore
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.ids import JobId

_log = log.get()
SWEEP_EVERY_S = 600.0
SWEEP_STORE_EVERY_S = 3600.0
# Longer than any one file takes to be put, and than a master handed in waits for its job.
UNFINISHED_FOR = timedelta(days=14)


async def sweep_folders(*, store: JobStore, clock: Clock, folder: Path, keep: timedelta = timedelta(days=2)) -> None:
    """Remove what jobs that ended long ago have left, so that until then they can be tried again cheaply."""
    while True:
        try:
            await sweep_folders_once(store=store, clock=clock, folder=folder, keep=keep)
        except Exception as error:  # the store may be away; the folders wait
            _log.warning("encode.sweep_failed", error=repr(error))
        await asyncio.sleep(SWEEP_EVERY_S)


async def sweep_folders_once(*, store: JobStore, clock: Clock, folder: Path, keep: timedelta) -> list[str]:
    """Remove the folders of ended and unknown jobs; tells which."""
    gone = [name for name in await asyncio.to_thread(_folders, folder) if await _is_over(store, clock, name, keep)]
    for name in gone:
        await asyncio.to_thread(shutil.rmtree, folder / name, ignore_errors=True)
    return gone


async def sweep_objects(*, remove_unfinished: Callable[[datetime], Awaitable[int]], clock: Clock) -> None:
    """Free what processes that were killed have left in the object store."""
    while True:
        try:
            if freed := await remove_unfinished(clock.now() - UNFINISHED_FOR):
                _log.info("encode.store_swept", count=freed)
        except Exception as error:  # the store may be away; what was left waits
            _log.warning("encode.store_not_swept", error=repr(error))
        await asyncio.sleep(SWEEP_STORE_EVERY_S)


def _folders(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("job_*") if path.is_dir()]


async def _is_over(store: JobStore, clock: Clock, name: str, keep: timedelta) -> bool:
    try:
        job = await store.get(job_id=JobId(name))
    except JobNotFound:
        return True
    if job.state in ("queued", "running"):
        return False
    return job.state == "done" or clock.now() - job.updated_at > keep
