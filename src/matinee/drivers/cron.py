"""Cron expressions, by cronsim (five fields, in UTC)."""

from __future__ import annotations

from datetime import datetime

from cronsim import CronSim, CronSimError


def next_occurrence(expression: str, after: datetime) -> datetime:
    """Return the first time of an expression after a time. Raises ValueError for an invalid expression."""
    try:
        return next(CronSim(expression, after))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"not a cron expression, or one without occurrences: {expression!r}") from error
