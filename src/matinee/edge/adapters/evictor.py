"""Keeps a cache directory within its limit: one process for all workers, elected by a file lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from matinee.edge.adapters.files import open_shared, try_lock
from matinee.edge.adapters.frequencies import SharedFrequencies
from matinee.edge.model.eviction import S3Fifo

_RECORD_BYTES = 40
_ARRIVALS_LIMIT_BYTES = 4 << 20
_NAME_LETTERS = 64
_SCAN_INTERVAL_S = 600.0


class DiskEvictor:
    """Fulfils `Evictor` for a cache directory; `evict` does nothing before `elect` has returned True.

    It learns of new objects from `state/arrivals`, to which every worker appends. It also scans the directory when it
    is elected, every ten minutes, and when that file has grown long.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._objects = root / "objects"
        self._fills = root / "fills"
        state = root / "state"
        state.mkdir(parents=True, exist_ok=True)
        self._arrivals = state / "arrivals"
        self._queue = S3Fifo(limit_bytes, SharedFrequencies(state / "heat"))
        self._lock = open_shared(state / "keeper.lock")
        self._is_elected = False
        self._arrivals_offset = 0
        self._scanned_at_s = 0.0
        self._fill_bytes = 0

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def elect(self) -> bool:
        if not self._is_elected and try_lock(self._lock):
            self._delete_abandoned_fills()
            self._scan()
            self._is_elected = True
        return self._is_elected

    def evict(self) -> int:
        if not self._is_elected:
            return 0
        self._read_arrivals()
        self._fill_bytes = self._measure_fills()
        evicted = 0
        for name in self._queue.evict(self._fill_bytes):
            (self._objects / name[:1].hex() / name.hex()).unlink(missing_ok=True)
            evicted += 1
        return evicted

    def used_bytes(self) -> int:
        return self._queue.used_bytes + self._fill_bytes

    def _read_arrivals(self) -> None:
        is_long = self._arrivals_offset > _ARRIVALS_LIMIT_BYTES
        if is_long or time.monotonic() - self._scanned_at_s > _SCAN_INTERVAL_S:
            self._scan()
        with suppress(FileNotFoundError), self._arrivals.open("rb") as file:
            file.seek(self._arrivals_offset)
            while len(record := file.read(_RECORD_BYTES)) == _RECORD_BYTES:
                name, size = record[:32], int.from_bytes(record[32:], "little")
                # An object may arrive, be dropped as damaged, and arrive again: the last size is the right one.
                self._queue.remove(name)
                self._queue.add(name, size)
                self._arrivals_offset += _RECORD_BYTES

    def _scan(self) -> None:
        """Read the directory, oldest objects first; those not known yet enter the main queue.

        The arrivals are truncated first: a worker renames an object before it appends, so the scan finds it.
        """
        self._scanned_at_s = time.monotonic()
        if self._arrivals.exists():
            os.truncate(self._arrivals, 0)
        self._arrivals_offset = 0
        found = sorted(chain.from_iterable(_list_objects(folder.path) for folder in os.scandir(self._objects)))
        for gone in self._queue.names() - {name for _, name, _ in found}:
            self._queue.remove(gone)
        for _, name, size in found:
            self._queue.add(name, size, to_main=True)

    def _delete_abandoned_fills(self) -> None:
        for path in self._fills.iterdir():
            with suppress(FileNotFoundError), path.open("rb") as file:
                if try_lock(file.fileno()):
                    path.unlink(missing_ok=True)

    def _measure_fills(self) -> int:
        total = 0
        for path in self._fills.iterdir():
            with suppress(FileNotFoundError):  # completed meanwhile
                total += path.lstat().st_size
        return total


def _list_objects(folder: str) -> Iterator[tuple[int, bytes, int]]:
    """Yield the arrival time, name and size of each object."""
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # evicted meanwhile
            if len(entry.name) == _NAME_LETTERS and entry.is_file(follow_symlinks=False):
                stat = entry.stat(follow_symlinks=False)
                yield stat.st_mtime_ns, bytes.fromhex(entry.name), stat.st_size
