"""How long values are cached."""

from __future__ import annotations

import msgspec


class CachePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Times in milliseconds; each of the first three is shortened by a random share, at most `jitter`.

    After `fresh_ms` (0: never) a value is stale: it is still returned, until `ttl_ms`, while one process reloads it.
    The absence of a value is cached for `absent_ttl_ms` (0: not at all). A loader has a lease of `lease_ms`, and a
    call waits for another process to load for at most `wait_ms`.
    """

    ttl_ms: int = 3_600_000
    fresh_ms: int = 0
    absent_ttl_ms: int = 10_000
    jitter: float = 0.1
    lease_ms: int = 10_000
    wait_ms: int = 300
