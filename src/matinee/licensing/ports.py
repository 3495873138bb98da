"""What licensing needs of the outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from matinee.kit.ids import AssetId, PlaySessionId
from matinee.licensing.model import SealedKey


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """An asset's keys, and whether a session may have any."""

    keys: list[SealedKey]
    revoked: bool


class KeyVault(Protocol):
    """Keeps content keys, sealed, and the sessions that get none any more."""

    async def keep(self, *, keys: list[SealedKey]) -> None:
        """Keep keys; where an asset has one with that label already, the one that is there stays."""

    async def keys(self, *, asset_id: AssetId) -> list[SealedKey]:
        """Every key of an asset, in the order of its label."""

    async def holding(self, *, asset_id: AssetId, session_id: PlaySessionId) -> Holding:
        """What answering a licence takes, in one look-up."""

    async def known(self, *, key_ids: list[str]) -> set[str]:
        """Those of the key ids that are of any asset."""

    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        """No keys for a session until then; an earlier time changes nothing. Idempotent."""

    async def forget(self, *, before: datetime) -> int:
        """Drop the revocations that ran out before then; tells how many."""


class Sealer(Protocol):
    """Seals under a key-encryption key that never leaves its place: a file, a KMS."""

    async def seal(self, secret: bytes, bound_to: bytes) -> bytes:
        """The secret, sealed, to be opened only together with `bound_to`."""

    async def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        """The secret again. Raises a Problem where it was altered or the key-encryption key is another."""
