"""What the gateway needs of the outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

import msgspec

from matinee.gateway.api import ServiceView
from matinee.gateway.model.proxy import ProxyConfig
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, UploadId


class Verifier(Protocol):
    """Access tokens, checked."""

    async def verify(self, token: str) -> Principal:
        """Who the token speaks for. Raises Unauthenticated for a forged, expired or unreadable one."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file on its way in: `offset_bytes` of `size_bytes` are stored."""

    upload_id: UploadId
    account_id: AccountId
    file_name: str
    size_bytes: int
    offset_bytes: int
    touched_at: datetime

    @property
    def complete(self) -> bool:
        """Whether every byte is here."""
        return self.offset_bytes == self.size_bytes


class UploadStore(Protocol):
    """Files arriving in pieces. What `append` has acknowledged survives a kill at any instant."""

    async def create(
        self, *, upload_id: UploadId, account_id: AccountId, file_name: str, size_bytes: int, now: datetime
    ) -> Upload:
        """Make room for a file. Raises NoRoom."""

    async def find(self, *, upload_id: UploadId) -> Upload:
        """An upload as it stands. Raises UploadNotFound."""

    async def append(
        self,
        *,
        upload_id: UploadId,
        offset_bytes: int,
        pieces: AsyncIterator[bytes],
        now: datetime,
        checksum: tuple[str, bytes] | None = None,
    ) -> Upload:
        """Store bytes at the offset the upload stands at; what arrived before a broken connection is kept.

        `checksum` is an algorithm and a digest of these bytes: unless they agree, nothing is kept. Raises
        UploadNotFound, UploadBusy, OffsetMismatch, TooLarge, ChecksumMismatch, NoRoom.
        """

    async def path(self, *, upload_id: UploadId) -> str:
        """Where a complete upload lies. Raises UploadNotFound, UploadUnfinished."""

    async def remove(self, *, upload_id: UploadId) -> None:
        """Drop an upload. Idempotent."""

    async def expire(self, *, before: datetime) -> int:
        """Drop every upload not touched since; tells how many."""


class Instances(Protocol):
    """Who is running, for the operator's page."""

    async def services(self) -> list[ServiceView]:
        """Every instance of every service, as the registry has it."""


class Proxy(Protocol):
    """What stands in front and does as it is told."""

    async def apply(self, front: ProxyConfig) -> bool:
        """Make this the front, without a failed request; tells whether anything was different. Idempotent."""
