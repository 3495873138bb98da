"""When scheduled work is due: `@every 5m`, or a cron expression in UTC. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

_EVERY: Final = re.compile(r"@every (\d+)([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_interval(expression: str) -> timedelta | None:
    """Return the interval of an `@every` expression (seconds, minutes, hours or days); None for any other."""
    match = _EVERY.fullmatch(expression)
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]]) if match else None


def next_run(
    expression: str, *, due_at: datetime, now: datetime, cron: Callable[[str, datetime], datetime]
) -> datetime:
    """Return the next time after `now`. Intervals count from `due_at`, so that they do not drift.

    They count from `now` where `due_at` is ahead of it, because the clock was set back.
    """
    interval = parse_interval(expression)
    if interval is None:
        return cron(expression, now)
    if not interval:
        raise ValueError(f"an interval must be positive: {expression!r}")
    due_at = min(due_at, now)
    missed = (now - due_at) // interval
    return due_at + (missed + 1) * interval
