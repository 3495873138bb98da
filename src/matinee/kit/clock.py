"""UTC time in milliseconds, read only through a `Clock`."""

from __future__ import annotations

import time
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
# By how much clocks of two machines may differ. A stored time that is further ahead of now is from a clock that was
# wrong: it must not win, keep a lease, or delay anything, until that time has come.
CLOCK_SKEW: Final = timedelta(minutes=1)


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


class BoundedTimes:
    """Bounds stored times: one that is ahead of now counts as the moment when it was first read here."""

    def __init__(self) -> None:
        self._first_read: dict[Hashable, tuple[datetime, datetime]] = {}

    def limit(self, key: Hashable, moment: datetime, now: datetime) -> datetime:
        """Return the time stored under a key, or when it was first read if it is ahead of `now`."""
        if moment <= now + CLOCK_SKEW:
            self._first_read.pop(key, None)
            return moment
        known, read_at = self._first_read.get(key, (None, now))
        if known != moment or read_at > now:
            read_at = now
        self._first_read[key] = moment, read_at
        return read_at

    def keep_only(self, keys: set[Hashable]) -> None:
        """Forget all keys but these."""
        self._first_read = {key: times for key, times in self._first_read.items() if key in keys}


def from_ms(epoch_ms: int) -> datetime:
    """Convert milliseconds since 1970 to a UTC time."""
    return _EPOCH + epoch_ms * _MS


def to_ms(moment: datetime) -> int:
    """Convert a UTC time to milliseconds since 1970."""
    return round((moment - _EPOCH) / _MS)
