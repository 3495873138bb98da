"""The interface of a cache engine: bytes by key, written by compare-and-swap.

A fill replaces exactly what its loader read, so the engine refuses a value that was read before an invalidation and
arrives after it. An invalidation overwrites whatever is stored. There are no other writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

# The engine's identifier of a stored value, or of a set of copies. Opaque to callers.
Token = object


class StoredBytes(NamedTuple):
    """The bytes stored under a key, empty if there is no value; the token identifies either state."""

    value: bytes
    token: Token


class Swap(NamedTuple):
    """Store `value` under `key` for `ttl_ms`, if `expected` identifies what is stored there (None: nothing)."""

    key: str
    expected: Token | None
    value: bytes
    ttl_ms: int


class CacheEngine(Protocol):
    """Stores bytes for a limited time. Every method raises one of `drivers.engine.ENGINE_PROBLEMS` when it fails.

    `max_value_bytes` is the size of the largest value. `is_shared` is whether other processes read the same values.
    """

    max_value_bytes: int
    is_shared: bool

    @property
    def engine(self) -> str:
        """The engine and its location, without a password."""

    async def get_many(self, keys: Sequence[str]) -> dict[str, StoredBytes]:
        """Return what is stored under the keys. A key without a value may be left out."""

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token]:
        """Return the keys of the swaps that were done, each with the token of the new value."""

    async def set_many(
        self, values: Mapping[str, bytes], ttl_ms: int, *, missed: Mapping[str, Token]
    ) -> dict[str, Token]:
        """Overwrite every copy of some keys; return the keys with copies that could not be written, and these copies.

        No process reads an older value of the other keys from now on. Of the keys in `missed`, an earlier result, only
        the copies named there are written.
        """

    async def check(self) -> None:
        """Make a cheap request that fails where the engine is not usable."""
