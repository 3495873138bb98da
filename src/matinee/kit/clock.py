"""Time: UTC, to the millisecond, read only through a `Clock`."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


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
    seconds, rest_ms = divmod(epoch_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ms * 1000)


def to_ms(moment: datetime) -> int:
    """A UTC time as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)
