"""Files with the backups of a store."""

from __future__ import annotations

from pathlib import Path

from matinee.kit.clock import SystemClock
from matinee.kit.disk import measure_spare_bytes
from matinee.kit.problem import Problem

BACKUPS = 3


# Backups leave this free on the disk, less than caches and encoding do: an upgrade needs one.
RESERVE_BYTES = 128 << 20


class NoSpaceForBackup(Problem, status=507):
    """There is not enough space for a backup."""

    store: str
    needed_bytes: int
    free_bytes: int


def backup_path(folder: Path, store: str, revision: str, suffix: str, *, size_bytes: int = 0) -> Path:
    """Make the folder and return a new path in it: `viewing.db.at-0001.20260102T030405123456.db`.

    Raises NoSpaceForBackup if a file of that size would leave too little space on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spare_bytes = measure_spare_bytes(folder, RESERVE_BYTES)
    if size_bytes > spare_bytes or spare_bytes < 0:
        numbers = f"{size_bytes / 1e6:,.0f} MB needed, {max(0, spare_bytes) / 1e6:,.0f} MB may be used"
        detail = f"There is not enough space for a backup of {store} in {folder} ({numbers}): free some space."
        raise NoSpaceForBackup(store=store, needed_bytes=size_bytes, free_bytes=max(0, spare_bytes), detail=detail)
    return folder / f"{store}.at-{revision}.{SystemClock().now():%Y%m%dT%H%M%S%f}.{suffix}"


def prune_backups(folder: Path, store: str) -> None:
    """Remove all but the newest `BACKUPS` of a store."""
    files = sorted(folder.glob(f"{store}.at-*"), key=lambda file: file.name.split(".")[-2])
    for old in files[:-BACKUPS]:
        old.unlink(missing_ok=True)
