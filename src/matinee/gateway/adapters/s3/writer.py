"""Writes to an upload in S3 under a lease."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from matinee.drivers.objects import ObjectNotFound, ObjectStore
from matinee.drivers.s3 import CompletedPart, S3Bucket
from matinee.gateway.api.problems import ChecksumMismatch, OffsetMismatch, UploadBusy, UploadNotFound
from matinee.kit import log
from matinee.kit.clock import CLOCK_SKEW, to_ms
from matinee.kit.ids import AccountId, UploadId
from matinee.kit.problem import Problem, TooLarge

LEASE_MS = 30_000
RECORD_NAME = ".upload.json"
_RENEW_INTERVAL_S = LEASE_MS / 3000
_SKEW_MS = CLOCK_SKEW // timedelta(milliseconds=1)
_SAVE_ATTEMPTS = 3
_log = log.get()


class S3UploadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The stored state of an upload.

    Parts are `part_bytes` long except the last of the file; `remainder` names the object with the bytes after them.
    `writer` has the lease until `lease_until_ms`. `is_assembled`: the parts have become the file.
    """

    account_id: AccountId
    file_name: str
    size_bytes: int
    multipart_id: str
    part_bytes: int
    touched_ms: int
    parts: tuple[CompletedPart, ...] = ()
    next_number: int = 1
    remainder: str = msgspec.field(default="", name="rest")
    remainder_bytes: int = msgspec.field(default=0, name="rest_bytes")
    writer: str = msgspec.field(default="", name="holder")
    lease_until_ms: int = msgspec.field(default=0, name="held_until_ms")
    is_assembled: bool = msgspec.field(default=False, name="assembled")

    @property
    def offset_bytes(self) -> int:
        """How many bytes are stored."""
        return min(len(self.parts) * self.part_bytes, self.size_bytes) + self.remainder_bytes


async def read_record(objects: ObjectStore, key: str, upload_id: UploadId) -> tuple[S3UploadRecord, str]:
    """Read an upload's record and its entity tag. Raises UploadNotFound."""
    try:
        data, etag = await objects.get_with_etag(key)
        return msgspec.json.decode(data, type=S3UploadRecord), etag
    except (ObjectNotFound, msgspec.DecodeError) as error:
        raise UploadNotFound(upload_id=upload_id) from error


