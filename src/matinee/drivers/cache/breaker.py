"""A breaker: after a few failures in a row nobody asks for a while, then one asks to see."""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class Breaker:
    """Opens after `failures` in a row; stays open for `open_s`, twice as long each time up to `longest_s`."""

    def __init__(
        self,
        *,
        failures: int = 3,
        open_s: float = 0.25,
        longest_s: float = 4.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._open_s = open_s
        self._longest_s = longest_s
        self._now_s = now_s
        self._failures = 0
        self._next_s = open_s
        self._until_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether there were too many failures, and no success since."""
        return self._until_s is not None

    def lets(self) -> bool:
        """Whether to ask now. Where it is open and its time is up, who asks first is let, the others wait for it."""
        if self._until_s is None:
            return True
        if self._now_s() < self._until_s:
            return False
        self._until_s = self._now_s() + self._next_s
        return True

    def succeeded(self) -> None:
        """It answered."""
        self._failures = 0
        self._next_s = self._open_s
        self._until_s = None

    def failed(self) -> None:
        """It did not answer."""
        self._failures += 1
        if self._failures < self._limit:
            return
        # Not all processes at the same moment.
        self._until_s = self._now_s() + self._next_s * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
        self._next_s = min(self._next_s * 2, self._longest_s)
