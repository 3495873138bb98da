"""What the gateway needs from outside: tokens, uploads, a cache, instances, a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

import msgspec

from matinee.gateway.api.operator import ServiceView
from matinee.gateway.model.proxy import ProxyConfig
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, UploadId


class TokenVerifier(Protocol):
    """Verifies access tokens."""

    async def verify(self, token: str) -> Principal:
        """Return the principal of a token. Raises Unauthenticated if it is invalid or expired."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file being uploaded: `offset_bytes` of `size_bytes` are stored."""

    upload_id: UploadId
    account_id: AccountId
    file_name: str
    size_bytes: int
    offset_bytes: int
    touched_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether every byte is stored."""
        return self.offset_bytes == self.size_bytes


class UploadStore(Protocol):
    """Files that are uploaded in pieces. Bytes acknowledged by `append` survive a kill at any time."""

    async def create(
        self, *, upload_id: UploadId, account_id: AccountId, file_name: str, size_bytes: int, now: datetime
    ) -> Upload:
        """Begin an upload. Raises InsufficientStorage."""

    async def find(self, *, upload_id: UploadId) -> Upload:
        """Return an upload. Raises UploadNotFound."""

    async def append(
        self,
        *,
        upload_id: UploadId,
        offset_bytes: int,
        pieces: AsyncIterator[bytes],
        now: datetime,
        checksum: tuple[str, bytes] | None = None,
    ) -> Upload:
        """Append bytes at the current offset; bytes that arrived before a connection broke are kept.

        `checksum` is an algorithm and the digest of these bytes; on a mismatch none of them are kept. Raises
        UploadNotFound, UploadBusy, OffsetMismatch, TooLarge, ChecksumMismatch, InsufficientStorage.
        """

    async def path(self, *, upload_id: UploadId) -> str:
        """Return the path or key of a complete upload. Raises UploadNotFound, UploadUnfinished."""

    async def remove(self, *, upload_id: UploadId) -> None:
        """Delete an upload. Idempotent."""

    async def expire(self, *, before: datetime) -> int:
        """Delete uploads without a write since then; return how many."""


class PageCache(Protocol):
    """Encoded pages, any of which may be lost. The methods take a limited time and raise nothing."""

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key, if it can be read."""

    async def put(self, key: str, value: bytes, *, ttl_ms: int) -> bool:
        """Store a value, in place of another one; return whether it was stored."""


class Instances(Protocol):
    """The running instances, for the operator's page."""

    async def services(self) -> list[ServiceView]:
        """Return every instance of every service in the registry."""


class Proxy(Protocol):
    """The proxy in front of the gateway."""

    async def apply(self, config: ProxyConfig) -> bool:
        """Apply a configuration without failing any request; return whether it changed. Idempotent."""
