"""Times of files as the ends of leases: to renew one writes next to nothing."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from matinee.kit.clock import from_ms, to_ms

_MS_NS = 1_000_000


def set_time(file: Path, at: datetime) -> None:
    """Set the time of a file, in milliseconds. Raises FileNotFoundError."""
    time_ns = to_ms(at) * _MS_NS
    os.utime(file, ns=(time_ns, time_ns))


def get_time(status: os.stat_result) -> datetime:
    """Return the time of a file."""
    return from_ms(status.st_mtime_ns // _MS_NS)
