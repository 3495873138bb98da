"""Object stores by obstore: a directory or S3 behind the same methods. Keys are relative paths with `/`.

A put is atomic: a reader never gets half an object. On S3 the request signature covers the SHA-256 of every body, and
each object stores its SHA-256 as a checksum (`checksum=none` in the URL leaves it out, for stores without support). A
file that is put in parts is also compared with the size of the stored object.
Listings may be stale. Only `delete_prefix` and `abort_stale_uploads` depend on them; the next call deletes what an
earlier one has missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import html
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import LocalStore, S3Store

from matinee.drivers import s3
from matinee.drivers.engine import (
    EngineReadOnly,
    EngineUnavailable,
    StoreEmpty,
    StoreFull,
    describe_engine,
    to_operation,
)
from matinee.drivers.s3 import BadStoreUrl, BucketMissing, CompletedPart, S3Bucket, S3Location, StoreRefused
from matinee.kit import url as urls
from matinee.kit.context import traced
from matinee.kit.problem import Problem

_PART_BYTES = 8 << 20
_MAX_PARTS = 9_000
_PARALLEL_PARTS = 4
# For requests that a store may answer after minutes: copies, and the completion of large puts.
_SLOW_TIMEOUT_S = 300.0
# S3 copies at most 5 GiB in one request; larger objects are copied in parts.
COPY_BYTES = 5 << 30
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>(?:<Message>([^<]*))?")
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")
# Besides its own errors obstore raises built-in ones: for missing files, invalid keys and unsupported operations.
_ERRORS = (BaseError, OSError, ValueError, NotImplementedError)
_MISSING = (NotFoundError, FileNotFoundError)
# A key that is never stored: a response of "not found" proves that the store answers and accepts the credentials.
_PROBE_KEY = ".matinee/nothing"
# A response to HEAD has no body, and so no code.
_NO_SUCH_KEY = {"", "NoSuchKey"}
_NOT_MATCHED = {*_NO_SUCH_KEY, "PreconditionFailed", "ConditionalRequestConflict"}
_Store: TypeAlias = LocalStore | S3Store


class ObjectNotFound(Problem, status=404):
    """There is no such object."""

    key: str


class ObjectDamaged(Problem, status=500):
    """A stored object differs from what was put."""

    key: str


class ObjectHead(msgspec.Struct, frozen=True):
    """The metadata of an object. The entity tag is without quotes."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime | None = None


