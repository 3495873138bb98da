"""The workers' figures: a small mapped file each, so that any worker can tell the sums of all."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from matinee.edge.adapters.frequencies import mapped
from matinee.edge.ports import GAUGES, Metric

_CELLS = struct.Struct("<32q")
_SLOTS = 256


class FileEdgeMetrics:
    """This worker's figures stand in `state/worker-<n>`, which it locks while it lives.

    A worker that comes after another in the same file counts on from there, so that sums never run backwards.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "state"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock, path = self._taken()
        self._memory = mapped(path, _CELLS.size)
        self._cells = memoryview(self._memory).cast("q")
        for level in GAUGES:
            self._cells[level] = 0

    def close(self) -> None:
        """Leave; what was counted stays."""
        for level in GAUGES:
            self._cells[level] = 0
        self._cells.release()
        self._memory.close()
        os.close(self._lock)

    def add(self, count: Metric, amount: int = 1) -> None:
        self._cells[count] += amount

    def set(self, count: Metric, value: int) -> None:
        self._cells[count] = value

    def totals(self) -> dict[Metric, int]:
        rows = [(row, _is_alive(path)) for path in self._folder.glob("worker-*") if (row := _row(path))]
        return {c: sum(row[c] for row, alive in rows if alive or c not in GAUGES) for c in Metric}

    def workers(self) -> int:
        return sum(_is_alive(path) for path in self._folder.glob("worker-*"))

    def _taken(self) -> tuple[int, Path]:
        for slot in range(_SLOTS):
            path = self._folder / f"worker-{slot:03}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                continue
            return fd, path
        raise OSError(f"more than {_SLOTS} workers share {self._folder}")


def _row(path: Path) -> tuple[int, ...] | None:
    data = path.read_bytes()
    return _CELLS.unpack(data) if len(data) == _CELLS.size else None


def _is_alive(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
