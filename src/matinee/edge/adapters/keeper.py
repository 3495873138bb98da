"""Keeping a cache directory within its limit: one process for all workers, chosen by a lock that dies with it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from matinee.edge.adapters.heat import SharedHeat
from matinee.edge.model.eviction import Keeper

_RECORD_BYTES = 40
_ARRIVALS_LIMIT_BYTES = 4 << 20
_READ_BYTES = _RECORD_BYTES * 4096


class DirectoryKeeper:
    """The keeper of a cache directory; it does nothing until `elect` has said yes.

    It learns of new objects from `state/arrivals`, to which every worker appends, and of all that is there by
    walking the directory when it is elected and whenever that file has grown long.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._objects = root / "objects"
        self._fills = root / "fills"
        self._state = root / "state"
        self._state.mkdir(parents=True, exist_ok=True)
        self._limit_bytes = limit_bytes
        self._heat = SharedHeat(self._state / "heat")
        self._keeper = Keeper(limit_bytes, self._heat)
        self._lock = os.open(self._state / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._elected = False
        self._read_to = 0
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
        try:
            with (self._state / "arrivals").open("r+b") as file:
                file.seek(self._read_to)
                while len(record := file.read(_READ_BYTES)) >= _RECORD_BYTES:
                    for at in range(0, len(record) - _RECORD_BYTES + 1, _RECORD_BYTES):
                        self._admit(record[at : at + 32], int.from_bytes(record[at + 32 : at + 40], "little"))
                        self._read_to += _RECORD_BYTES
                    file.seek(self._read_to)
                if self._read_to > _ARRIVALS_LIMIT_BYTES:
                    file.truncate(0)
                    self._walk()  # whatever was appended in between is found in the directory
        except FileNotFoundError:
            return

    def _admit(self, name: bytes, size: int) -> None:
        # An object may come, be dropped as damaged, and come again: the newest arrival is what lies there.
        self._keeper.remove(name)
        self._keeper.admit(name, size)

    def _walk(self) -> None:
        """Rebuild what is known from the directory, oldest first; what is there already has proved itself."""
        arrivals = self._state / "arrivals"
        self._read_to = arrivals.stat().st_size // _RECORD_BYTES * _RECORD_BYTES if arrivals.exists() else 0
        found: list[tuple[int, bytes, int]] = []
        for folder in os.scandir(self._objects):
            found += [(e.stat().st_mtime_ns, bytes.fromhex(e.name), e.stat().st_size) for e in _objects(folder.path)]
        for _, name, size in sorted(found):
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


def _objects(folder: str) -> list[os.DirEntry[str]]:
    return [e for e in os.scandir(folder) if len(e.name) == 64 and e.is_file(follow_symlinks=False)]
