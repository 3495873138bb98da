"""Files with the backups of a store."""

from __future__ import annotations

from pathlib import Path

from matinee.kit.clock import SystemClock

BACKUPS = 3


def backup_path(folder: Path, store: str, revision: str, suffix: str) -> Path:
    """Make the folder and return a new path in it: `viewing.db.at-0001.20260102T030405123456.db`."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{store}.at-{revision}.{SystemClock().now():%Y%m%dT%H%M%S%f}.{suffix}"


def prune_backups(folder: Path, store: str) -> None:
    """Remove all but the newest `BACKUPS` of a store."""
    files = sorted(folder.glob(f"{store}.at-*"), key=lambda file: file.name.split(".")[-2])
    for old in files[:-BACKUPS]:
        old.unlink(missing_ok=True)
