"""Files that hold what a store was before it was changed."""

from __future__ import annotations

from pathlib import Path

from matinee.kit.clock import SystemClock

KEPT = 3


def fresh(folder: Path, store: str, revision: str, kind: str) -> Path:
    """A file that is not there yet: `viewing.db.at-0001.20260102T030405123456.db`."""
    return folder / f"{store}.at-{revision}.{SystemClock().now():%Y%m%dT%H%M%S%f}.{kind}"


def thinned(folder: Path, store: str, kept: int) -> None:
    """Drop all but the newest backups of a store."""
    files = sorted(folder.glob(f"{store}.at-*"), key=lambda file: file.name.split(".")[-2])
    for old in files[:-kept]:
        old.unlink(missing_ok=True)
