"""Uploads in S3: each a multipart upload of its own, so that any gateway can take the next piece.

A record beside the file says which parts are there, who writes and until when. It is only ever replaced where it is
still what the writer read (a conditional put), so it moves by one writer at a time; a part or a rest counts when the
record names it, and not before. What does not fill a part yet lies beside as a rest. The record is saved after each
part and before anything is acknowledged: a kill at any instant leaves at most bytes that no record names, which the
completed file does not hold and which `expire` and S3 sweep away.

A writer that is not heard of for `LEASE_MS` is taken over. Should it still be alive, it finds the record changed at its
next save and stops; what it has under way goes to a part number that nobody else uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any, Self

import msgspec

from matinee.drivers.engine import StoreFull
from matinee.drivers.objects import ObjectHead, ObjectNotFound, ObjectStore
from matinee.drivers.s3 import BadStoreUrl, CompletedPart, MultipartUploadNotFound, S3Bucket, S3Location
from matinee.gateway.api.problems import (
    ChecksumMismatch,
    NoRoom,
    OffsetMismatch,
    UploadBusy,
    UploadNotFound,
    UploadUnfinished,
)
from matinee.gateway.model.files import file_name as safe_name
from matinee.gateway.ports import Upload
from matinee.kit import log
from matinee.kit.clock import from_ms
from matinee.kit.ids import AccountId, UploadId
from matinee.kit.problem import Problem, TooLarge

RECORD = ".upload.json"
LEASE_MS = 30_000
_RENEW_S = LEASE_MS / 3000
PART_BYTES = 8 << 20
# S3 takes 10,000 parts; some numbers are left for writers that were taken over.
_MOST_PARTS = 9_000
_TRIES = 3
_ID = re.compile(r"upl_[0-9a-z]{26}")
_log = log.get()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """How an upload stands. Parts are `part_bytes` long each but for the file's last; `rest` names what follows them.

    `holder` writes until `held_until_ms`; `assembled`: the parts have become the file.
    """

    account_id: AccountId
    file_name: str
    size_bytes: int
    multipart_id: str
    part_bytes: int
    touched_ms: int
    parts: tuple[CompletedPart, ...] = ()
    next_number: int = 1
    rest: str = ""
    rest_bytes: int = 0
    holder: str = ""
    held_until_ms: int = 0
    assembled: bool = False

    @property
    def offset_bytes(self) -> int:
        """How many bytes are here."""
        return min(len(self.parts) * self.part_bytes, self.size_bytes) + self.rest_bytes


class S3UploadStore:
    """Fulfils `UploadStore` below a prefix of a bucket that gateways of several machines share."""

    def __init__(self, objects: ObjectStore, bucket: S3Bucket, prefix: str, *, part_bytes: int = PART_BYTES) -> None:
        self._objects = objects
        self._bucket = bucket
        self._prefix = prefix
        self._part_bytes = part_bytes

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, *, store: str) -> AsyncIterator[Self]:
        """Open the uploads at a URL below that of the object store, where encoding takes them from.

        Asks nothing of the store yet: viewers need none of it. Raises BadStoreUrl, StoreRefused where there is no key.
        """
        objects = ObjectStore(store)
        prefix = S3Location.parse(url).relative_to(objects.location) if objects.location else None
        if objects.location is None or not prefix:
            raise BadStoreUrl(
                detail="Uploads in S3 lie below the object store, whose workers fetch them: "
                "gateway.uploads is the URL of objects.store with `/uploads` after its bucket and prefix."
            )
        async with S3Bucket(objects.location) as bucket:
            yield cls(objects, bucket, prefix)

    async def create(
        self, *, upload_id: UploadId, account_id: AccountId, file_name: str, size_bytes: int, now: datetime
    ) -> Upload:
        name = safe_name(file_name)
        record = Record(
            account_id=account_id,
            file_name=name,
            size_bytes=size_bytes,
            multipart_id=await self._bucket.create_upload(self._key(upload_id, name)),
            part_bytes=max(self._part_bytes, -(-size_bytes // _MOST_PARTS)),
            touched_ms=_ms(now),
        )
        with _full_said(size_bytes):
            await self._objects.put_if_absent(self._key(upload_id, RECORD), msgspec.json.encode(record))
        return _upload(upload_id, record)

    async def find(self, *, upload_id: UploadId) -> Upload:
        record, _ = await self._read(upload_id)
        if record.assembled:
            await self._lying(upload_id, record)
        return _upload(upload_id, record)

    async def append(
        self,
        *,
        upload_id: UploadId,
        offset_bytes: int,
        pieces: AsyncIterator[bytes],
        now: datetime,
        checksum: tuple[str, bytes] | None = None,
    ) -> Upload:
        record, etag = await self._read(upload_id)
        writer = Writer(self._objects, self._bucket, self._key(upload_id, ""), record, etag, now)
        with _full_said(record.size_bytes - offset_bytes):
            await writer.take(upload_id, offset_bytes)
            try:
                await writer.pour(pieces, checksum)
            finally:
                await asyncio.shield(writer.finish())
        return _upload(upload_id, writer.record)

    async def path(self, *, upload_id: UploadId) -> str:
        record, etag = await self._read(upload_id)
        if not _upload(upload_id, record).complete:
            raise UploadUnfinished(upload_id=upload_id)
        key = self._key(upload_id, record.file_name)
        if not record.assembled:
            with _full_said(record.size_bytes):
                await self._assemble(key, record)
                assembled = msgspec.structs.replace(record, assembled=True)
                await self._objects.put_if_match(self._key(upload_id, RECORD), msgspec.json.encode(assembled), etag)
        await self._lying(upload_id, record)
        return key

    async def remove(self, *, upload_id: UploadId) -> None:
        if not _ID.fullmatch(upload_id):
            return
        with contextlib.suppress(UploadNotFound):
            record, _ = await self._read(upload_id)
            # By name: a listing may not show yet what was put a moment ago.
            keys = [self._key(upload_id, name) for name in (RECORD, record.file_name, record.rest) if name]
            await self._objects.delete(keys)
            await self._bucket.abort_upload(self._key(upload_id, record.file_name), record.multipart_id)
        await self._objects.delete_prefix(self._key(upload_id, ""))

    async def expire(self, *, before: datetime) -> int:
        found: dict[UploadId, list[ObjectHead]] = {}
        for head in await self._objects.list_objects(self._prefix):
            name = head.key.removeprefix(f"{self._prefix}/").partition("/")[0]
            if _ID.fullmatch(name):
                found.setdefault(UploadId(name), []).append(head)
        stale = [upload_id for upload_id, heads in found.items() if await self._stale(upload_id, heads, before)]
        for upload_id in stale:
            await self.remove(upload_id=upload_id)
        await self._abort_nameless(before)
        return len(stale)

    async def _read(self, upload_id: UploadId) -> tuple[Record, str]:
        if not _ID.fullmatch(upload_id):
            raise UploadNotFound(upload_id=upload_id)
        return await _read(self._objects, self._key(upload_id, RECORD), upload_id)

    async def _assemble(self, key: str, record: Record) -> None:
        """Make the file of its parts. An earlier try may have come through without our hearing of it."""
        if not record.parts:
            await self._objects.put(key, b"")
            await self._bucket.abort_upload(key, record.multipart_id)
            return
        with contextlib.suppress(MultipartUploadNotFound):
            await self._bucket.complete_upload(key, record.multipart_id, record.parts)

    async def _lying(self, upload_id: UploadId, record: Record) -> None:
        """Make sure that the file is there, whole. Raises UploadNotFound once it went on to encoding."""
        try:
            head = await self._objects.head(self._key(upload_id, record.file_name))
        except ObjectNotFound as error:
            raise UploadNotFound(upload_id=upload_id) from error
        if head.size_bytes != record.size_bytes:
            raise UploadNotFound(upload_id=upload_id, detail="The store holds another file than was uploaded.")

    async def _stale(self, upload_id: UploadId, heads: list[ObjectHead], before: datetime) -> bool:
        try:
            record, _ = await self._read(upload_id)
        except UploadNotFound:  # never finished being made, or being removed
            return all(head.modified_at is not None and head.modified_at < before for head in heads)
        return from_ms(record.touched_ms) < before

    async def _abort_nameless(self, before: datetime) -> None:
        """Abort old multipart uploads that no record names: their gateway was killed before it could write one."""
        for unfinished in await self._bucket.list_uploads(f"{self._prefix}/"):
            name = unfinished.key.removeprefix(f"{self._prefix}/").partition("/")[0]
            if unfinished.initiated_at < before:
                with contextlib.suppress(UploadNotFound):
                    if (await self._read(UploadId(name)))[0].multipart_id == unfinished.upload_id:
                        continue
                await self._bucket.abort_upload(unfinished.key, unfinished.upload_id)

    def _key(self, upload_id: UploadId, name: str) -> str:
        return f"{self._prefix}/{upload_id}/{name}"


class Writer:
    """Whoever may write to an upload for now. `record` is how it stands, as last saved."""

    def __init__(
        self, objects: ObjectStore, bucket: S3Bucket, folder: str, record: Record, etag: str, now: datetime
    ) -> None:
        self._objects = objects
        self._bucket = bucket
        self._folder = folder
        self._etag = etag
        self._began_ms, self._began_s = _ms(now), time.monotonic()
        self._me = secrets.token_hex(8)
        self._saving = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[CompletedPart] | None = None
        self._number = record.next_number
        # What follows the saved parts: parts that the store has, bytes that are not a part yet.
        self._parts: list[CompletedPart] = []
        self._pending = bytearray()
        self._first_rest = record.rest
        self._counts = False
        self.record = record

    async def take(self, upload_id: UploadId, offset_bytes: int) -> None:
        """Become the one who writes. Raises UploadBusy, OffsetMismatch."""
        self._upload_id = upload_id
        if self.record.holder and self._now_ms() < self.record.held_until_ms:
            raise UploadBusy(upload_id=upload_id)
        if self.record.offset_bytes != offset_bytes:
            raise OffsetMismatch(offset_bytes=self.record.offset_bytes)
        if self.record.holder:  # who never let go may still be sending the part of the next number
            self._number += 1
        await self._save(holder=self._me)
        self._renewing = asyncio.create_task(self._renew())

    async def pour(self, pieces: AsyncIterator[bytes], checksum: tuple[str, bytes] | None) -> None:
        """Send on what comes. A piece too many is refused and the rest counts; with a checksum, all or nothing does."""
        room_bytes = self.record.size_bytes - self.record.offset_bytes
        if self.record.rest:
            self._pending += await self._objects.get(self._folder + self.record.rest)
        digest = hashlib.new(checksum[0]) if checksum else None
        self._counts = digest is None
        async for piece in pieces:
            room_bytes -= len(piece)
            if room_bytes < 0:
                raise TooLarge(limit_bytes=room_bytes + len(piece))
            if digest:
                digest.update(piece)
            self._pending += piece
            while len(self._pending) >= self.record.part_bytes:
                await self._send(self.record.part_bytes)
        if checksum and digest and digest.digest() != checksum[1]:
            raise ChecksumMismatch
        self._counts = True

    async def finish(self) -> None:
        """Save what counts of what came, also when the connection broke: it need not be sent again. Then let go."""
        if self._renewing is not None:
            self._renewing.cancel()
        try:
            if self._counts:
                await self._keep()
        finally:
            if self._sending is not None:
                self._sending.cancel()
            with contextlib.suppress(Problem):  # who cannot say so lets go when the lease ends
                await self._save(holder="")
                if self._first_rest and self.record.rest != self._first_rest:
                    await self._objects.delete([self._folder + self._first_rest])

    async def _keep(self) -> None:
        """Make what is pending the file's last part, or a rest beside it."""
        await self._settle()
        stands_bytes = (len(self.record.parts) + len(self._parts)) * self.record.part_bytes
        if self._pending and stands_bytes + len(self._pending) == self.record.size_bytes:
            await self._send(len(self._pending))
            await self._settle()
        if self._parts or len(self._pending) != self.record.rest_bytes:
            rest = f"rest-{secrets.token_hex(8)}" if self._pending else ""
            if rest:
                await self._objects.put(self._folder + rest, bytes(self._pending))
            await self._count(rest, len(self._pending))

    async def _send(self, length: int) -> None:
        """Send a part while the next one comes in."""
        await self._settle()
        data = bytes(self._pending[:length])
        del self._pending[:length]
        key, multipart_id = self._folder + self.record.file_name, self.record.multipart_id
        self._sending = asyncio.create_task(self._bucket.upload_part(key, multipart_id, self._number, data))
        self._number += 1

    async def _settle(self) -> None:
        """Wait for the part under way. What fails here makes everything after it count for nothing."""
        if self._sending is None:
            return
        try:
            self._parts.append(await asyncio.shield(self._sending))
            self._sending = None
            if self._counts:
                await self._count("", 0)
        except Exception:
            self._counts = False
            raise

    async def _count(self, rest: str, rest_bytes: int) -> None:
        await self._save(parts=(*self.record.parts, *self._parts), rest=rest, rest_bytes=rest_bytes)
        self._parts.clear()

    async def _save(self, **changes: Any) -> None:
        """Replace the record, so long as nobody else did. Raises UploadBusy, UploadNotFound."""
        key = self._folder + RECORD
        async with self._saving:
            for _ in range(_TRIES):
                now_ms = self._now_ms()
                wanted = {"next_number": self._number, "touched_ms": now_ms, "held_until_ms": now_ms + LEASE_MS}
                record = msgspec.structs.replace(self.record, **{**wanted, **changes})
                etag = await self._objects.put_if_match(key, msgspec.json.encode(record), self._etag)
                if etag is not None:
                    self.record, self._etag = record, etag
                    return
                # Somebody else's, or our own of which we did not hear that it came through.
                found, etag = await _read(self._objects, key, self._upload_id)
                if found != record and found.holder != self._me:
                    break
                self.record, self._etag = found, etag
                if found == record:
                    return
        raise UploadBusy(upload_id=self._upload_id)

    async def _renew(self) -> None:
        """Keep hold of the upload while its bytes come slowly."""
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                await self._save()
            except Problem as error:  # the next save says so to whoever sends
                _log.warning("uploads.not_renewed", upload_id=self._upload_id, error=repr(error))

    def _now_ms(self) -> int:
        return self._began_ms + round((time.monotonic() - self._began_s) * 1000)


async def _read(objects: ObjectStore, key: str, upload_id: UploadId) -> tuple[Record, str]:
    """An upload's record and its entity tag. Raises UploadNotFound."""
    try:
        data, etag = await objects.get_with_etag(key)
        return msgspec.json.decode(data, type=Record), etag
    except (ObjectNotFound, msgspec.DecodeError) as error:
        raise UploadNotFound(upload_id=upload_id) from error


def _upload(upload_id: UploadId, record: Record) -> Upload:
    return Upload(
        upload_id=upload_id,
        account_id=record.account_id,
        file_name=record.file_name,
        size_bytes=record.size_bytes,
        offset_bytes=record.offset_bytes,
        touched_at=from_ms(record.touched_ms),
    )


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


@contextlib.contextmanager
def _full_said(needed_bytes: int) -> Iterator[None]:
    """Say a full store in the gateway's words."""
    try:
        yield
    except StoreFull as error:
        raise NoRoom(needed_bytes=needed_bytes, free_bytes=0, detail=error.detail) from error
