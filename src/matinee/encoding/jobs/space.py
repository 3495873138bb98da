"""Keeps a job from filling the disk: it stops before the reserve of sign-in and playback is used."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from matinee.encoding.jobs.run import Tools
from matinee.encoding.model.refusals import make_no_space
from matinee.kit.disk import measure_spare_bytes

INTERVAL_S: Final = 1.0
# A job needs so much to start or go on, so that it does not stop again at once.
START_BYTES: Final = 256 << 20


class SpaceGuard:
    """Watches the disks of a job's working folder and of the object store."""

    def __init__(self, tools: Tools, folder: Path) -> None:
        self._tools = tools
        self._folder = folder

    async def check_start(self) -> None:
        """Raise NoSpace if there is too little space to start."""
        await self._check(START_BYTES)

    async def watch(self) -> None:
        """Raise NoSpace once the reserve is reached."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self._check(0)

    async def _check(self, needed_bytes: int) -> None:
        spare_bytes = measure_spare_bytes(self._folder, self._tools.reserve_bytes)
        stored_bytes = await self._tools.blobs.get_free_bytes()
        if stored_bytes is not None:
            spare_bytes = min(spare_bytes, stored_bytes)
        if spare_bytes < needed_bytes:
            raise make_no_space("The rest of the disk is kept for sign-in and playback")
