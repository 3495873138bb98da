"""UTC time in milliseconds, read only through a `Clock`."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class Clock(Protocol):
    """The source of every `now`."""

    def now(self) -> datetime:
        """Return the time in UTC, in whole milliseconds."""


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return from_ms(time.time_ns() // 1_000_000)


class ManualClock:
    """A clock that moves only by `advance`, for tests at an exact instant."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, **amount: float) -> datetime:
        """Move forward by `timedelta(**amount)` and return the new time."""
        self._now += timedelta(**amount)
        return self._now


def from_ms(epoch_ms: int) -> datetime:
    """Convert milliseconds since 1970 to a UTC time."""
    return _EPOCH + epoch_ms * _MS


def to_ms(moment: datetime) -> int:
    """Convert a UTC time to milliseconds since 1970."""
    return round((moment - _EPOCH) / _MS)
