"""A circuit breaker. Pure: the time is passed in."""

from __future__ import annotations


class Breaker:
    """A circuit breaker: `threshold` failures in a row open it, and no calls are made.

    After a pause one call is let through as a probe. Success closes the breaker, failure doubles the pause.
    """

    def __init__(self, *, threshold: int = 5, pause_s: float = 0.5, max_pause_s: float = 5.0) -> None:
        self._threshold = threshold
        self._min_pause_s = self._pause_s = pause_s
        self._max_pause_s = max_pause_s
        self._failures = 0
        self._probe_at_s = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether only probes are allowed."""
        return self._failures >= self._threshold

    def allows(self, now_s: float) -> bool:
        """Return whether a call may be made now."""
        return not self.is_open or (now_s >= self._probe_at_s and not self._probing)

    def begin(self) -> None:
        """Record the start of a call; while the breaker is open, it is the probe."""
        self._probing = self.is_open

    def succeed(self) -> None:
        """Record a call that was answered."""
        self._failures, self._probing, self._pause_s = 0, False, self._min_pause_s

    def abstain(self) -> None:
        """Record the end of a call whose outcome says nothing about the callee, such as a cancelled one."""
        self._probing = False

    def fail(self, now_s: float) -> None:
        """Record a call that was not answered."""
        if self._probing:
            self._pause_s = min(self._pause_s * 2, self._max_pause_s)
        self._failures, self._probing = self._failures + 1, False
        self._probe_at_s = now_s + self._pause_s
