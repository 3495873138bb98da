"""Uploads on disk: one folder each, with the file and a small record beside it.

The length of the file is the offset of the upload. Bytes are appended and synced before they are acknowledged. After a
kill the file may have more bytes than were acknowledged; they are valid.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from matinee.gateway.api.problems import (
    ChecksumMismatch,
    InsufficientStorage,
    OffsetMismatch,
    UploadBusy,
    UploadNotFound,
    UploadUnfinished,
)
from matinee.gateway.model.files import sanitize_file_name
from matinee.gateway.ports import Upload
from matinee.kit.clock import from_ms
from matinee.kit.disk import measure_spare_bytes
from matinee.kit.ids import AccountId, UploadId
from matinee.kit.problem import TooLarge
from matinee.kit.structs import build_from

# Left free on the disk, so that uploads cannot stop playback.
SPARE_BYTES = 1 << 30
_BATCH_BYTES = 1 << 20
_RECORD_NAME = ".upload.json"
_ID = re.compile(r"upl_[0-9a-z]{26}")


class DiskUploadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored about an upload beside its file."""

    account_id: AccountId
    file_name: str
    size_bytes: int


class DiskUploadStore:
    """Fulfils `UploadStore` in a folder that several processes on one machine may share."""

    def __init__(self, root: Path, *, spare_bytes: int = SPARE_BYTES) -> None:
        self._root = root
        self._spare_bytes = spare_bytes

    async def create(
        self, *, upload_id: UploadId, account_id: AccountId, file_name: str, size_bytes: int, now: datetime
    ) -> Upload:
        record = DiskUploadRecord(account_id=account_id, file_name=sanitize_file_name(file_name), size_bytes=size_bytes)
        await asyncio.to_thread(self._create, upload_id, record, now)
        return await self.find(upload_id=upload_id)

    async def find(self, *, upload_id: UploadId) -> Upload:
        return await asyncio.to_thread(self._find, upload_id)

    async def append(
        self,
        *,
        upload_id: UploadId,
        offset_bytes: int,
        pieces: AsyncIterator[bytes],
        now: datetime,
        checksum: tuple[str, bytes] | None = None,
    ) -> Upload:
        data = await asyncio.to_thread(self._lock, upload_id, offset_bytes)
        try:
            upload = await self.find(upload_id=upload_id)
            limit_bytes = upload.size_bytes - offset_bytes
            if checksum is None:
                await self._write_pieces(pieces, data, limit_bytes)
            else:
                await self._write_verified(pieces, data, limit_bytes, checksum)
        finally:
            await asyncio.shield(asyncio.to_thread(self._close, upload_id, data, now))
        return await self.find(upload_id=upload_id)

    async def path(self, *, upload_id: UploadId) -> str:
        upload = await self.find(upload_id=upload_id)
        if not upload.is_complete:
            raise UploadUnfinished(upload_id=upload_id)
        return str(self._folder(upload_id) / upload.file_name)

    async def remove(self, *, upload_id: UploadId) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder(upload_id), ignore_errors=True)

    async def expire(self, *, before: datetime) -> int:
        return await asyncio.to_thread(self._expire, before)

    async def _write_pieces(self, pieces: AsyncIterator[bytes], data: BinaryIO, limit_bytes: int) -> None:
        """Write pieces in batches. Raises TooLarge; the bytes before the excess are kept."""
        batch = bytearray()
        try:
            async for piece in pieces:
                if len(piece) > limit_bytes:
                    raise TooLarge(limit_bytes=limit_bytes)
                limit_bytes -= len(piece)
                batch += piece
                if len(batch) >= _BATCH_BYTES:
                    await asyncio.to_thread(self._write, data, bytes(batch))
                    batch.clear()
        finally:  # keep what arrived if the connection breaks
            await asyncio.shield(asyncio.to_thread(self._write, data, bytes(batch)))

    async def _write_verified(
        self, pieces: AsyncIterator[bytes], data: BinaryIO, limit_bytes: int, checksum: tuple[str, bytes]
    ) -> None:
        """Collect pieces in a temporary file and append them if the digest matches. Raises ChecksumMismatch."""
        algorithm, digest = checksum
        with tempfile.TemporaryFile(dir=Path(data.name).parent) as temporary:
            await self._write_pieces(pieces, temporary, limit_bytes)
            temporary.seek(0)
            found = await asyncio.to_thread(hashlib.file_digest, temporary, algorithm)
            if found.digest() != digest:
                raise ChecksumMismatch
            temporary.seek(0)
            while batch := await asyncio.to_thread(temporary.read, _BATCH_BYTES):
                await asyncio.to_thread(self._write, data, batch)

    def _folder(self, upload_id: UploadId) -> Path:
        if not _ID.fullmatch(upload_id):
            raise UploadNotFound(upload_id=upload_id)
        return self._root / upload_id

    def _create(self, upload_id: UploadId, record: DiskUploadRecord, now: datetime) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        self._check_space(record.size_bytes)
        folder = self._folder(upload_id)
        try:
            folder.mkdir()
            (folder / record.file_name).touch()
            (folder / _RECORD_NAME).write_bytes(msgspec.json.encode(record))
        except OSError as error:
            raise _translate_full(error, record.size_bytes) from error
        self._touch(folder, now)

    def _find(self, upload_id: UploadId) -> Upload:
        folder = self._folder(upload_id)
        try:
            record = msgspec.json.decode((folder / _RECORD_NAME).read_bytes(), type=DiskUploadRecord)
            offset_bytes = (folder / record.file_name).stat().st_size
            touched_at = from_ms(int((folder / _RECORD_NAME).stat().st_mtime * 1000))
        except (OSError, msgspec.DecodeError) as error:  # removed, or taken by encoding
            raise UploadNotFound(upload_id=upload_id) from error
        return build_from(record, Upload, upload_id=upload_id, offset_bytes=offset_bytes, touched_at=touched_at)

    def _lock(self, upload_id: UploadId, offset_bytes: int) -> BinaryIO:
        """Open and lock the file for one writer. Raises UploadBusy, OffsetMismatch, UploadNotFound."""
        upload = self._find(upload_id)
        data = (self._folder(upload_id) / upload.file_name).open("r+b", buffering=0)
        try:
            fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if data.seek(0, os.SEEK_END) != offset_bytes:
                raise OffsetMismatch(offset_bytes=data.tell())
        except BlockingIOError as error:
            data.close()
            raise UploadBusy(upload_id=upload_id) from error
        except OffsetMismatch:
            data.close()
            raise
        return data

    def _write(self, data: BinaryIO, batch: bytes) -> None:
        if batch:
            self._check_space(len(batch))
        view = memoryview(batch)
        try:
            while view:
                view = view[data.write(view) :]
        except OSError as error:
            raise _translate_full(error, len(batch)) from error

    def _check_space(self, needed_bytes: int) -> None:
        """Raise InsufficientStorage for what does not fit beside the reserve."""
        spare_bytes = measure_spare_bytes(self._root, self._spare_bytes)
        if needed_bytes > spare_bytes:
            raise InsufficientStorage(needed_bytes=needed_bytes, free_bytes=max(0, spare_bytes))

    def _close(self, upload_id: UploadId, data: BinaryIO, now: datetime) -> None:
        with data:
            os.fsync(data)
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                self._touch(self._folder(upload_id), now)

    def _touch(self, folder: Path, now: datetime) -> None:
        os.utime(folder / _RECORD_NAME, (now.timestamp(), now.timestamp()))

    def _expire(self, before: datetime) -> int:
        stale = [folder for folder in self._list_folders() if _is_stale(folder, before)]
        for folder in stale:
            shutil.rmtree(folder, ignore_errors=True)
        return len(stale)

    def _list_folders(self) -> list[Path]:
        return [folder for folder in self._root.glob("upl_*") if _ID.fullmatch(folder.name)]


def _is_stale(folder: Path, before: datetime) -> bool:
    record = folder / _RECORD_NAME
    return (record if record.exists() else folder).stat().st_mtime < before.timestamp()


def _translate_full(error: OSError, needed_bytes: int) -> Exception:
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return error
    return InsufficientStorage(needed_bytes=needed_bytes, free_bytes=0)
