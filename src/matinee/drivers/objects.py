"""Object stores by obstore: a directory or S3, the same calls. Keys are relative paths with `/`.

A put is atomic: no reader sees half an object. On S3 every body carries its SHA-256, twice: in the signature, by which
the store refuses other bytes than were sent, and as the object's own checksum (`checksum=none` in the URL leaves that
one out for stores that do not know it); a file in parts is besides held against its size when the parts are one.
Listings may lag behind what was put: nothing here takes one for complete but `delete` and `clear_unfinished`, and what
those overlook the next one finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import html
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import LocalStore, S3Store

from matinee.drivers import s3
from matinee.drivers.engine import EngineReadOnly, EngineUnavailable, StoreEmpty, StoreFull, describe_engine
from matinee.drivers.s3 import Address, BadStoreUrl, Bucket, BucketMissing, StoreRefused
from matinee.kit import url as urls
from matinee.kit.problem import Problem

_PART_BYTES = 8 << 20
_MOST_PARTS = 9_000
_SIDE_BY_SIDE = 4
# A store may copy at most so much in one request; more goes part by part.
COPY_BYTES = 5 << 30
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>(?:<Message>([^<]*))?")
_FULL = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")
# What obstore raises beside its own: for what is not there, for a key that is none, for what a store cannot do.
_TROUBLES = (BaseError, OSError, ValueError, NotImplementedError)
_MISSING = (NotFoundError, FileNotFoundError)
# A key that nobody uses: that it is not there says that the store answers and takes us.
_NOWHERE = ".matinee/nothing"
# The answer to a HEAD has no body, and so no code.
_NO_SUCH_KEY = {"", "NoSuchKey"}
_CHANGED = {*_NO_SUCH_KEY, "PreconditionFailed", "ConditionalRequestConflict"}
_Store: TypeAlias = LocalStore | S3Store


class ObjectNotFound(Problem, status=404):
    """There is no such object."""

    key: str


class ObjectDamaged(Problem, status=500):
    """An object in the store is not what was put there."""

    key: str


class ObjectHead(msgspec.Struct, frozen=True):
    """An object's size and its entity tag, without quotes."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime | None = None


