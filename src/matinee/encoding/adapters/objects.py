"""`Blobs` in the object store."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePath
from typing import BinaryIO
from weakref import WeakValueDictionary

from matinee.drivers.engine import EngineUnavailable, StoreFull
from matinee.drivers.objects import ObjectHead, ObjectNotFound, ObjectStore
from matinee.encoding.api import INCOMING
from matinee.encoding.model.refusals import DISK_FULL, make_no_space
from matinee.kit import url
from matinee.kit.disk import measure_spare_bytes
from matinee.kit.hashing import sha256_hex


class ObjectBlobs:
    """Objects in a directory or in S3; a directory takes files by renaming and serves them in place."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._root = url.file_path(objects.url) if url.scheme(objects.url) == "file" else None
        self._downloads: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def put(self, *, key: str, data: bytes) -> None:
        with self._translate_full():
            await self._objects.put(key, data)

    async def put_file(self, *, key: str, path: Path, move: bool = False, copy_of: str = "") -> None:
        with self._translate_full():
            if move and self._rename(path, key):
                return
            if not (copy_of and await self._copy(copy_of, key)):
                await self._objects.put_file(key, path)
            if move:
                await asyncio.to_thread(self._give_away, path, key, copy_of)

    async def get(self, *, key: str) -> bytes | None:
        try:
            return await self._objects.get(key)
        except ObjectNotFound:
            return None

    async def get_size(self, *, key: str) -> int | None:
        try:
            return (await self._objects.head(key)).size_bytes
        except ObjectNotFound:
            return None

    async def fetch(self, *, key: str, into: Path) -> Path | None:
        if self._root is not None:
            path = self._root / key
            return path if path.is_file() else None
        path = into / _build_local_name(key)
        try:
            async with self._downloads.setdefault(path, asyncio.Lock()):
                head = await self._objects.head(key)
                if not path.is_file() or path.stat().st_size != head.size_bytes:
                    await self._download(head, path)
        except ObjectNotFound:
            return None
        return path

    async def get_free_bytes(self) -> int | None:
        if self._root is None:
            return None
        self._root.mkdir(parents=True, exist_ok=True)
        return measure_spare_bytes(self._root)

    async def delete(self, *, prefix: str) -> None:
        await self._objects.delete_prefix(prefix)

    async def remove_unfinished(self, before: datetime) -> int:
        """Delete unfinished puts and unused submitted masters from before a time, and return how many.

        Uploads by browsers are left to the gateway: they may take longer.
        """
        if self._root is not None:
            return 0
        count = 0
        for prefix in (INCOMING, "assets/", "public/", "sources/"):
            count += await self._objects.abort_stale_uploads(before=before, prefix=prefix)
        heads = await self._objects.list_objects(INCOMING)
        stale = [head.key for head in heads if head.modified_at is not None and head.modified_at < before]
        await self._objects.delete(stale)
        return count + len(stale)

    async def _copy(self, source: str, key: str) -> bool:
        """Copy within the store; return False where the source does not exist: an earlier attempt may have moved it."""
        try:
            await self._objects.copy(source, key)
        except ObjectNotFound:
            return False
        return True

    def _give_away(self, path: Path, key: str, copy_of: str) -> None:
        """Delete a stored file; a downloaded copy of the source object becomes that of the new object."""
        if copy_of and path.name == _build_local_name(copy_of):
            path.replace(path.with_name(_build_local_name(key)))
        else:
            path.unlink(missing_ok=True)

    async def _download(self, head: ObjectHead, path: Path) -> None:
        """Download an object, continuing where an earlier attempt stopped.

        The name of the unfinished file includes the entity tag, so that bytes of two objects never mix.
        """
        part = path.with_name(f"{path.stem}.{sha256_hex(head.etag.encode())[:12]}.part")
        _check_space(head, part)
        with self._translate_full(), part.open("ab") as file:
            start = file.tell()
            if start > head.size_bytes:
                file.truncate(start := 0)
            if start < head.size_bytes:
                await _write(self._objects.stream(head.key, start=start, etag=head.etag, chunk_bytes=4 << 20), file)
            if file.tell() != head.size_bytes:
                raise EngineUnavailable(
                    engine=self._objects.engine, detail=f"The download of {head.key} was incomplete."
                )
        part.replace(path)

    def _rename(self, path: Path, key: str) -> bool:
        """Rename a file into the store; return False where it is remote or on another file system."""
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
    def _translate_full(self) -> Iterator[None]:
        """Raise NoSpace for a full disk or bucket."""
        try:
            yield
        except StoreFull as error:
            free = shutil.disk_usage(self._root).free if self._root else 0
            raise make_no_space("The object store is full", 0, free) from error
        except OSError as error:
            if error.errno in DISK_FULL:
                raise make_no_space("The disk is full") from error
            raise


def _check_space(head: ObjectHead, part: Path) -> None:
    """Raise NoSpace before downloading what does not fit on this machine's disk."""
    needed = head.size_bytes - (part.stat().st_size if part.exists() else 0)
    free = measure_spare_bytes(part.parent)
    if needed > free:
        raise make_no_space("There is not enough space to work on the film", needed, free)


async def _write(pieces: AsyncIterator[bytes], file: BinaryIO) -> None:
    async for piece in pieces:
        await asyncio.to_thread(file.write, piece)


def _build_local_name(key: str) -> str:
    """Return a file name for an object's copy: short for any key, with its suffix."""
    return f"{sha256_hex(key.encode())[:32]}{PurePath(key).suffix}"
