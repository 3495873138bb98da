"""The clock of a Cassandra cluster, which bounds times from this machine's clock."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

from matinee.drivers.cassandra import Cassandra
from matinee.kit import log
from matinee.kit.clock import Clock, to_ms

# By how much this machine's clock may be ahead of the cluster's before times are corrected.
MAX_AHEAD_MS: Final = 2000
CHECK_S: Final = 60.0
_log = log.get()


class ClusterClock:
    """Compares this machine's clock with the cluster's: every minute, and after it was set."""

    def __init__(self, cassandra: Cassandra, clock: Clock) -> None:
        self._cassandra = cassandra
        self._clock = clock
        self._ahead_ms = 0
        self._checked_s, self._offset_ms = float("-inf"), 0.0

    @property
    def is_right(self) -> bool:
        """Whether this machine's clock was recently found not to be ahead."""
        return self._ahead_ms <= MAX_AHEAD_MS and not self._is_check_due()

    async def limit(self, moment: datetime) -> datetime:
        """Return a time from this machine's clock, or the cluster's time if it is ahead of that."""
        if self._is_check_due():
            self._checked_s, self._offset_ms = time.monotonic(), self._compute_offset_ms()
            self._ahead_ms = to_ms(self._clock.now()) - await self._cassandra.fetch_now_ms()
            if self._ahead_ms > MAX_AHEAD_MS:
                _log.warning("viewing.clock_ahead", ahead_ms=self._ahead_ms)
        if self._ahead_ms <= MAX_AHEAD_MS:
            return moment
        return min(moment, self._clock.now() - timedelta(milliseconds=self._ahead_ms))

    def _is_check_due(self) -> bool:
        was_set = abs(self._compute_offset_ms() - self._offset_ms) > MAX_AHEAD_MS
        return was_set or time.monotonic() - self._checked_s > CHECK_S

    def _compute_offset_ms(self) -> float:
        return to_ms(self._clock.now()) - time.monotonic() * 1000
