"""Verifies links."""

from __future__ import annotations

import time

from matinee.kit.clock import Clock
from matinee.kit.hashing import verify_path_token

_CACHE_SIZE = 20_000


class LinkVerifier:
    """Verifies path tokens against every accepted key, and caches valid ones until they expire."""

    def __init__(self, keys: tuple[bytes, ...], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        # When each expires, by the monotonic clock, which is cheaper to read.
        self._valid: dict[tuple[str, str], float] = {}

    def is_valid(self, token: str, scope: str) -> bool:
        """Return whether a token is valid for a scope now."""
        until_s = self._valid.get((token, scope))
        return until_s > time.monotonic() if until_s is not None else self._verify(token, scope)

    def _verify(self, token: str, scope: str) -> bool:
        now_s = self._clock.now().timestamp()
        if not any(verify_path_token(key, scope, token, now_s) for key in self._keys):
            return False
        if len(self._valid) >= _CACHE_SIZE:
            self._valid.clear()
        self._valid[token, scope] = time.monotonic() + int(token.partition("-")[0], 16) - now_s
        return True
