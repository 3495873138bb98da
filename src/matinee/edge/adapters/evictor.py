"""Evictor a cache directory within its limit: one process for all workers, chosen by a lock that dies with it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from matinee.edge.adapters.frequencies import SharedFrequencies
from matinee.edge.model.eviction import S3Fifo

_RECORD_BYTES = 40
_ARRIVALS_LIMIT_BYTES = 4 << 20
_NAME_LETTERS = 64
_WALK_S = 600.0


class DiskEvictor:
    """The keeper of a cache directory; it does nothing until `elect` has said yes.

    It learns of new objects from `state/arrivals`, to which every worker appends, and of all that is there by
    walking the directory when it is elected, every ten minutes, and whenever that file has grown long.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._objects = root / "objects"
        self._fills = root / "fills"
        self._state = root / "state"
        self._state.mkdir(parents=True, exist_ok=True)
        self._arrivals = self._state / "arrivals"
        self._limit_bytes = limit_bytes
        self._heat = SharedFrequencies(self._state / "heat")
        self._keeper = S3Fifo(limit_bytes, self._heat)
        self._lock = os.open(self._state / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._elected = False
        self._read_to = 0
        self._walked_at_s = 0.0
        self._reserved_bytes = 0

    def close(self) -> None:
        """Give the office back."""
        os.close(self._lock)

    def elect(self) -> bool:
        if not self._elected:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._sweep()
            self._walk()
            self._elected = True
        return True

    def keep(self) -> int:
        if not self._elected:
            return 0
        self._hear()
        self._reserved_bytes = self._in_flight()
        evicted = 0
        for name in self._keeper.overflow(self._reserved_bytes):
            (self._objects / name[:1].hex() / name.hex()).unlink(missing_ok=True)
            evicted += 1
        return evicted

    def used_bytes(self) -> int:
        return self._keeper.used_bytes + self._reserved_bytes

    def _hear(self) -> None:
        """Take in what was finished since we last looked."""
        if self._read_to > _ARRIVALS_LIMIT_BYTES or time.monotonic() - self._walked_at_s > _WALK_S:
            self._walk()
        with suppress(FileNotFoundError), self._arrivals.open("rb") as file:
            file.seek(self._read_to)
            while len(record := file.read(_RECORD_BYTES)) == _RECORD_BYTES:
                self._admit(record[:32], int.from_bytes(record[32:], "little"))
                self._read_to += _RECORD_BYTES

    def _admit(self, name: bytes, size: int) -> None:
        # An object may come, be dropped as damaged, and come again: the newest arrival is what lies there.
        self._keeper.remove(name)
        self._keeper.admit(name, size)

    def _walk(self) -> None:
        """Learn the directory as it is, oldest first; what we had not heard of has proved itself by being there.

        The arrivals begin anew: whoever appends in between renamed his object before, so that it is found here.
        """
        self._walked_at_s = time.monotonic()
        if self._arrivals.exists():
            os.truncate(self._arrivals, 0)
        self._read_to = 0
        found = sorted(chain.from_iterable(_objects(folder.path) for folder in os.scandir(self._objects)))
        for gone in self._keeper.names() - {name for _, name, _ in found}:
            self._keeper.remove(gone)
        for _, name, size in found:
            self._keeper.admit(name, size, proved=True)

    def _sweep(self) -> None:
        """Drop half-written objects whose writer is dead."""
        for entry in os.scandir(self._fills):
            with suppress(BlockingIOError, FileNotFoundError), Path(entry.path).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(entry.path).unlink(missing_ok=True)

    def _in_flight(self) -> int:
        total = 0
        for entry in os.scandir(self._fills):
            with suppress(FileNotFoundError):  # finished in this very moment
                total += entry.stat(follow_symlinks=False).st_size
        return total


def _objects(folder: str) -> Iterator[tuple[int, bytes, int]]:
    """When each object came, its name and its size."""
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # evicted in this very moment
            if len(entry.name) == _NAME_LETTERS and entry.is_file(follow_symlinks=False):
                about = entry.stat(follow_symlinks=False)
                yield about.st_mtime_ns, bytes.fromhex(entry.name), about.st_size
