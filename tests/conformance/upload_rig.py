"""Upload stores on disk and in S3, and the bytes sent to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from tests.engines import shared_engine

from matinee.drivers.objects import ObjectStore
from matinee.drivers.s3 import S3Bucket
from matinee.gateway.adapters.disk import DiskUploadStore
from matinee.gateway.adapters.s3 import S3UploadStore
from matinee.gateway.ports import UploadStore
from matinee.kit import ids
from matinee.kit.ids import AccountId, UploadId

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ACCOUNT = ids.generate(AccountId, NOW)
PART_BYTES = 5 << 20


class DiskUploads:
    """Opens stores on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder)

    def __call__(self) -> UploadStore:
        return DiskUploadStore(Path(self.url), spare_bytes=0)

    async def content(self, path: str) -> bytes:
        return await asyncio.to_thread(Path(path).read_bytes)

    async def take(self, path: str) -> None:
        await asyncio.to_thread(Path(path).unlink)


class S3Uploads:
    """Opens stores on the same bucket, which share only their connections."""

    def __init__(self, url: str, bucket: S3Bucket) -> None:
        self.url = url
        self.bucket = bucket
        self.objects = ObjectStore(url)

    def __call__(self) -> UploadStore:
        return S3UploadStore(ObjectStore(self.url), self.bucket, "uploads", part_bytes=PART_BYTES)

    async def content(self, path: str) -> bytes:
        return await self.objects.get(path)

    async def take(self, path: str) -> None:
        await self.objects.delete([path])

    async def count_leftovers(self) -> int:
        """Count objects and unfinished multipart uploads."""
        return len(await self.objects.list_objects("")) + len(await self.bucket.list_uploads(""))


Uploads: TypeAlias = DiskUploads | S3Uploads


@contextlib.asynccontextmanager
async def open_stores(engine_id: str, folder: Path) -> AsyncIterator[Uploads]:
    if engine_id == "disk":
        yield DiskUploads(folder)
        return
    objects = ObjectStore(shared_engine("s3").url("uploads"))
    assert objects.location
    async with S3Bucket(objects.location) as bucket:
        yield S3Uploads(objects.url, bucket)


async def stream(*pieces: bytes, broken: bool = False) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if broken:
        raise ConnectionResetError


async def begin_upload(store: UploadStore, size_bytes: int, name: str = "film.mp4") -> UploadId:
    upload_id = ids.generate(UploadId, NOW)
    await store.create(upload_id=upload_id, account_id=ACCOUNT, file_name=name, size_bytes=size_bytes, now=NOW)
    return upload_id


def pattern(size_bytes: int) -> bytes:
    return (b"0123456789abcdef" * (size_bytes // 16 + 1))[:size_bytes]
