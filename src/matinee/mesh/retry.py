"""How often, and after what pause, a call is made again. Pure."""

from __future__ import annotations

from typing import Final

ATTEMPTS: Final = 4
_FIRST_PAUSE_S: Final = 0.025


class RetryBudget:
    """Retries are paid for by calls, so that they can never make up more than a share of all traffic.

    Each call puts `share` of a retry in; at most `most` are saved up.
    """

    def __init__(self, *, share: float = 0.2, most: float = 20.0) -> None:
        self._share = share
        self._most = most
        self._saved = most

    def earn(self) -> None:
        """A call was made."""
        self._saved = min(self._most, self._saved + self._share)

    def spend(self) -> bool:
        """Pay for a retry; False when there is nothing left."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


def pause_s(attempt: int, draw: float) -> float:
    """How long to wait after the n-th attempt (1, 2, …): doubled each time, spread evenly by a draw from [0, 1)."""
    return _FIRST_PAUSE_S * float(2 ** (attempt - 1)) * (0.5 + draw)