class Objects:
    """One store, opened from `file:///dir` or `s3://…` (see `drivers.s3`). Opening asks nothing of it yet.

    `silence_s`: how long the store may say nothing to a request; `tries`: how often one is made that may be repeated.
    Everything raises EngineUnavailable, StoreFull, StoreRefused and BucketMissing. Raises BadStoreUrl.
    """

    def __init__(self, url: str, *, silence_s: float = 15.0, tries: int = 4, copy_bytes: int = COPY_BYTES) -> None:
        self.url = url
        self.address: Address | None = None
        self._copy_bytes = copy_bytes
        self._store, self._patient = self._opened(url, silence_s, tries)

    def _opened(self, url: str, silence_s: float, tries: int) -> tuple[_Store, _Store]:
        """The store, and the same for requests of which it may take minutes to say that they are done."""
        match urls.scheme(url):
            case "file":
                local = LocalStore(urls.file_path(url), automatic_cleanup=True, mkdir=True)
                return local, local
            case "s3":
                self.address = Address.of(url)
                return _s3(self.address, silence_s, tries), _s3(self.address, max(silence_s, 300.0), tries)
        raise BadStoreUrl(detail=f"There is no object store for {urls.mask(url)!r}: file:///… and s3://… are known.")

    @property
    def engine(self) -> str:
        """The store and where it is, without the secret."""
        return describe_engine(self.url)

    async def check(self) -> None:
        """Ask the store for next to nothing. Raises EngineUnavailable, EngineReadOnly, StoreFull; StoreEmpty for no bucket."""
        if self.address is None:
            return await asyncio.to_thread(self._check_local)
        try:
            with contextlib.suppress(ObjectNotFound):
                await self.get(_NOWHERE)
        except BucketMissing as error:
            raise StoreEmpty(store=self.engine, detail=str(error)) from error
        except StoreRefused as error:
            raise EngineUnavailable(engine=self.engine, detail=str(error)) from error

    async def ready(self) -> None:
        """Ask the store whether it takes us, and make its bucket where there is none and we may."""
        if self.address is None:
            return
        try:
            with contextlib.suppress(ObjectNotFound):
                await self.get(_NOWHERE)
        except BucketMissing:
            async with Bucket(self.address) as bucket:
                await bucket.make()

    async def put(self, key: str, data: bytes) -> str:
        """Store bytes under a key, replacing what was there; tells the entity tag."""
        with self._said("PutObject", key):
            return _tag((await obstore.put_async(self._store, key, data, use_multipart=False))["e_tag"])

    async def put_new(self, key: str, data: bytes) -> str | None:
        """Store bytes under a key that has none; None where it has."""
        with self._said("PutObject", key):
            try:
                return _tag((await obstore.put_async(self._store, key, data, mode="create"))["e_tag"])
            except AlreadyExistsError:
                return None

    async def replace_if(self, key: str, data: bytes, etag: str) -> str | None:
        """Store bytes over an object that still has this entity tag; None where it has another or is gone."""
        if self.address is None:
            return await asyncio.to_thread(self._replace_local, key, data, etag)
        with self._said("PutObject", key):
            try:
                put = await obstore.put_async(self._store, key, data, mode={"e_tag": f'"{etag}"'})
            except (AlreadyExistsError, PreconditionError, *_MISSING) as error:
                if _code(error) not in _CHANGED:
                    raise
                return None
            return _tag(put["e_tag"])

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file under a key, in parts side by side where it is large. Raises ObjectDamaged.

        A put that is cut off leaves nothing under the key; `clear_unfinished` frees what its parts take up.
        """
        size_bytes = (await asyncio.to_thread(path.stat)).st_size
        part_bytes = max(_PART_BYTES, -(-size_bytes // _MOST_PARTS))
        store = self._patient if size_bytes > part_bytes else self._store
        with self._said("PutObject", key):
            await obstore.put_async(store, key, path, chunk_size=part_bytes, max_concurrency=_SIDE_BY_SIDE)
        if self.address is not None and size_bytes > part_bytes:
            stored_bytes = (await self.head(key)).size_bytes
            if stored_bytes != size_bytes:
                detail = f"{key!r} was put with {size_bytes} bytes and is stored with {stored_bytes}."
                raise ObjectDamaged(key=key, detail=detail)

    async def copy(self, source: str, key: str) -> None:
        """Store an object under another key as well, without its bytes leaving the store. Raises ObjectNotFound."""
        size_bytes = (await self.head(source)).size_bytes
        if source == key:
            return  # S3 refuses what would change nothing
        if self.address is not None and size_bytes > self._copy_bytes:
            await self._copy_parts(self.address, source, key, size_bytes)
            return
        with self._said("CopyObject", source):
            await obstore.copy_async(self._patient, source, key)

    async def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectNotFound."""
        with self._said("GetObject", key):
            result = await obstore.get_async(self._store, key)
            return bytes(await result.bytes_async())

    async def read(self, key: str) -> tuple[bytes, str]:
        """The whole object and the entity tag that goes with it. Raises ObjectNotFound."""
        with self._said("GetObject", key):
            result = await obstore.get_async(self._store, key)
            return bytes(await result.bytes_async()), _tag(result.meta["e_tag"])

    async def stream(
        self, key: str, *, start: int = 0, etag: str = "", chunk_bytes: int = 256 << 10
    ) -> AsyncIterator[bytes]:
        """The object's bytes from `start`, in pieces; with `etag`, of that very object. Raises ObjectNotFound."""
        _, pieces = await self.open(key, start=start, etag=etag, chunk_bytes=chunk_bytes)
        async for piece in pieces:
            yield piece

    async def open(
        self, key: str, *, start: int = 0, etag: str = "", chunk_bytes: int = 256 << 10
    ) -> tuple[ObjectHead, AsyncIterator[bytes]]:
        """One request for both: what the object is, and its bytes from `start`. Raises ObjectNotFound.

        A connection that breaks is made again where it stopped. With `etag`, anything else is not found.
        """
        options: dict[str, object] = {"range": {"offset": start}} if start else {}
        if etag:
            options["if_match"] = f'"{etag}"'
        with self._said("GetObject", key):
            try:
                result = await obstore.get_async(self._store, key, options=options)  # type: ignore[arg-type]
            except PreconditionError as error:
                raise ObjectNotFound(key=key) from error
        return _head(result.meta, key), self._pieces(key, result.stream(min_chunk_size=chunk_bytes))

    async def head(self, key: str) -> ObjectHead:
        """Size and entity tag. Raises ObjectNotFound."""
        with self._said("HeadObject", key):
            return _head(await obstore.head_async(self._store, key), key)

    async def keys(self, prefix: str) -> list[ObjectHead]:
        """Every object below a prefix, as far as the store lists them yet."""
        found: list[ObjectHead] = []
        with self._said("ListObjects", prefix):
            async for batch in obstore.list(self._store, prefix=prefix):
                found += [_head(meta, meta["path"]) for meta in batch]
        return found

    async def delete(self, prefix: str) -> None:
        """Drop every object below a prefix, and the one of that very name. Idempotent."""
        doomed = [head.key for head in await self.keys(prefix)]
        if prefix and not prefix.endswith("/") and prefix not in doomed:
            doomed.append(prefix)
        await self.drop(doomed)

    async def drop(self, keys: Sequence[str]) -> None:
        """Drop objects, in batches. Idempotent."""
        if self.address is not None:
            with self._said("DeleteObjects", keys[0] if keys else ""):
                await obstore.delete_async(self._store, list(keys))
            return
        for key in keys:
            with self._said("DeleteObjects", key), contextlib.suppress(*_MISSING, NotADirectoryError):
                await obstore.delete_async(self._store, key)

    async def sign(self, method: Literal["GET", "PUT", "HEAD"], key: str, *, expires_s: int) -> str:
        """A URL by which anybody may do this one thing for a while. Raises BadStoreUrl for a directory."""
        if not isinstance(self._store, S3Store):
            raise BadStoreUrl(detail=f"{urls.mask(self.url)} is a directory: there is nothing to sign.")
        with self._said("sign", key):
            return await obstore.sign_async(self._store, method, key, timedelta(seconds=expires_s))

    async def clear_unfinished(self, *, before: datetime, prefix: str = "") -> int:
        """Abort multipart uploads begun before then and never ended, as killed processes leave; tells how many."""
        if self.address is None or not self.address.key_id:
            return 0
        async with Bucket(self.address) as bucket:
            stale = [upload for upload in await bucket.unfinished(prefix) if upload.begun_at < before]
            for upload in stale:
                await bucket.abort(upload.key, upload.upload_id)
        return len(stale)

    async def _copy_parts(self, address: Address, source: str, key: str, size_bytes: int) -> None:
        """Copy what one request may not: ranges side by side, as parts of the new object."""
        slots = asyncio.Semaphore(_SIDE_BY_SIDE)
        async with Bucket(address) as bucket:
            upload_id = await bucket.begin(key)

            async def part(number: int, start: int) -> s3.Part:
                stop = min(size_bytes, start + self._copy_bytes)
                async with slots:
                    return await bucket.copy_part(key, upload_id, number, source, start, stop)

            starts = range(0, size_bytes, self._copy_bytes)
            try:
                parts = await asyncio.gather(*(part(n, start) for n, start in enumerate(starts, 1)))
                await bucket.complete(key, upload_id, parts)
            except BaseException:
                with contextlib.suppress(Problem):
                    await bucket.abort(key, upload_id)
                raise

    async def _pieces(self, key: str, stream: obstore.BytesStream) -> AsyncIterator[bytes]:
        with self._said("GetObject", key):
            async for piece in stream:
                yield bytes(piece)

    def _check_local(self) -> None:
        root = urls.file_path(self.url)
        try:
            root.mkdir(parents=True, exist_ok=True)
            found = os.statvfs(root)
        except OSError as error:
            raise EngineUnavailable(engine=self.engine, detail=f"{root} cannot be used: {error.strerror}.") from error
        if found.f_flag & os.ST_RDONLY:
            raise EngineReadOnly(engine=self.engine)
        if found.f_bavail == 0:
            raise StoreFull(detail=f"The disk of {root} is full.")

    def _replace_local(self, key: str, data: bytes, etag: str) -> str | None:
        """A directory has no conditional put: whoever replaces locks it meanwhile."""
        with self._said("PutObject", key):
            folder = os.open(urls.file_path(self.url), os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                if _tag(obstore.head(self._store, key)["e_tag"]) != etag:
                    return None
                return _tag(obstore.put(self._store, key, data)["e_tag"])
            except _MISSING:
                return None
            finally:
                os.close(folder)

    @contextlib.contextmanager
    def _said(self, operation: str, key: str) -> Iterator[None]:
        """Say what went wrong in our own words."""
        try:
            yield
        except _TROUBLES as error:
            raise self._problem(error, operation, key) from error

    def _problem(self, error: Exception, operation: str, key: str) -> Problem:
        text, code = str(error), _code(error)
        if self.address is None:
            return _local_problem(error, text, key)
        status = int(found[1]) if (found := _STATUS.search(text)) else 0
        if isinstance(error, _MISSING) and code in _NO_SUCH_KEY:
            return ObjectNotFound(key=key)
        if status:
            message = html.unescape(found[2] or "") if (found := _CODE.search(text)) else ""
            return s3.problem(self.address, status, code, message, operation=operation, key=key)
        first = text.partition("\n")[0]
        if isinstance(error, ValueError):
            return StoreRefused(bucket=self.address.bucket, operation=operation, detail=f"{operation} {key!r}: {first}")
        return s3.away(self.address, operation, first.rpartition(" - ")[2])


def _s3(address: Address, silence_s: float, tries: int) -> S3Store:
    own: Any = {}
    if address.key_id:
        # Through a provider: of keys that are named here, obstore would complete the token from the environment.
        named_here = {"access_key_id": address.key_id, "secret_access_key": address.secret, "expires_at": None}
        named_here |= {"token": address.token} if address.token else {}
        own["credential_provider"] = lambda: named_here
    if address.checksum:
        own["checksum_algorithm"] = "sha256"
    if address.endpoint:
        own["endpoint"] = address.base if address.virtual else address.endpoint
    return S3Store(
        address.bucket,
        prefix=address.prefix or None,
        region=address.region,
        virtual_hosted_style_request=address.virtual,
        client_options={
            "allow_http": address.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=min(5.0, silence_s)),
            "read_timeout": timedelta(seconds=silence_s),
            # Of a whole body, however long it and slow its reader: silence is what is limited.
            "timeout": timedelta(hours=6),
        },
        retry_config={
            "max_retries": tries - 1,
            "retry_timeout": timedelta(seconds=silence_s * 2),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
        },
        **own,
    )


def _local_problem(error: Exception, text: str, key: str) -> Problem:
    if isinstance(error, _MISSING):
        return ObjectNotFound(key=key)
    if any(sign in text for sign in _FULL):
        return StoreFull(detail="The disk of the object store is full.")
    first = text.partition("\n")[0]
    return StoreRefused(bucket="", operation="file", detail=f"The object store's directory, {key!r}: {first}")


def _head(meta: obstore.ObjectMeta, key: str) -> ObjectHead:
    return ObjectHead(key, meta["size"], _tag(meta["e_tag"]) or f"{meta['size']:x}", meta["last_modified"])


def _tag(etag: str | None) -> str:
    return (etag or "").strip('"')


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""
