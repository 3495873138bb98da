"""The ends of leases as the times of files, for the processes of one machine.

The holders are in the log's table, in which a lease is acquired; to renew one changes the time of a file only, so
that an idle deployment writes next to nothing. One process at a time has the log. While two overlap, a lease that ends
during its renewal may have two holders until the next renewal: facts are then handled twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from datetime import datetime
from pathlib import Path

from matinee.kit.file_times import get_time, set_time

OLD_S = 86_400.0


class LeaseFiles:
    """A file for each consumer and holder in a folder, which is created when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def renew(self, consumer: str, holder: str, *, until: datetime, now: datetime) -> bool:
        """Extend a lease that has not ended; return False, and do nothing, where it has."""
        file = self._get_file(consumer, holder)
        try:
            if get_time(file.stat()) <= now:
                return False
            set_time(file, until)
        except FileNotFoundError:
            return False
        return True

    def get_end(self, consumer: str, holder: str) -> datetime | None:
        """Return when a lease ends; None where it was not given, or was released."""
        with contextlib.suppress(FileNotFoundError):
            return get_time(self._get_file(consumer, holder).stat())
        return None

    def set_end(self, consumer: str, holder: str, until: datetime) -> None:
        """Give a lease."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._get_file(consumer, holder)
        file.touch()
        set_time(file, until)

    def delete_old(self) -> None:
        """Delete the files of holders that were killed while they acquired a lease."""
        if self._folder.exists():
            for file in self._folder.iterdir():
                if time.time() - file.stat().st_mtime > OLD_S:
                    file.unlink(missing_ok=True)

    def delete(self, consumer: str, holder: str) -> None:
        """Delete the file of a holder that has no lease any more."""
        self._get_file(consumer, holder).unlink(missing_ok=True)

    def _get_file(self, consumer: str, holder: str) -> Path:
        # A digest, since the holder is a name from a caller.
        return self._folder / hashlib.blake2b(f"{consumer}\n{holder}".encode(), digest_size=16).hexdigest()
