"""The dependencies of licensing."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from matinee.kit.ids import AssetId, PlaySessionId
from matinee.licensing.model import SealedKey


class SessionKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of an asset for a session; empty if the session is revoked."""

    keys: list[SealedKey]
    revoked: bool


class KeyVault(Protocol):
    """Stores sealed content keys and revoked sessions."""

    async def add_keys(self, *, keys: list[SealedKey]) -> None:
        """Store keys; an existing key of the same asset and label stays."""

    async def list_keys(self, *, asset_id: AssetId) -> list[SealedKey]:
        """Return every key of an asset, ordered by label."""

    async def find_session_keys(self, *, asset_id: AssetId, session_id: PlaySessionId) -> SessionKeys:
        """Return what a licence needs, in one query."""

    async def filter_known(self, *, key_ids: list[str]) -> set[str]:
        """Return those of the key ids that exist."""

    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        """Store a revocation with its expiry; an earlier expiry changes nothing. Idempotent."""

    async def delete_revocations(self, *, before: datetime) -> int:
        """Delete the revocations that expired before a time; return how many."""


class Sealer(Protocol):
    """Encrypts secrets with a key-encryption key, which stays in its file or KMS."""

    async def seal(self, secret: bytes, associated_data: bytes) -> bytes:
        """Return the sealed secret, which can be unsealed only with the same `associated_data`."""

    async def unseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the secret. Raises a Problem if it was altered or sealed with another key-encryption key."""
