"""How much of a disk may be filled: a reserve stays for the stores of sign-in and playback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

# What caches and encoding leave free.
RESERVE_BYTES: Final = 512 << 20


def measure_spare_bytes(place: Path | int, reserve_bytes: int = RESERVE_BYTES) -> int:
    """Return how much may be written to the disk of a folder or an open file; negative where the reserve is used."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize - reserve_bytes
