"""Object stores by obstore: a directory or S3, the same calls. Keys are relative paths with `/`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import msgspec
import obstore
from obstore.exceptions import NotFoundError
from obstore.store import from_url

from matinee.kit.problem import Problem

_PART_BYTES = 8 << 20


class ObjectNotFound(Problem, status=404):
    """There is no such object."""

    key: str


class ObjectHead(msgspec.Struct, frozen=True):
    """An object's size and its entity tag, without quotes."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime | None = None


class Objects:
    """One store, opened from `file:///dir` or `s3://bucket/prefix`. A put is atomic: no reader sees half an object."""

    def __init__(self, url: str, **options: str) -> None:
        self.url = url
        if url.startswith("file://"):
            self._store = from_url(url, automatic_cleanup=True, mkdir=True)
        else:
            self._store = from_url(url, **options)  # type: ignore[call-overload]  # options differ by engine

    async def put(self, key: str, data: bytes) -> None:
        """Store bytes under a key, replacing what was there."""
        await obstore.put_async(self._store, key, data)

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file under a key, in parts where it is large."""
        await obstore.put_async(self._store, key, path, chunk_size=_PART_BYTES)

    async def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectNotFound."""
        try:
            result = await obstore.get_async(self._store, key)
            return bytes(await result.bytes_async())
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFound(key=key) from error

    async def stream(self, key: str, *, start: int = 0, chunk_bytes: int = 256 << 10) -> AsyncIterator[bytes]:
        """The object's bytes from `start`, in pieces. Raises ObjectNotFound."""
        try:
            result = await obstore.get_async(self._store, key, options={"range": {"offset": start}} if start else {})
            async for piece in result.stream(min_chunk_size=chunk_bytes):
                yield bytes(piece)
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFound(key=key) from error

    async def open(
        self, key: str, *, start: int = 0, chunk_bytes: int = 256 << 10
    ) -> tuple[ObjectHead, AsyncIterator[bytes]]:
        """One request for both: what the object is, and its bytes from `start`. Raises ObjectNotFound."""
        try:
            result = await obstore.get_async(self._store, key, options={"range": {"offset": start}} if start else {})
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFound(key=key) from error
        meta = result.meta
        etag = (meta["e_tag"] or f"{meta['size']:x}").strip('"')
        head = ObjectHead(key, meta["size"], etag, meta["last_modified"])
        return head, aiter(result.stream(min_chunk_size=chunk_bytes))

    async def head(self, key: str) -> ObjectHead:
        """Size and entity tag. Raises ObjectNotFound."""
        try:
            meta = await obstore.head_async(self._store, key)
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFound(key=key) from error
        return ObjectHead(key, meta["size"], (meta["e_tag"] or f"{meta['size']:x}").strip('"'))

    async def keys(self, prefix: str) -> list[ObjectHead]:
        """Every object below a prefix."""
        found: list[ObjectHead] = []
        async for batch in obstore.list(self._store, prefix=prefix):
            found += [ObjectHead(m["path"], m["size"], (m["e_tag"] or "").strip('"')) for m in batch]
        return found

    async def delete(self, prefix: str) -> None:
        """Drop every object below a prefix. Idempotent."""
        if doomed := [head.key for head in await self.keys(prefix)]:
            await obstore.delete_async(self._store, doomed)
