"""Files that several worker processes share: opening, locking, mapping."""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path


def open_shared(path: Path, flags: int = 0) -> int:
    """Open a file to read and write, creating it where it does not exist; a symbolic link is refused."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)


def try_lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock a file if no other process has locked it; return whether it is locked now."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def map_file(path: Path, size: int) -> mmap.mmap:
    """Map a file of `size` bytes, or private memory if the disk has no space for the file."""
    try:
        fd = open_shared(path)
    except OSError:
        return mmap.mmap(-1, size)
    try:
        # Written, not truncated to size: access to a hole of a mapped file on a full disk raises SIGBUS.
        if (missing := size - os.fstat(fd).st_size) > 0:
            os.pwrite(fd, bytes(missing), size - missing)
        return mmap.mmap(fd, size)
    except (OSError, ValueError):
        return mmap.mmap(-1, size)
    finally:
        os.close(fd)
