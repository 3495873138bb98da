"""The workers' metrics: a small mapped file each, so that any worker can compute the sums."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from matinee.edge.adapters.files import map_file, open_shared, try_lock
from matinee.edge.ports import GAUGES, Metric

_VALUES = struct.Struct("<32q")
_WORKER_LIMIT = 256


class FileEdgeMetrics:
    """Fulfils `EdgeMetrics` in `state/worker-<n>`, which this worker locks while it runs.

    A worker that takes over the file of an ended one continues its counters, so that sums never decrease.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "state"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock, path = self._lock_file()
        self._memory = map_file(path, _VALUES.size)
        self._values = memoryview(self._memory).cast("q")
        self._reset_gauges()

    def close(self) -> None:
        """Release the file; the counters remain."""
        self._reset_gauges()
        self._values.release()
        self._memory.close()
        os.close(self._lock)

    def add(self, metric: Metric, amount: int = 1) -> None:
        self._values[metric] += amount

    def set(self, metric: Metric, value: int) -> None:
        self._values[metric] = value

    def totals(self) -> dict[Metric, int]:
        rows = [(row, _is_locked(path)) for path in self._list_files() if (row := _read_values(path))]
        return {m: sum(row[m] for row, alive in rows if alive or m not in GAUGES) for m in Metric}

    def count_workers(self) -> int:
        return sum(map(_is_locked, self._list_files()))

    def _list_files(self) -> list[Path]:
        return list(self._folder.glob("worker-*"))

    def _reset_gauges(self) -> None:
        for gauge in GAUGES:
            self._values[gauge] = 0

    def _lock_file(self) -> tuple[int, Path]:
        for number in range(_WORKER_LIMIT):
            path = self._folder / f"worker-{number:03}"
            fd = open_shared(path)
            if try_lock(fd):
                return fd, path
            os.close(fd)
        raise OSError(f"more than {_WORKER_LIMIT} workers share {self._folder}")


def _read_values(path: Path) -> tuple[int, ...] | None:
    data = path.read_bytes()
    return _VALUES.unpack(data) if len(data) == _VALUES.size else None


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        return not try_lock(file.fileno(), fcntl.LOCK_SH)
