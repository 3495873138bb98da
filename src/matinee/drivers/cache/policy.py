"""How long values are kept."""

from __future__ import annotations

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How long values are kept; times in milliseconds, each shortened by up to `jitter` of itself.

    After `fresh_ms` (0: never) a value is stale: it is still handed out, until `ttl_ms`, while one process loads it
    anew. `none_ms`: how long it is remembered that there is none (0: it is not). `lease_ms`: how long one loader is
    waited for by the world, `wait_ms` by one call.
    """

    ttl_ms: int = 3_600_000
    fresh_ms: int = 0
    none_ms: int = 10_000
    jitter: float = 0.1
    lease_ms: int = 10_000
    wait_ms: int = 300