class S3UploadWriter:
    """The current writer of an upload. `record` is the last saved state."""

    def __init__(
        self, objects: ObjectStore, bucket: S3Bucket, folder: str, record: S3UploadRecord, etag: str, now: datetime
    ) -> None:
        self._objects = objects
        self._bucket = bucket
        self._folder = folder
        self._etag = etag
        self._started_ms, self._started_s = to_ms(now), time.monotonic()
        self._id = secrets.token_hex(8)
        self._save_lock = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[CompletedPart] | None = None
        self._number = record.next_number
        # What follows the saved parts: parts that the store has, and bytes that do not fill a part.
        self._parts: list[CompletedPart] = []
        self._pending = bytearray()
        self._first_remainder = record.remainder
        self._keeps_bytes = False
        self.record = record

    async def acquire(self, upload_id: UploadId, offset_bytes: int) -> None:
        """Acquire the lease and start renewing it. Raises UploadBusy, OffsetMismatch."""
        self._upload_id = upload_id
        if self.record.writer and 0 < self.record.lease_until_ms - self._now_ms() <= LEASE_MS + _SKEW_MS:
            raise UploadBusy(upload_id=upload_id)
        if self.record.offset_bytes != offset_bytes:
            raise OffsetMismatch(offset_bytes=self.record.offset_bytes)
        if self.record.writer:  # the former writer may still be sending the part with this number
            self._number += 1
        await self._save(writer=self._id)
        self._renewing = asyncio.create_task(self._renew())

    async def write(self, pieces: AsyncIterator[bytes], checksum: tuple[str, bytes] | None) -> None:
        """Send bytes to the store as they arrive. With a checksum, either all of them are kept or none.

        Raises TooLarge, ChecksumMismatch.
        """
        remaining_bytes = self.record.size_bytes - self.record.offset_bytes
        if self.record.remainder:
            self._pending += await self._objects.get(self._folder + self.record.remainder)
        digest = hashlib.new(checksum[0]) if checksum else None
        self._keeps_bytes = digest is None
        async for piece in pieces:
            if len(piece) > remaining_bytes:
                raise TooLarge(limit_bytes=remaining_bytes)
            remaining_bytes -= len(piece)
            if digest:
                digest.update(piece)
            self._pending += piece
            while len(self._pending) >= self.record.part_bytes:
                await self._send_part(self.record.part_bytes)
        if checksum and digest and digest.digest() != checksum[1]:
            raise ChecksumMismatch
        self._keeps_bytes = True

    async def close(self) -> None:
        """Save the bytes that arrived, even if the connection broke, and release the lease."""
        if self._renewing is not None:
            self._renewing.cancel()
        try:
            if self._keeps_bytes:
                await self._save_pending()
        finally:
            if self._sending is not None:
                self._sending.cancel()
            with contextlib.suppress(Problem):  # the lease expires anyway
                await self._save(writer="")
                if self._first_remainder and self.record.remainder != self._first_remainder:
                    await self._objects.delete([self._folder + self._first_remainder])

    async def _save_pending(self) -> None:
        """Save pending bytes, as the last part of the file or as its remainder."""
        await self._finish_part()
        sent_bytes = (len(self.record.parts) + len(self._parts)) * self.record.part_bytes
        if self._pending and sent_bytes + len(self._pending) == self.record.size_bytes:
            await self._send_part(len(self._pending))
            await self._finish_part()
        if self._parts or len(self._pending) != self.record.remainder_bytes:
            remainder = f"rest-{secrets.token_hex(8)}" if self._pending else ""
            if remainder:
                await self._objects.put(self._folder + remainder, bytes(self._pending))
            await self._save_parts(remainder, len(self._pending))

    async def _send_part(self, length: int) -> None:
        """Send a part in the background, after the one before it has finished."""
        await self._finish_part()
        data = bytes(self._pending[:length])
        del self._pending[:length]
        key, multipart_id = self._folder + self.record.file_name, self.record.multipart_id
        self._sending = asyncio.create_task(self._bucket.upload_part(key, multipart_id, self._number, data))
        self._number += 1

    async def _finish_part(self) -> None:
        """Wait for the part that is being sent. After a failure the bytes that follow are not kept."""
        if self._sending is None:
            return
        try:
            self._parts.append(await asyncio.shield(self._sending))
            self._sending = None
            if self._keeps_bytes:
                await self._save_parts("", 0)
        except Exception:
            self._keeps_bytes = False
            raise

    async def _save_parts(self, remainder: str, remainder_bytes: int) -> None:
        parts = (*self.record.parts, *self._parts)
        await self._save(parts=parts, remainder=remainder, remainder_bytes=remainder_bytes)
        self._parts.clear()

    async def _save(self, **changes: Any) -> None:
        """Replace the record unless another writer has changed it. Raises UploadBusy, UploadNotFound."""
        key = self._folder + RECORD_NAME
        async with self._save_lock:
            for _ in range(_SAVE_ATTEMPTS):
                now_ms = self._now_ms()
                renewal = {"next_number": self._number, "touched_ms": now_ms, "lease_until_ms": now_ms + LEASE_MS}
                record = msgspec.structs.replace(self.record, **{**renewal, **changes})
                etag = await self._objects.put_if_match(key, msgspec.json.encode(record), self._etag)
                if etag is not None:
                    self.record, self._etag = record, etag
                    return
                # Changed by another writer, or by our own put whose response was lost.
                found, etag = await read_record(self._objects, key, self._upload_id)
                if found != record and found.writer != self._id:
                    break
                self.record, self._etag = found, etag
                if found == record:
                    return
        raise UploadBusy(upload_id=self._upload_id)

    async def _renew(self) -> None:
        """Renew the lease while bytes arrive slowly."""
        while True:
            await asyncio.sleep(_RENEW_INTERVAL_S)
            try:
                await self._save()
            except Problem as error:  # the next save in the request raises it
                _log.warning("uploads.renewal_failed", upload_id=self._upload_id, error=repr(error))

    def _now_ms(self) -> int:
        return self._started_ms + round((time.monotonic() - self._started_s) * 1000)