class ObjectStore:
    """A store at `file:///dir` or `s3://…` (see `drivers.s3`). The constructor sends no request.

    `idle_timeout_s`: how long the store may send nothing; `attempts`: how often a repeatable request is sent.
    `location` is None for a directory. Methods raise EngineUnavailable, StoreFull, StoreRefused and BucketMissing; the
    constructor raises BadStoreUrl.
    """

    def __init__(
        self, url: str, *, idle_timeout_s: float = 15.0, attempts: int = 4, copy_bytes: int = COPY_BYTES
    ) -> None:
        self.url = url
        self.location = S3Location.parse(url) if urls.scheme(url) == "s3" else None
        self._described = describe_engine(url)
        self._copy_bytes = copy_bytes
        self._store = self._build(idle_timeout_s, attempts)
        self._slow_store = self._build(max(idle_timeout_s, _SLOW_TIMEOUT_S), attempts)

    def _build(self, idle_timeout_s: float, attempts: int) -> _Store:
        if self.location is not None:
            return s3.build_store(self.location, idle_timeout_s, attempts)
        if urls.scheme(self.url) == "file":
            return LocalStore(urls.file_path(self.url), automatic_cleanup=True, mkdir=True)
        raise BadStoreUrl(detail=f"{urls.mask(self.url)!r} is no object store: use file:///… or s3://….")

    @property
    def engine(self) -> str:
        """The store for display, without the secret."""
        return self._described

    async def check(self) -> None:
        """Check the store by a small read. Raises EngineUnavailable, EngineReadOnly, StoreFull, StoreEmpty."""
        if self.location is None:
            return await asyncio.to_thread(self._check_directory)
        try:
            await self._probe()
        except BucketMissing as error:
            raise StoreEmpty(store=self.engine, detail=str(error)) from error
        except StoreRefused as error:
            raise EngineUnavailable(engine=self.engine, detail=str(error)) from error

    async def ensure_bucket(self) -> None:
        """Check the access to the bucket, and create the bucket if it is missing."""
        if self.location is None:
            return
        try:
            await self._probe()
        except BucketMissing:
            async with S3Bucket(self.location) as bucket:
                await bucket.create()

    async def put(self, key: str, data: bytes) -> str:
        """Store an object, replacing an existing one, and return its entity tag."""
        with self._translate_errors("PutObject", key):
            return _unquote((await obstore.put_async(self._store, key, data, use_multipart=False))["e_tag"])

    async def put_if_absent(self, key: str, data: bytes) -> str | None:
        """Store an object under an unused key and return its entity tag; return None if the key is in use."""
        with self._translate_errors("PutObject", key):
            try:
                return _unquote((await obstore.put_async(self._store, key, data, mode="create"))["e_tag"])
            except AlreadyExistsError:
                return None

    async def put_if_match(self, key: str, data: bytes, etag: str) -> str | None:
        """Replace an object that has this entity tag and return the new tag; return None if it has another tag."""
        if self.location is None:
            return await asyncio.to_thread(self._put_file_if_match, key, data, etag)
        with self._translate_errors("PutObject", key):
            try:
                result = await obstore.put_async(self._store, key, data, mode={"e_tag": f'"{etag}"'})
            except (AlreadyExistsError, PreconditionError, *_MISSING) as error:
                if _get_error_code(error) not in _NOT_MATCHED:
                    raise
                return None
            return _unquote(result["e_tag"])

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file, a large one in parallel parts. Raises ObjectDamaged.

        An interrupted call leaves no object; `abort_stale_uploads` frees the parts it has stored.
        """
        size_bytes = (await asyncio.to_thread(path.stat)).st_size
        part_bytes = max(_PART_BYTES, -(-size_bytes // _MAX_PARTS))
        store = self._slow_store if size_bytes > part_bytes else self._store
        with self._translate_errors("PutObject", key):
            await obstore.put_async(store, key, path, chunk_size=part_bytes, max_concurrency=_PARALLEL_PARTS)
        if self.location is None or size_bytes <= part_bytes:
            return
        if (stored_bytes := (await self.head(key)).size_bytes) != size_bytes:
            detail = f"{key!r} was put with {size_bytes} bytes and is stored with {stored_bytes}."
            raise ObjectDamaged(key=key, detail=detail)

    async def copy(self, source: str, key: str) -> None:
        """Copy an object to another key inside the store. Raises ObjectNotFound."""
        size_bytes = (await self.head(source)).size_bytes
        if source == key:
            return  # S3 refuses to copy an object onto itself
        if self.location is not None and size_bytes > self._copy_bytes:
            await self._copy_in_parts(self.location, source, key, size_bytes)
            return
        with self._translate_errors("CopyObject", source):
            await obstore.copy_async(self._slow_store, source, key)

    async def get(self, key: str) -> bytes:
        """Read an object. Raises ObjectNotFound."""
        return (await self.get_with_etag(key))[0]

    async def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """Read an object and its entity tag. Raises ObjectNotFound."""
        with self._translate_errors("GetObject", key):
            result = await obstore.get_async(self._store, key)
            return bytes(await result.bytes_async()), _unquote(result.meta["e_tag"])

    async def stream(
        self, key: str, *, start: int = 0, etag: str = "", chunk_bytes: int = 256 << 10
    ) -> AsyncIterator[bytes]:
        """Yield an object's bytes from `start`. Raises ObjectNotFound, also if the object does not have `etag`."""
        _, chunks = await self.open(key, start=start, etag=etag, chunk_bytes=chunk_bytes)
        async for chunk in chunks:
            yield chunk

    async def open(
        self, key: str, *, start: int = 0, etag: str = "", chunk_bytes: int = 256 << 10
    ) -> tuple[ObjectHead, AsyncIterator[bytes]]:
        """Return an object's metadata and its bytes from `start`, by one request.

        A broken connection is resumed where it stopped. Raises ObjectNotFound, also if the object does not have `etag`.
        """
        options: dict[str, object] = {"range": {"offset": start}} if start else {}
        if etag:
            options["if_match"] = f'"{etag}"'
        with self._translate_errors("GetObject", key):
            try:
                result = await obstore.get_async(self._store, key, options=options)  # type: ignore[arg-type]
            except PreconditionError as error:
                raise ObjectNotFound(key=key) from error
        return _to_head(result.meta, key), self._iterate(key, result.stream(min_chunk_size=chunk_bytes))

    async def head(self, key: str) -> ObjectHead:
        """Read an object's metadata. Raises ObjectNotFound."""
        with self._translate_errors("HeadObject", key):
            return _to_head(await obstore.head_async(self._store, key), key)

    async def list_objects(self, prefix: str) -> list[ObjectHead]:
        """List the objects below a prefix. The listing may be stale."""
        found: list[ObjectHead] = []
        with self._translate_errors("ListObjects", prefix):
            async for batch in obstore.list(self._store, prefix=prefix):
                found += [_to_head(meta, meta["path"]) for meta in batch]
        return found

    async def delete_prefix(self, prefix: str) -> None:
        """Delete the objects below a prefix, and the object that has the prefix as its key. Idempotent."""
        keys = [head.key for head in await self.list_objects(prefix)]
        if prefix and not prefix.endswith("/") and prefix not in keys:
            keys.append(prefix)
        await self.delete(keys)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, in batches. Idempotent."""
        if self.location is not None:
            with self._translate_errors("DeleteObjects", keys[0] if keys else ""):
                await obstore.delete_async(self._store, list(keys))
            return
        for key in keys:
            with self._translate_errors("DeleteObjects", key), contextlib.suppress(*_MISSING, NotADirectoryError):
                await obstore.delete_async(self._store, key)

    async def abort_stale_uploads(self, *, before: datetime, prefix: str = "") -> int:
        """Abort multipart uploads begun before a time, which killed processes leave behind; return their number."""
        if self.location is None or not self.location.key_id:
            return 0
        async with S3Bucket(self.location) as bucket:
            stale = [upload for upload in await bucket.list_uploads(prefix) if upload.initiated_at < before]
            for upload in stale:
                await bucket.abort_upload(upload.key, upload.upload_id)
        return len(stale)

    async def _probe(self) -> None:
        with contextlib.suppress(ObjectNotFound):
            await self.get(_PROBE_KEY)

    async def _copy_in_parts(self, location: S3Location, source: str, key: str, size_bytes: int) -> None:
        slots = asyncio.Semaphore(_PARALLEL_PARTS)
        async with S3Bucket(location) as bucket:
            upload_id = await bucket.create_upload(key)

            async def copy_part(number: int, start: int) -> CompletedPart:
                stop = min(size_bytes, start + self._copy_bytes)
                async with slots:
                    return await bucket.copy_part(key, upload_id, number, source, start, stop)

            starts = range(0, size_bytes, self._copy_bytes)
            try:
                parts = await asyncio.gather(*(copy_part(n, start) for n, start in enumerate(starts, 1)))
                await bucket.complete_upload(key, upload_id, parts)
            except BaseException:
                with contextlib.suppress(Problem):
                    await bucket.abort_upload(key, upload_id)
                raise

    async def _iterate(self, key: str, stream: obstore.BytesStream) -> AsyncIterator[bytes]:
        with self._translate_errors("GetObject", key):
            async for chunk in stream:
                yield bytes(chunk)

    def _check_directory(self) -> None:
        root = urls.file_path(self.url)
        try:
            root.mkdir(parents=True, exist_ok=True)
            status = os.statvfs(root)
        except OSError as error:
            raise EngineUnavailable(engine=self.engine, detail=f"{root} cannot be used: {error.strerror}.") from error
        if status.f_flag & os.ST_RDONLY:
            raise EngineReadOnly(engine=self.engine)
        if status.f_bavail == 0:
            raise StoreFull(detail=f"The disk of {root} is full.")

    def _put_file_if_match(self, key: str, data: bytes, etag: str) -> str | None:
        """Replace an object in a directory under a lock, because a file system has no conditional put."""
        with self._translate_errors("PutObject", key):
            folder = os.open(urls.file_path(self.url), os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                if _unquote(obstore.head(self._store, key)["e_tag"]) != etag:
                    return None
                return _unquote(obstore.put(self._store, key, data)["e_tag"])
            except _MISSING:
                return None
            finally:
                os.close(folder)

    @contextlib.contextmanager
    def _translate_errors(self, operation: str, key: str) -> Iterator[None]:
        """Raise the library's errors as problems; the block is a span of its trace."""
        with traced(to_operation(self._described, operation)):
            try:
                yield
            except _ERRORS as error:
                raise self._to_problem(error, operation, key) from error

    def _to_problem(self, error: Exception, operation: str, key: str) -> Problem:
        text, code = str(error), _get_error_code(error)
        if self.location is None:
            return _to_directory_problem(error, text, key)
        status = int(found[1]) if (found := _STATUS.search(text)) else 0
        if isinstance(error, _MISSING) and code in _NO_SUCH_KEY:
            return ObjectNotFound(key=key)
        if status:
            message = html.unescape(found[2] or "") if (found := _CODE.search(text)) else ""
            return s3.to_problem(self.location, status, code, message, operation=operation, key=key)
        first_line = text.partition("\n")[0]
        if isinstance(error, ValueError):
            detail = f"{operation} {key!r}: {first_line}"
            return StoreRefused(bucket=self.location.bucket, operation=operation, detail=detail)
        return s3.unavailable(self.location, operation, first_line.rpartition(" - ")[2])


def _to_directory_problem(error: Exception, text: str, key: str) -> Problem:
    if isinstance(error, _MISSING):
        return ObjectNotFound(key=key)
    if any(sign in text for sign in _DISK_FULL):
        return StoreFull(detail="The disk of the object store is full.")
    detail = f"The object store's directory, {key!r}: {text.partition(chr(10))[0]}"
    return StoreRefused(bucket="", operation="file", detail=detail)


def _to_head(meta: obstore.ObjectMeta, key: str) -> ObjectHead:
    return ObjectHead(key, meta["size"], _unquote(meta["e_tag"]) or f"{meta['size']:x}", meta["last_modified"])


def _unquote(etag: str | None) -> str:
    return (etag or "").strip('"')


def _get_error_code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""
