"""Upload stores for the suites, on disk and in S3, and what is sent to them."""

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
WHO = ids.generate(AccountId, NOW)
PART_BYTES = 5 << 20


class Disk:
    """Uploads in a folder."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder)

    def __call__(self) -> UploadStore:
        return DiskUploadStore(Path(self.url), spare_bytes=0)

    async def content(self, path: str) -> bytes:
        return await asyncio.to_thread(Path(path).read_bytes)

    async def take(self, path: str) -> None:
        await asyncio.to_thread(Path(path).unlink)


class S3:
    """Uploads in a bucket; what is opened twice shares nothing but the connections."""

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

    async def lying(self) -> int:
        """How much lies there that is no finished file."""
        return len(await self.objects.list_objects("")) + len(await self.bucket.list_uploads(""))


Open: TypeAlias = Disk | S3


@contextlib.asynccontextmanager
async def place(engine_id: str, folder: Path) -> AsyncIterator[Open]:
    if engine_id == "disk":
        yield Disk(folder)
        return
    objects = ObjectStore(shared_engine("s3").url("uploads"))
    assert objects.location
    async with S3Bucket(objects.location) as bucket:
        yield S3(objects.url, bucket)


async def sent(*pieces: bytes, broken: bool = False) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if broken:
        raise ConnectionResetError


async def begun(store: UploadStore, size_bytes: int, name: str = "film.mp4") -> UploadId:
    upload_id = ids.generate(UploadId, NOW)
    await store.create(upload_id=upload_id, account_id=WHO, file_name=name, size_bytes=size_bytes, now=NOW)
    return upload_id


def pattern(size_bytes: int) -> bytes:
    return (b"0123456789abcdef" * (size_bytes // 16 + 1))[:size_bytes]
