"""Which links are good."""

from __future__ import annotations

import time

from matinee.kit.clock import Clock
from matinee.kit.hashing import verify_path_token

_REMEMBERED = 20_000


class PathTokenVerifier:
    """Checks path tokens against every key in use, and remembers those it found good until they end."""

    def __init__(self, keys: tuple[bytes, ...], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._good: dict[tuple[str, str], float] = {}  # until when, by the monotonic clock: it is cheaper to read

    def is_valid(self, token: str, scope: str) -> bool:
        """Whether a token opens a scope now."""
        until_s = self._good.get((token, scope))
        return until_s > time.monotonic() if until_s is not None else self._verified(token, scope)

    def _verified(self, token: str, scope: str) -> bool:
        now_s = self._clock.now().timestamp()
        if not any(verify_path_token(key, scope, token, now_s) for key in self._keys):
            return False
        if len(self._good) >= _REMEMBERED:
            self._good.clear()
        self._good[token, scope] = time.monotonic() + int(token.partition("-")[0], 16) - now_s
        return True
