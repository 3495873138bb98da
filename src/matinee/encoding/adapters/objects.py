"""The object store as `Blobs`."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matinee.drivers.objects import ObjectNotFound, Objects
from matinee.encoding.model.refusals import no_space
from matinee.kit import url

_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")


class ObjectBlobs:
    """Objects in a directory or in S3; in a directory, a file is moved in and read where it lies."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._root = url.file_path(objects.url) if objects.url.startswith("file:") else None

    async def put(self, *, key: str, data: bytes) -> None:
        with self._full_said():
            await self._objects.put(key, data)

    async def put_file(self, *, key: str, path: Path, move: bool = False) -> None:
        with self._full_said():
            if not (move and self._moved(path, key)):
                await self._objects.put_file(key, path)
                if move:
                    await asyncio.to_thread(path.unlink, missing_ok=True)

    async def get(self, *, key: str) -> bytes | None:
        try:
            return await self._objects.get(key)
        except ObjectNotFound:
            return None

    async def size(self, *, key: str) -> int | None:
        try:
            return (await self._objects.head(key)).size_bytes
        except ObjectNotFound:
            return None

    async def local(self, *, key: str, into: Path) -> Path | None:
        if self._root is not None:
            path = self._root / key
            return path if path.is_file() else None
        if (size_bytes := await self.size(key=key)) is None:
            return None
        path = into / key.replace("/", "_")
        if not path.is_file() or path.stat().st_size != size_bytes:
            await self._fetch(key, path)
        return path

    async def free_bytes(self) -> int | None:
        if self._root is None:
            return None
        self._root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._root).free

    async def delete(self, *, prefix: str) -> None:
        await self._objects.delete(prefix)

    async def _fetch(self, key: str, path: Path) -> None:
        part = path.with_name(f"{path.name}.part")
        with self._full_said(), part.open("wb") as file:
            async for piece in self._objects.stream(key):
                file.write(piece)
        part.replace(path)

    def _moved(self, path: Path, key: str) -> bool:
        """Whether the file could be renamed into the store, which only one file system allows."""
        if self._root is None:
            return False
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.replace(target)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return False
            raise
        return True

    @contextmanager
    def _full_said(self) -> Iterator[None]:
        """Say a full disk in the domain's words."""
        try:
            yield
        except Exception as error:
            if any(sign in str(error) for sign in _FULL):
                free = shutil.disk_usage(self._root).free if self._root else 0
                raise no_space("The object store is full", 0, free) from error
            raise
