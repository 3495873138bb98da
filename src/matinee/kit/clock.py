"""Time: UTC, to the millisecond, read only through a `Clock`."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class Clock(Protocol):
    """Where every `now` comes from."""

    def now(self) -> datetime:
        """The time in UTC, whole milliseconds."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return from_ms(time.time_ns() // 1_000_000)


class ManualClock:
    """A clock that moves only when told: for rules that must be shown at an exact instant."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, **amount: float) -> datetime:
        """Move on by `timedelta(**amount)` and tell the new time."""
        self._now += timedelta(**amount)
        return self._now


def from_ms(epoch_ms: int) -> datetime:
    """Milliseconds since 1970 as a UTC time."""
    return _EPOCH + epoch_ms * _MS


def to_ms(moment: datetime) -> int:
    """A UTC time as milliseconds since 1970."""
    return round((moment - _EPOCH) / _MS)
