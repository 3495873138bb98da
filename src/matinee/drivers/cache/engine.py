"""The interface of a cache engine."""

from __future__ import annotations

from typing import Protocol


class CacheEngine(Protocol):
    """Stores bytes by key for a limited time; any value may be lost earlier.

    Every method raises one of `drivers.engine.ENGINE_PROBLEMS` when it fails. `max_value_bytes` is the size of the
    largest value.
    """

    max_value_bytes: int

    @property
    def engine(self) -> str:
        """The engine and its location, without a password."""

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key, None if there is none."""

    async def put(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        """Store a value, in place of another one."""

    async def check(self) -> None:
        """Make a cheap request that fails where the engine is not usable."""
