"""How often objects were asked for of late, in one small file that all workers map and that outlives them."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from matinee.edge.model.eviction import MAX_FREQUENCY

_SLOTS = 1 << 20


def mapped(path: Path, size: int) -> mmap.mmap:
    """A file of `size` bytes, mapped; memory of this process alone where the disk has no room for it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return mmap.mmap(-1, size)
    try:
        # Written out, not stretched: touching a hole of a mapped file on a full disk kills the process (SIGBUS).
        if (missing := size - os.fstat(fd).st_size) > 0:
            os.pwrite(fd, bytes(missing), size - missing)
        return mmap.mmap(fd, size)
    except (OSError, ValueError):
        return mmap.mmap(-1, size)
    finally:
        os.close(fd)


class SharedFrequencies:
    """A byte an object, found by the first bits of its name; two objects in one slot warm each other, without harm."""

    def __init__(self, path: Path) -> None:
        self._cells = mapped(path, _SLOTS)

    @staticmethod
    def slot(name: bytes) -> int:
        """Where a name's heat stands."""
        return int.from_bytes(name[:4], "big") % _SLOTS

    def warm(self, slot: int) -> None:
        """One more request. Unlocked: of two at the same instant one may be lost, and that is good enough."""
        heat = self._cells[slot]
        if heat < MAX_FREQUENCY:
            self._cells[slot] = heat + 1

    def of(self, name: bytes) -> int:
        return self._cells[self.slot(name)]

    def cool(self, name: bytes, heat: int) -> None:
        self._cells[self.slot(name)] = heat
