"""How many reports of failed edges count, so that false ones cannot move other clients off an edge."""

from __future__ import annotations

from collections import OrderedDict

from matinee.kit.ids import AccountId

# For each account: more than a household has players, on every edge that one is given.
LIMIT = 12
WINDOW_S = 600.0
_MAX_ACCOUNTS = 50_000


class FailureReports:
    """Counts the reports of each account in a window of time."""

    def __init__(self) -> None:
        self._windows: OrderedDict[AccountId, tuple[float, int]] = OrderedDict()

    def count(self, account_id: AccountId, now_s: float) -> bool:
        """Count a report, and return whether it is within the limit of its account."""
        started_s, count = self._windows.pop(account_id, (now_s, 0))
        if not 0 <= now_s - started_s < WINDOW_S:
            started_s, count = now_s, 0
        self._windows[account_id] = (started_s, min(count + 1, LIMIT + 1))
        if len(self._windows) > _MAX_ACCOUNTS:
            self._windows.popitem(last=False)
        return count < LIMIT
