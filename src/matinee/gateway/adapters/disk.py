"""Uploads on a disk: a folder each, with the bytes under their own name and a small record beside them.

The bytes are the truth: an upload stands at its file's length. A piece is appended and synced before it is
acknowledged, so a kill at any instant leaves at most bytes that nobody was promised, and those count.
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
    NoRoom,
    OffsetMismatch,
    UploadBusy,
    UploadNotFound,
    UploadUnfinished,
)
from matinee.gateway.model.files import file_name as safe_name
from matinee.gateway.ports import Upload
from matinee.kit.clock import from_ms
from matinee.kit.ids import AccountId, UploadId
from matinee.kit.problem import TooLarge

RECORD = ".upload.json"
# Left free for everything else that lives on this disk: playback goes on when uploads stop.
SPARE_BYTES = 1 << 30
_BATCH_BYTES = 1 << 20
_ID = re.compile(r"upl_[0-9a-z]{26}")


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    file_name: str
    size_bytes: int


class DiskUploadStore:
    """Fulfils `UploadStore` in a folder that several processes of one machine may share."""

    def __init__(self, root: Path, *, spare_bytes: int = SPARE_BYTES) -> None:
        self._root = root
        self._spare_bytes = spare_bytes

    async def create(
        self, *, upload_id: UploadId, account_id: AccountId, file_name: str, size_bytes: int, now: datetime
    ) -> Upload:
        record = _Record(account_id=account_id, file_name=safe_name(file_name), size_bytes=size_bytes)
        await asyncio.to_thread(self._make, upload_id, record, now)
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
        data = await asyncio.to_thread(self._begin, upload_id, offset_bytes)
        try:
            upload = await self.find(upload_id=upload_id)
            room_bytes = upload.size_bytes - offset_bytes
            if checksum is None:
                await self._pour(pieces, data, room_bytes)
            else:
                await self._checked(pieces, data, room_bytes, checksum)
        finally:
            await asyncio.shield(asyncio.to_thread(self._end, upload_id, data, now))
        return await self.find(upload_id=upload_id)

    async def path(self, *, upload_id: UploadId) -> str:
        upload = await self.find(upload_id=upload_id)
        if not upload.complete:
            raise UploadUnfinished(upload_id=upload_id)
        return str(self._folder(upload_id) / upload.file_name)

    async def remove(self, *, upload_id: UploadId) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder(upload_id), ignore_errors=True)

    async def expire(self, *, before: datetime) -> int:
        return await asyncio.to_thread(self._expire, before)

    async def _pour(self, pieces: AsyncIterator[bytes], data: BinaryIO, room_bytes: int) -> None:
        """Write what comes, in batches. A piece too many is refused and the rest stays."""
        batch = bytearray()
        try:
            async for piece in pieces:
                room_bytes -= len(piece)
                if room_bytes < 0:
                    raise TooLarge(limit_bytes=room_bytes + len(piece))
                batch += piece
                if len(batch) >= _BATCH_BYTES:
                    await asyncio.to_thread(self._write, data, bytes(batch))
                    batch.clear()
        finally:  # also when the connection broke: what arrived need not be sent again
            await asyncio.shield(asyncio.to_thread(self._write, data, bytes(batch)))

    async def _checked(
        self, pieces: AsyncIterator[bytes], data: BinaryIO, room_bytes: int, checksum: tuple[str, bytes]
    ) -> None:
        """Gather beside the data, and only when the digest agrees add it."""
        algorithm, digest = checksum
        with tempfile.TemporaryFile(dir=Path(data.name).parent) as aside:
            await self._pour(pieces, aside, room_bytes)
            aside.seek(0)
            found = await asyncio.to_thread(hashlib.file_digest, aside, algorithm)
            if found.digest() != digest:
                raise ChecksumMismatch
            aside.seek(0)
            while batch := await asyncio.to_thread(aside.read, _BATCH_BYTES):
                await asyncio.to_thread(self._write, data, batch)

    def _folder(self, upload_id: UploadId) -> Path:
        if not _ID.fullmatch(upload_id):
            raise UploadNotFound(upload_id=upload_id)
        return self._root / upload_id

    def _make(self, upload_id: UploadId, record: _Record, now: datetime) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(self._root).free
        if record.size_bytes + self._spare_bytes > free_bytes:
            raise NoRoom(needed_bytes=record.size_bytes, free_bytes=max(0, free_bytes - self._spare_bytes))
        folder = self._folder(upload_id)
        try:
            folder.mkdir()
            (folder / record.file_name).touch()
            (folder / RECORD).write_bytes(msgspec.json.encode(record))
        except OSError as error:
            raise self._full(error, record.size_bytes) from error
        self._touch(folder, now)

    def _find(self, upload_id: UploadId) -> Upload:
        folder = self._folder(upload_id)
        try:
            record = msgspec.json.decode((folder / RECORD).read_bytes(), type=_Record)
            offset_bytes = (folder / record.file_name).stat().st_size
            touched_at = from_ms(int((folder / RECORD).stat().st_mtime * 1000))
        except (OSError, msgspec.DecodeError) as error:  # never there, given up, or moved on to encoding
            raise UploadNotFound(upload_id=upload_id) from error
        return Upload(
            upload_id=upload_id,
            account_id=record.account_id,
            file_name=record.file_name,
            size_bytes=record.size_bytes,
            offset_bytes=offset_bytes,
            touched_at=touched_at,
        )

    def _begin(self, upload_id: UploadId, offset_bytes: int) -> BinaryIO:
        """The data, held for one writer of any process and standing where the client believes."""
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
        free_bytes = shutil.disk_usage(self._root).free
        if batch and free_bytes < self._spare_bytes + len(batch):
            raise NoRoom(needed_bytes=len(batch), free_bytes=max(0, free_bytes - self._spare_bytes))
        view = memoryview(batch)
        try:
            while view:
                view = view[data.write(view) :]
        except OSError as error:
            raise self._full(error, len(batch)) from error

    def _end(self, upload_id: UploadId, data: BinaryIO, now: datetime) -> None:
        with data:
            os.fsync(data)
            with contextlib.suppress(FileNotFoundError):  # given up meanwhile
                self._touch(self._folder(upload_id), now)

    def _touch(self, folder: Path, now: datetime) -> None:
        os.utime(folder / RECORD, (now.timestamp(), now.timestamp()))

    def _expire(self, before: datetime) -> int:
        stale = [folder for folder in self._folders() if self._stale(folder, before)]
        for folder in stale:
            shutil.rmtree(folder, ignore_errors=True)
        return len(stale)

    def _folders(self) -> list[Path]:
        return [folder for folder in self._root.glob("upl_*") if _ID.fullmatch(folder.name)]

    def _stale(self, folder: Path, before: datetime) -> bool:
        mark = folder / RECORD
        return (mark if mark.exists() else folder).stat().st_mtime < before.timestamp()

    def _full(self, error: OSError, needed_bytes: int) -> Exception:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            return error
        return NoRoom(needed_bytes=needed_bytes, free_bytes=0)
