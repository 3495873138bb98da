"""Keeps a cache directory within its limit: one process for all workers, elected by a file lock."""

from __future__ import annotations

import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from matinee.edge.adapters.files import open_shared, try_lock
from matinee.edge.adapters.frequencies import SharedFrequencies
from matinee.edge.model.eviction import S3Fifo

_RECORD_BYTES = 40
_ARRIVALS_LIMIT_BYTES = 4 << 20
_NAME_LETTERS = 64
_SCAN_INTERVAL_S = 600.0
_MINUTE_NS = 60 * 10**9
_FOLDER = re.compile("[0-9a-f]{2}")
# Until the first scan has ended only new objects can be evicted: a full cache may be this much over its limit.
_LISTED_SHARE = 0.95
# So long `evict` may keep the event loop from deliveries.
STEP_S = 0.002


class DiskEvictor:
    """Fulfils `Evictor` for a cache directory; `evict` does nothing before `elect` has returned True.

    It learns of new objects from `state/arrivals`, to which every worker appends. It also scans the directory when it
    is elected, every ten minutes, and when that file has grown long. All of it is done in steps of a few milliseconds,
    because the worker delivers meanwhile.
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
        self._has_scanned = False
        # Of the first scan: what is listed and not queued yet, and what was evicted since it began.
        self._listed_bytes = 0
        self._evicted_early: set[bytes] = set()
        self._scanning: Iterator[None] | None = None
        self._arrivals_offset = 0
        self._scanned_at_s = -math.inf
        self._fill_bytes = 0
        self.is_behind = False

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def elect(self) -> bool:
        if not self._is_elected and try_lock(self._lock):
            self._delete_abandoned_fills()
            self._is_elected = True
        return self._is_elected

    def evict(self) -> int:
        if not self._is_elected:
            return 0
        if self._is_scan_due():
            self._begin_scan()
        self._fill_bytes = self._measure_fills()
        evicted, ends_s = 0, time.monotonic() + STEP_S
        for count in chain(self._read_arrivals(), self._evict(), self._scan()):
            evicted += count
            if time.monotonic() > ends_s:
                self.is_behind = True
                return evicted
        self.is_behind = False
        return evicted

    def used_bytes(self) -> int:
        return self._queue.used_bytes + self._listed_bytes + self._fill_bytes

    def _evict(self) -> Iterator[int]:
        for name in self._queue.evict(self._fill_bytes + round(self._listed_bytes * _LISTED_SHARE)):
            if name is not None:
                if not self._has_scanned:
                    self._evicted_early.add(name)
                (self._objects / name[:1].hex() / name.hex()).unlink(missing_ok=True)
            yield int(name is not None)

    def _read_arrivals(self) -> Iterator[int]:
        with suppress(FileNotFoundError), self._arrivals.open("rb") as file:
            file.seek(self._arrivals_offset)
            while len(record := file.read(_RECORD_BYTES)) == _RECORD_BYTES:
                name, size = record[:32], int.from_bytes(record[32:], "little")
                # An object may arrive, be dropped as damaged, and arrive again: the last size is the right one.
                self._queue.remove(name)
                self._queue.add(name, size)
                self._arrivals_offset += _RECORD_BYTES
                yield 0

    def _scan(self) -> Iterator[int]:
        try:
            for _ in self._scanning or ():
                yield 0
        except OSError:  # the next scan is due as after a whole one
            self._scanning = None
            raise
        self._scanning = None

    def _is_scan_due(self) -> bool:
        is_long = self._arrivals_offset > _ARRIVALS_LIMIT_BYTES
        is_old = time.monotonic() - self._scanned_at_s > _SCAN_INTERVAL_S
        return self._scanning is None and (is_long or is_old)

    def _begin_scan(self) -> None:
        """Begin to scan, after truncating the arrivals: a worker renames an object before it appends."""
        if self._arrivals.exists():
            os.truncate(self._arrivals, 0)
        self._arrivals_offset = 0
        self._listed_bytes, self._scanned_at_s = 0, time.monotonic()
        self._scanning = self._read_directory()

    def _read_directory(self) -> Iterator[None]:
        """Add objects that are not known to the main queue, at first the oldest; remove those that are gone."""
        # Names and sizes in turn: millions of pairs would keep the garbage collector busy.
        by_minute: defaultdict[int, list[Any]] = defaultdict(list)
        for folder in os.scandir(self._objects):
            if not _FOLDER.fullmatch(folder.name):
                continue
            gone = self._queue.list_names(int(folder.name, 16))  # the first byte of all names in it
            for arrived_ns, name, size in _list_objects(folder.path):
                gone.discard(name)
                if not self._has_scanned:
                    by_minute[arrived_ns // _MINUTE_NS] += name, size
                    self._listed_bytes += size
                elif name not in self._queue:
                    self._queue.add(name, size, to_main=True)
                yield
            for name in gone:
                self._queue.remove(name)
            yield
        for minute in sorted(by_minute):
            found = iter(by_minute.pop(minute))
            for name, size in zip(found, found, strict=True):
                self._listed_bytes -= size
                if name not in self._evicted_early:
                    self._queue.add(name, size, to_main=True)
                yield
        self._has_scanned = True
        self._evicted_early.clear()

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
