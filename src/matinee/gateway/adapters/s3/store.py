"""Stores uploads in S3."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Self

import msgspec

from matinee.drivers.engine import StoreFull
from matinee.drivers.objects import ObjectHead, ObjectNotFound, ObjectStore
from matinee.drivers.s3 import BadStoreUrl, MultipartUploadNotFound, S3Bucket, S3Location
from matinee.gateway.adapters.s3.writer import RECORD_NAME, S3UploadRecord, S3UploadWriter, read_record
from matinee.gateway.api.problems import InsufficientStorage, UploadNotFound, UploadUnfinished
from matinee.gateway.model.files import sanitize_file_name
from matinee.gateway.ports import Upload
from matinee.kit.clock import from_ms, to_ms
from matinee.kit.ids import AccountId, UploadId
from matinee.kit.structs import build_from

PART_BYTES = 8 << 20
# S3 allows 10,000 parts; some numbers are left for writers that replace others.
_MAX_PARTS = 9_000
_ID = re.compile(r"upl_[0-9a-z]{26}")


class S3UploadStore:
    """Fulfils `UploadStore` below a prefix of a bucket that gateways on several machines share."""

    def __init__(self, objects: ObjectStore, bucket: S3Bucket, prefix: str, *, part_bytes: int = PART_BYTES) -> None:
        self._objects = objects
        self._bucket = bucket
        self._prefix = prefix
        self._part_bytes = part_bytes

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, *, store: str) -> AsyncIterator[Self]:
        """Open the uploads at a URL below that of the object store, from which encoding fetches them.

        Sends no request yet, because viewers do not need uploads. Raises BadStoreUrl, StoreRefused (no key).
        """
        objects = ObjectStore(store)
        prefix = S3Location.parse(url).relative_to(objects.location) if objects.location else None
        if objects.location is None or not prefix:
            raise BadStoreUrl(
                detail="gateway.uploads must be below the object store, from which the encoding workers fetch it: "
                "the URL of objects.store with `/uploads` after its bucket and prefix."
            )
        async with S3Bucket(objects.location) as bucket:
            yield cls(objects, bucket, prefix)

    async def create(
        self, *, upload_id: UploadId, account_id: AccountId, file_name: str, size_bytes: int, now: datetime
    ) -> Upload:
        name = sanitize_file_name(file_name)
        record = S3UploadRecord(
            account_id=account_id,
            file_name=name,
            size_bytes=size_bytes,
            multipart_id=await self._bucket.create_upload(self._key(upload_id, name)),
            part_bytes=max(self._part_bytes, -(-size_bytes // _MAX_PARTS)),
            touched_ms=to_ms(now),
        )
        with _translate_full(size_bytes):
            await self._objects.put_if_absent(self._key(upload_id, RECORD_NAME), msgspec.json.encode(record))
        return _to_upload(upload_id, record)

    async def find(self, *, upload_id: UploadId) -> Upload:
        record, _ = await self._read(upload_id)
        if record.is_assembled:
            await self._check_file(upload_id, record)
        return _to_upload(upload_id, record)

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
        writer = S3UploadWriter(self._objects, self._bucket, self._key(upload_id, ""), record, etag, now)
        with _translate_full(record.size_bytes - offset_bytes):
            await writer.acquire(upload_id, offset_bytes)
            try:
                await writer.write(pieces, checksum)
            finally:
                await asyncio.shield(writer.close())
        return _to_upload(upload_id, writer.record)

    async def path(self, *, upload_id: UploadId) -> str:
        record, etag = await self._read(upload_id)
        if not _to_upload(upload_id, record).is_complete:
            raise UploadUnfinished(upload_id=upload_id)
        key = self._key(upload_id, record.file_name)
        if not record.is_assembled:
            with _translate_full(record.size_bytes):
                await self._assemble(key, record)
                assembled = msgspec.json.encode(msgspec.structs.replace(record, is_assembled=True))
                await self._objects.put_if_match(self._key(upload_id, RECORD_NAME), assembled, etag)
        await self._check_file(upload_id, record)
        return key

    async def remove(self, *, upload_id: UploadId) -> None:
        if not _ID.fullmatch(upload_id):
            return
        with contextlib.suppress(UploadNotFound):
            record, _ = await self._read(upload_id)
            # By name, because a listing may not include the newest objects.
            names = (RECORD_NAME, record.file_name, record.remainder)
            await self._objects.delete([self._key(upload_id, name) for name in names if name])
            await self._bucket.abort_upload(self._key(upload_id, record.file_name), record.multipart_id)
        await self._objects.delete_prefix(self._key(upload_id, ""))

    async def expire(self, *, before: datetime) -> int:
        uploads: dict[UploadId, list[ObjectHead]] = {}
        for head in await self._objects.list_objects(self._prefix):
            if _ID.fullmatch(name := self._parse_id(head.key)):
                uploads.setdefault(UploadId(name), []).append(head)
        stale = [upload_id for upload_id, heads in uploads.items() if await self._is_stale(upload_id, heads, before)]
        for upload_id in stale:
            await self.remove(upload_id=upload_id)
        await self._abort_unrecorded(before)
        return len(stale)

    async def _read(self, upload_id: UploadId) -> tuple[S3UploadRecord, str]:
        if not _ID.fullmatch(upload_id):
            raise UploadNotFound(upload_id=upload_id)
        return await read_record(self._objects, self._key(upload_id, RECORD_NAME), upload_id)

    async def _assemble(self, key: str, record: S3UploadRecord) -> None:
        if not record.parts:
            await self._objects.put(key, b"")
            await self._bucket.abort_upload(key, record.multipart_id)
            return
        # An earlier attempt may have succeeded although its response was lost.
        with contextlib.suppress(MultipartUploadNotFound):
            await self._bucket.complete_upload(key, record.multipart_id, record.parts)

    async def _check_file(self, upload_id: UploadId, record: S3UploadRecord) -> None:
        """Check that the complete file exists. Raises UploadNotFound after encoding has taken it."""
        try:
            head = await self._objects.head(self._key(upload_id, record.file_name))
        except ObjectNotFound as error:
            raise UploadNotFound(upload_id=upload_id) from error
        if head.size_bytes != record.size_bytes:
            raise UploadNotFound(upload_id=upload_id, detail="The file in the store differs from the upload.")

    async def _is_stale(self, upload_id: UploadId, heads: list[ObjectHead], before: datetime) -> bool:
        try:
            record, _ = await self._read(upload_id)
        except UploadNotFound:  # being created or removed
            return all(head.modified_at is not None and head.modified_at < before for head in heads)
        return from_ms(record.touched_ms) < before

    async def _abort_unrecorded(self, before: datetime) -> None:
        """Abort old multipart uploads without a record, left by gateways that were killed before they wrote it."""
        for pending in await self._bucket.list_uploads(f"{self._prefix}/"):
            if pending.initiated_at < before:
                with contextlib.suppress(UploadNotFound):
                    record, _ = await self._read(UploadId(self._parse_id(pending.key)))
                    if record.multipart_id == pending.upload_id:
                        continue
                await self._bucket.abort_upload(pending.key, pending.upload_id)

    def _parse_id(self, key: str) -> str:
        return key.removeprefix(f"{self._prefix}/").partition("/")[0]

    def _key(self, upload_id: UploadId, name: str) -> str:
        return f"{self._prefix}/{upload_id}/{name}"


def _to_upload(upload_id: UploadId, record: S3UploadRecord) -> Upload:
    return build_from(record, Upload, upload_id=upload_id, touched_at=from_ms(record.touched_ms))


@contextlib.contextmanager
def _translate_full(needed_bytes: int) -> Iterator[None]:
    """Raise InsufficientStorage in place of StoreFull."""
    try:
        yield
    except StoreFull as error:
        raise InsufficientStorage(needed_bytes=needed_bytes, free_bytes=0, detail=error.detail) from error
