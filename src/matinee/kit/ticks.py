"""Periodic work of a machine at the same times: each wake-up of an idle process costs a third of a millisecond."""

from __future__ import annotations

import asyncio
import time

# A timer may be a little early. Without this share the work would then be repeated at once.
_LEAST_SHARE = 0.1


async def sleep_until_tick(interval_s: float, *, offset_s: float = 0.0) -> None:
    """Sleep until the monotonic clock is at a multiple of the interval: first for a part of it, then for all of it.

    `offset_s` is added to each multiple.
    """
    now_s = time.monotonic() - offset_s
    await asyncio.sleep(compute_tick(interval_s, now_s) - now_s)


def compute_tick(interval_s: float, now_s: float) -> float:
    """Return the next multiple of the interval after a time of the monotonic clock that is not very near to it."""
    left_s = interval_s - now_s % interval_s
    return now_s + (left_s if left_s >= interval_s * _LEAST_SHARE else left_s + interval_s)
