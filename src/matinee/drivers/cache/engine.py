"""What a cache needs of the engine below it: bytes by key, and changes only over what was seen.

A fill is a swap over exactly what its loader saw, so that a value read before an invalidation and arriving after it
is refused by the engine. An invalidation is a mark set over whatever is there. Nothing else writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

# What an engine needs to know a value again: its own business.
Token = object


class Held(NamedTuple):
    """What an engine holds under a key. Without bytes there is nothing, and the token stands for that nothing."""

    value: bytes
    token: Token


class Swap(NamedTuple):
    """`value` under `key`, if there is still what `over` stands for (None: nothing); dropped after `ttl_ms`."""

    key: str
    over: Token | None
    value: bytes
    ttl_ms: int


class CacheEngine(Protocol):
    """Bytes by key, for a while. Every method raises one of `drivers.engine.ENGINE_PROBLEMS` when the engine is not well.

    `value_limit` is the greatest value it takes, in bytes. `shared`: whether other processes see the same values.
    """

    value_limit: int
    shared: bool

    @property
    def engine(self) -> str:
        """The engine and where it is, without a password."""

    async def get_many(self, keys: Sequence[str]) -> dict[str, Held]:
        """What there is under the keys; an engine may leave out those with nothing."""

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token]:
        """Those of the swaps that were done, with what knows the new value again."""

    async def set_many(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        """Set values over whatever is there. Returning means that no process sees anything older from now on."""

    async def check(self) -> None:
        """Ask the engine something cheap that it could not answer if it were not well."""
