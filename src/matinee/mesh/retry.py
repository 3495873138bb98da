"""Limits on retries and the pauses between them. Pure."""

from __future__ import annotations

from typing import Final

ATTEMPTS: Final = 4
_FIRST_PAUSE_S: Final = 0.025


class RetryBudget:
    """Limits retries to a share of all calls: each call adds `share` of a retry to a balance of at most `maximum`."""

    def __init__(self, *, share: float = 0.2, maximum: float = 20.0) -> None:
        self._share = share
        self._maximum = maximum
        self._balance = maximum

    def earn(self) -> None:
        """Add the share of one call."""
        self._balance = min(self._maximum, self._balance + self._share)

    def spend(self) -> bool:
        """Spend one retry; return False if the balance is below one."""
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True


def pause_s(attempt: int, draw: float) -> float:
    """Return the pause after the n-th attempt (from 1): it doubles each time, with jitter by a draw from [0, 1)."""
    return _FIRST_PAUSE_S * float(2 ** (attempt - 1)) * (0.5 + draw)
