"""Which links are good."""

from __future__ import annotations

from matinee.kit.clock import Clock
from matinee.kit.hashing import verify_path_token

_REMEMBERED = 20_000


class Gate:
    """Checks path tokens against every key in use, and remembers those it found good until they end."""

    def __init__(self, keys: tuple[bytes, ...], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._good: dict[tuple[str, str], float] = {}

    def opens(self, token: str, scope: str) -> bool:
        """Whether a token opens a scope now."""
        now_s = self._clock.now().timestamp()
        ends_at_s = self._good.get((token, scope))
        if ends_at_s is not None:
            return ends_at_s > now_s
        if not any(verify_path_token(key, scope, token, now_s) for key in self._keys):
            return False
        if len(self._good) >= _REMEMBERED:
            self._good.clear()
        self._good[token, scope] = int(token.partition("-")[0], 16)
        return True
