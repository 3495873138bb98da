"""Which leases are valid by this process's clock, also of instances whose clocks differ."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from matinee.kit.clock import BoundedTimes
from matinee.kit.ids import InstanceId

# For so long after it was first read an instance is live whose lease ends later than any lease does. It renews more
# often than that, which changes the end of its lease.
_GRACE: Final = timedelta(seconds=5)


class LeaseTimes:
    """The leases that one registry has read."""

    def __init__(self) -> None:
        self._times = BoundedTimes()

    def select_live(self, expiries: Mapping[InstanceId, datetime], now: datetime) -> set[InstanceId]:
        """Return the instances that are live, of those whose leases end after `now`."""
        self._times.keep_only(set(expiries))
        return {one for one, expires_at in expiries.items() if self._times.limit(one, expires_at, now) + _GRACE > now}
