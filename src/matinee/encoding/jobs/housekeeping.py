"""Removal of what old jobs and killed processes left behind."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from matinee.encoding.ports import JobStore
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()
SWEEP_FOLDERS_EVERY_S = 600.0
# Longer than any upload of one file takes, and than a submitted master waits for its job.
UNFINISHED_FOR = timedelta(days=14)


async def sweep_folders(*, store: JobStore, clock: Clock, folder: Path, keep: timedelta = timedelta(days=2)) -> None:
    """Delete the working folders of jobs some time after they ended; until then a retry can reuse them.

    Each process does this: the folders are on its machine.
    """
    while True:
        try:
            await sweep_folders_once(store=store, clock=clock, folder=folder, keep=keep)
        except Exception as error:  # the store may be unavailable; the folders stay until it answers
            _log.warning("encode.sweep_failed", error=repr(error))
        await asyncio.sleep(SWEEP_FOLDERS_EVERY_S)


async def sweep_folders_once(*, store: JobStore, clock: Clock, folder: Path, keep: timedelta) -> list[str]:
    """Delete the folders of ended and unknown jobs, and return their names."""
    names = [path.name for path in await asyncio.to_thread(lambda: list(folder.glob("job_*"))) if path.is_dir()]
    expired = [name for name in names if await _is_expired(store, clock, name, keep)]
    for name in expired:
        await asyncio.to_thread(shutil.rmtree, folder / name, ignore_errors=True)
    return expired


async def sweep_objects(*, remove_unfinished: Callable[[datetime], Awaitable[int]], clock: Clock) -> None:
    """Delete what killed processes left unfinished in the object store."""
    if count := await remove_unfinished(clock.now() - UNFINISHED_FOR):
        _log.info("encode.store_swept", count=count)


async def _is_expired(store: JobStore, clock: Clock, name: str, keep: timedelta) -> bool:
    job = await store.find(item_id=name)
    if job is None:
        return True
    if job.state in ("queued", "running"):
        return False
    return job.state == "done" or clock.now() - job.updated_at > keep
