"""An adaptive limit on concurrent calls. Pure: durations in, a limit out."""

from __future__ import annotations

import math

# Calls may slow down by this factor before the limit shrinks.
TOLERANCE = 2.0
_SLOWDOWN_WEIGHT = 0.1
_DURATION_WEIGHT = 0.01
_SMOOTHING = 0.2


class TypicalDuration:
    """The typical duration of one method: a slow moving average, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def slowdown(self, seconds: float) -> float:
        """Return the ratio of a duration to the typical one, which is updated by it."""
        if self.seconds <= 0.0:
            self.seconds = max(seconds, 1e-6)
        ratio = seconds / self.seconds
        # Capped, so that one very slow call does not raise the average much.
        self.seconds += _DURATION_WEIGHT * ((ratio if ratio < 10.0 else 10.0) - 1.0) * self.seconds
        return ratio


class ConcurrencyLimit:
    """A gradient limit: it grows by its square root while calls take their typical duration, and shrinks as they slow.

    Each call is compared with the typical duration of its own method, so a change in the mix of methods does not
    look like load. While less than half of the limit is in use nothing is adjusted: slowness is then not due to load.
    """

    def __init__(self, *, initial: int = 64, minimum: int = 8, maximum: int = 1024) -> None:
        self._limit = float(initial)
        self._minimum = float(minimum)
        self._maximum = float(maximum)
        self._slowdown = 1.0
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """The number of calls that may be in flight."""
        return int(self._limit)

    def acquire(self) -> bool:
        """Take a slot; False when all are taken."""
        if self.in_flight >= int(self._limit):
            return False
        self.in_flight += 1
        return True

    def release(self, slowdown: float | None = None) -> None:
        """Return a slot; `slowdown` is the call's ratio to its typical duration, None to adjust nothing."""
        in_flight = self.in_flight
        self.in_flight = in_flight - 1
        if slowdown is None:
            return
        self._slowdown += _SLOWDOWN_WEIGHT * (slowdown - self._slowdown)
        if in_flight * 2 >= self._limit:
            gradient = max(0.5, min(1.0, TOLERANCE / max(self._slowdown, 1e-6)))
            target = self._limit * gradient + math.sqrt(self._limit)
            adjusted = self._limit + _SMOOTHING * (target - self._limit) / self._limit
            self._limit = max(self._minimum, min(self._maximum, adjusted))
