"""How often objects were requested recently, in one small file that all workers map and that outlives them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from matinee.edge.model.eviction import MAX_FREQUENCY

_SLOTS = 1 << 20


def map_file(path: Path, size: int) -> mmap.mmap:
    """Map a file of `size` bytes, or private memory if the disk has no space for the file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
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


class SharedFrequencies:
    """One byte per object, at a slot taken from its name. Objects that share a slot share the count."""

    def __init__(self, path: Path) -> None:
        self._counts = map_file(path, _SLOTS)

    @staticmethod
    def slot(name: bytes) -> int:
        """Return the slot of a name."""
        return int.from_bytes(name[:4], "big") % _SLOTS

    def increment(self, slot: int) -> None:
        """Count a request. Without a lock: a lost increment is acceptable."""
        count = self._counts[slot]
        if count < MAX_FREQUENCY:
            self._counts[slot] = count + 1

    def get(self, name: bytes) -> int:
        return self._counts[self.slot(name)]

    def set(self, name: bytes, frequency: int) -> None:
        self._counts[self.slot(name)] = frequency
