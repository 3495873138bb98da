"""The object store as `Blobs`."""

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
from matinee.encoding.model.refusals import make_no_space
from matinee.kit import url
from matinee.kit.hashing import sha256_hex

# Where masters wait that were handed in on a machine that the workers do not see.
INCOMING = "incoming/"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class ObjectBlobs:
    """Objects in a directory or in S3; in a directory, a file is moved in and read where it lies."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._root = url.file_path(objects.url) if url.scheme(objects.url) == "file" else None
        self._fetching: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def put(self, *, key: str, data: bytes) -> None:
        with self._full_said():
            await self._objects.put(key, data)

    async def put_file(self, *, key: str, path: Path, move: bool = False, held: str = "") -> None:
        with self._full_said():
            if move and self._moved(path, key):
                return
            if not (held and await self._copied(held, key)):
                await self._objects.put_file(key, path)
            if move:
                await asyncio.to_thread(self._given, path, key, held)

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
        path = into / _local_name(key)
        try:
            async with self._fetching.setdefault(path, asyncio.Lock()):
                head = await self._objects.head(key)
                if not path.is_file() or path.stat().st_size != head.size_bytes:
                    await self._fetch(head, path)
        except ObjectNotFound:
            return None
        return path

    async def free_bytes(self) -> int | None:
        if self._root is None:
            return None
        self._root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._root).free

    async def delete(self, *, prefix: str) -> None:
        await self._objects.delete_prefix(prefix)

    async def remove_unfinished(self, before: datetime) -> int:
        """Free what was begun and given up before then: unfinished puts, masters handed in for no job. Tells how many.

        Uploads are not touched, which may take their time: the gateway sees to those.
        """
        if self._root is not None:
            return 0
        freed = 0
        for prefix in (INCOMING, "assets/", "public/", "sources/"):
            freed += await self._objects.abort_stale_uploads(before=before, prefix=prefix)
        heads = await self._objects.list_objects(INCOMING)
        stale = [head.key for head in heads if head.modified_at is not None and head.modified_at < before]
        await self._objects.delete(stale)
        return freed + len(stale)

    async def _copied(self, held: str, key: str) -> bool:
        """Whether the store could copy what it holds; it is gone where a try before this one came through."""
        try:
            await self._objects.copy(held, key)
        except ObjectNotFound:
            return False
        return True

    def _given(self, path: Path, key: str, held: str) -> None:
        """A file given away; the copy of what the store holds is from now on the copy of the new object."""
        if held and path.name == _local_name(held):
            path.replace(path.with_name(_local_name(key)))
        else:
            path.unlink(missing_ok=True)

    async def _fetch(self, head: ObjectHead, path: Path) -> None:
        """Copy an object here, going on where an earlier try stopped. Its entity tag is in the name of what is begun:
        bytes of two objects never mix."""
        part = path.with_name(f"{path.stem}.{sha256_hex(head.etag.encode())[:12]}.part")
        _check_room(head, part)
        with self._full_said(), part.open("ab") as file:
            start = file.tell()
            if start > head.size_bytes:
                file.truncate(start := 0)
            if start < head.size_bytes:
                await _pour(self._objects.stream(head.key, start=start, etag=head.etag, chunk_bytes=4 << 20), file)
            if file.tell() != head.size_bytes:
                raise EngineUnavailable(engine=self._objects.engine, detail=f"{head.key} did not come whole.")
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
        """Say a full disk or bucket in the domain's words."""
        try:
            yield
        except StoreFull as error:
            free = shutil.disk_usage(self._root).free if self._root else 0
            raise make_no_space("The object store is full", 0, free) from error
        except OSError as error:
            if error.errno in _FULL:
                raise make_no_space("The disk is full", 0, 0) from error
            raise


def _check_room(head: ObjectHead, part: Path) -> None:
    """Refuse at once what this machine's disk cannot take."""
    needed = head.size_bytes - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise make_no_space("There is not enough room to work on the film", needed, free)


async def _pour(pieces: AsyncIterator[bytes], file: BinaryIO) -> None:
    async for piece in pieces:
        await asyncio.to_thread(file.write, piece)


def _local_name(key: str) -> str:
    """A file name for an object's copy: short whatever the key, with its ending."""
    return f"{sha256_hex(key.encode())[:32]}{PurePath(key).suffix}"
