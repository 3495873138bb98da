"""How many calls may run at once, learnt from how long they take. Pure: figures in, a limit out."""

from __future__ import annotations

import math

# A call may take this many times its usual time before the limit shrinks.
TOLERANCE = 2.0
_SHORT = 0.1
_USUAL = 0.01
_SMOOTHING = 0.2


class Usual:
    """How long one method usually takes: a slow moving average, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def stretch(self, seconds: float) -> float:
        """How many times its usual time a call took; learns from it."""
        if self.seconds <= 0.0:
            self.seconds = max(seconds, 1e-6)
        stretch = seconds / self.seconds
        # One very slow call must not teach us that slow is usual.
        self.seconds += _USUAL * (min(stretch, 10.0) - 1.0) * self.seconds
        return stretch


class ConcurrencyLimit:
    """A gradient limit: grows by the square root of itself while calls take their usual time, shrinks as they stretch.

    Calls are compared with their own method's usual time, so that a change of mix is not taken for load. While
    less than half of the limit is in use nothing is learnt: then it is not load that makes calls slow.
    """

    def __init__(self, *, start: int = 64, least: int = 8, most: int = 1024) -> None:
        self._limit = float(start)
        self._least = least
        self._most = most
        self._stretch = 1.0
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Calls that may run at once."""
        return int(self._limit)

    def enter(self) -> bool:
        """Take a place; False when all are taken."""
        if self.in_flight >= int(self._limit):
            return False
        self.in_flight += 1
        return True

    def leave(self, stretch: float | None = None) -> None:
        """Give the place back; `stretch` is how many times its usual time the call took, None to learn nothing."""
        busy = self.in_flight * 2 >= self._limit
        self.in_flight -= 1
        if stretch is None:
            return
        self._stretch += _SHORT * (stretch - self._stretch)
        if busy:
            gradient = max(0.5, min(1.0, TOLERANCE / max(self._stretch, 1e-6)))
            aim = self._limit * gradient + math.sqrt(self._limit)
            moved = self._limit + _SMOOTHING * (aim - self._limit) / self._limit
            self._limit = max(float(self._least), min(float(self._most), moved))
