"""A registry in a folder, for the processes of one machine: a file for each instance, whose time is the lease's end.

To renew a lease changes the time of a file only: an idle deployment writes next to nothing.
"""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, Self

import msgspec

from matinee.kit.file_times import get_time, set_time
from matinee.kit.ids import InstanceId
from matinee.kit.ticks import sleep_until_tick
from matinee.mesh.adapters.lease_times import LeaseTimes
from matinee.mesh.api import Instance

_decoder = msgspec.json.Decoder(Instance)


class FileRegistry:
    """Implements `Registry` in a folder."""

    uses_engine_clock: ClassVar[bool] = False
    registers_itself: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._leases = LeaseTimes()
        # By name: what changes with the content of a file, and the instance in it.
        self._read: dict[str, tuple[tuple[int, int], Instance]] = {}

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Create the folder if it does not exist, and return the registry in it. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        self._delete_expired(now)
        self._write(instance, now + timedelta(seconds=lease_s))

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        file = self._folder / instance_id
        try:
            if get_time(file.stat()) <= now:
                return False
            set_time(file, now + timedelta(seconds=lease_s))
        except FileNotFoundError:
            return False
        return True

    async def drain(self, *, instance_id: InstanceId) -> None:
        with contextlib.suppress(FileNotFoundError):
            file = self._folder / instance_id
            instance = _decoder.decode(file.read_bytes())
            self._write(msgspec.structs.replace(instance, draining=True), get_time(file.stat()))

    async def deregister(self, *, instance_id: InstanceId) -> None:
        (self._folder / instance_id).unlink(missing_ok=True)

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        found = {entry.name: (entry, expires_at) for entry, expires_at in self._scan() if expires_at > now}
        expiries = {InstanceId(name): expires_at for name, (_, expires_at) in found.items()}
        live = self._leases.select_live(expiries, now)
        self._read = {name: read for name, (entry, _) in found.items() if (read := self._read_file(entry))}
        return tuple(self._read[name][1] for name in sorted(self._read) if name in live)

    async def wait_for_change(self, *, poll_s: float) -> None:
        await sleep_until_tick(poll_s)

    def _delete_expired(self, now: datetime) -> None:
        """Delete the files of instances that were killed."""
        for entry, expires_at in self._scan():
            if expires_at <= now:
                Path(entry.path).unlink(missing_ok=True)

    def _scan(self) -> list[tuple[os.DirEntry[str], datetime]]:
        """List the files of instances and the ends of their leases."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    with contextlib.suppress(FileNotFoundError):  # deleted in the meantime
                        found.append((entry, get_time(entry.stat())))
        return found

    def _read_file(self, entry: os.DirEntry[str]) -> tuple[tuple[int, int], Instance] | None:
        version = (entry.inode(), entry.stat().st_size)  # a file that replaces another may have its number
        if (known := self._read.get(entry.name)) is not None and known[0] == version:
            return known
        with contextlib.suppress(FileNotFoundError):
            return version, _decoder.decode(Path(entry.path).read_bytes())
        return None

    def _write(self, instance: Instance, expires_at: datetime) -> None:
        """Write a file under another name first, so that it is whole and has its time when it can be read."""
        temporary = self._folder / f".{instance.instance_id}"
        temporary.write_bytes(msgspec.json.encode(instance))
        set_time(temporary, expires_at)
        temporary.replace(self._folder / instance.instance_id)
