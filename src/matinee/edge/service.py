"""The cache of an edge: an object is a hit, or one fill that all its readers share while it arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from matinee.edge.api import NoSuchFile, OriginFailed, OriginTooSlow
from matinee.edge.ports import (
    CachedObject,
    CacheStore,
    EdgeMetrics,
    FileRegion,
    FillReader,
    FillWriter,
    Metric,
    ObjectMeta,
    ObjectMissing,
    Upstream,
)
from matinee.kit import log

T = TypeVar("T")
_log = log.get()
_ATTEMPTS = 3
_RETRY_DELAY_S = 0.1
_POLL_S = 0.01
_MISSING_TTL_S = 2.0
_MISSING_LIMIT = 10_000
_UNKNOWN = ObjectMeta("", 0, "", 0)


class FillInterrupted(Exception):
    """A fill ended before the object was complete."""


class ObjectSource:
    """An object to send, complete in the cache or arriving with one writer and any number of readers.

    `file` is None for an object that fits neither on the disk nor in memory: each reader then streams its own copy.
    """

    def __init__(self, cached: CachedObject | None = None) -> None:
        self.meta = _UNKNOWN if cached is None else cached.meta
        self.file = None if cached is None else cached.file
        self.offset = 0 if cached is None else cached.offset
        self.available_bytes = self.meta.size_bytes
        self.is_described = cached is not None
        self._failure: Exception | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def wait_described(self) -> ObjectSource:
        """Wait until the metadata is known. Raises the error that stopped the fill before that."""
        while not self.is_described:
            if self._failure is not None:
                raise self._failure
            await self._wait()
        return self

    async def wait_for(self, size_bytes: int) -> None:
        """Wait until that many bytes are available. Raises FillInterrupted."""
        while self.available_bytes < size_bytes:
            if self._failure is not None:
                raise FillInterrupted from self._failure
            await self._wait()

    def describe(self, meta: ObjectMeta, region: FileRegion | None) -> None:
        """Set the metadata and where the object is being written."""
        self.meta, self.is_described = meta, True
        if region is not None:
            self.file, self.offset = region.file, region.offset
        self._notify()

    def advance(self, available_bytes: int) -> None:
        """Make bytes available to readers."""
        self.available_bytes = available_bytes
        self._notify()

    def fail(self, error: Exception) -> None:
        """End the fill with an error."""
        self._failure = error
        self._notify()

    async def _wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class EdgeCache:
    """One worker's cache, over a store that it shares with the other workers."""

    def __init__(self, *, store: CacheStore, upstream: Upstream, metrics: EdgeMetrics, timeout_s: float) -> None:
        self._store = store
        self._upstream = upstream
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._fills: dict[str, ObjectSource] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._missing: dict[str, float] = {}

    def find(self, key: str) -> ObjectSource | None:
        """Return the object if it is complete in the cache."""
        if key in self._fills or (cached := self._store.find(key)) is None:
            return None
        self._metrics.add(Metric.HITS)
        return ObjectSource(cached)

    async def fetch(self, key: str) -> ObjectSource:
        """Join or start the fill of an object. Raises NoSuchFile, OriginFailed, OriginTooSlow."""
        if self._missing.get(key, 0.0) > time.monotonic():
            raise NoSuchFile
        self._metrics.add(Metric.MISSES)
        fill = self._fills.get(key) or self._start_fill(key)
        try:
            async with asyncio.timeout(self._timeout_s * _ATTEMPTS):
                return await fill.wait_described()
        except TimeoutError as error:
            raise OriginTooSlow from error

    async def stream(self, meta: ObjectMeta, start: int) -> AsyncIterator[bytes]:
        """Stream an object from the origin without caching it. Raises FillInterrupted."""
        self._metrics.add(Metric.FILLS)
        try:
            found, pieces = await self._open_upstream(meta.key, start)
        except Exception as error:  # the response has begun: it can only be cut short
            raise FillInterrupted from error
        if found.etag != meta.etag:
            raise FillInterrupted
        async for piece in self._limit_each(pieces):
            yield piece

    async def close(self) -> None:
        """Cancel every fill."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_fill(self, key: str) -> ObjectSource:
        fill = self._fills[key] = ObjectSource()
        # A task of its own, because the first reader may disconnect while others still wait.
        task = asyncio.create_task(self._run_fill(fill, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return fill

    async def _run_fill(self, fill: ObjectSource, key: str) -> None:
        try:
            await self._obtain(fill, key)
        except ObjectMissing:
            self._remember_missing(key)
            fill.fail(NoSuchFile())
        except (OriginFailed, OriginTooSlow, FillInterrupted) as error:
            fill.fail(error)
        except asyncio.CancelledError:
            fill.fail(OriginFailed())
            raise
        except Exception as error:
            _log.warning("fill.failed", key=key, error=repr(error))
            fill.fail(OriginFailed())
        finally:
            del self._fills[key]

    async def _obtain(self, fill: ObjectSource, key: str) -> None:
        """Write the object, or follow the worker that does and take over if it dies."""
        while True:
            try:
                writer = self._store.begin_fill(key)
            except OSError:
                return await self._write(fill, key, None)
            if (cached := self._store.find(key)) is not None:
                if writer is not None:
                    writer.discard()
                fill.describe(cached.meta, cached)
                return fill.advance(cached.meta.size_bytes)
            if writer is not None:
                return await self._write(fill, key, writer)
            reader = self._store.follow_fill(key)
            if reader is not None and await self._follow(fill, reader):
                return None
            await asyncio.sleep(_POLL_S)

    async def _follow(self, fill: ObjectSource, reader: FillReader) -> bool:
        """Follow another worker's fill; return whether it completed. Raises FillInterrupted if readers have begun."""
        advanced_at_s = time.monotonic()
        while True:
            meta, filled, alive = reader.read_progress()
            if meta is not None and not fill.is_described:
                fill.describe(meta, reader)
            if filled > fill.available_bytes:
                advanced_at_s = time.monotonic()
                fill.advance(filled)
            if meta is not None and filled == meta.size_bytes:
                return True
            # A stopped writer still has its lock, so progress is checked as well.
            if not alive or time.monotonic() - advanced_at_s > self._timeout_s * _ATTEMPTS:
                if fill.is_described or alive:
                    raise FillInterrupted
                return False
            await asyncio.sleep(_POLL_S)

    async def _write(self, fill: ObjectSource, key: str, writer: FillWriter | None) -> None:
        try:
            self._metrics.add(Metric.FILLS)
            meta, pieces = await self._open_upstream(key, 0)
            target = self._allocate(meta, writer)
            fill.describe(meta, target)
            if target is not None:
                await self._copy(fill, target, pieces)
        except (OriginFailed, OriginTooSlow, FillInterrupted):
            self._metrics.add(Metric.UPSTREAM_ERRORS)
            raise
        finally:
            if writer is not None:
                writer.discard()

    def _allocate(self, meta: ObjectMeta, writer: FillWriter | None) -> FillWriter | None:
        """Choose where to write: the disk, else memory, else nowhere."""
        if writer is not None:
            try:
                writer.allocate(meta)
            except OSError as error:
                _log.warning("fill.not_cached", key=meta.key, error=error.strerror)
                writer.discard()
            else:
                return writer
        return self._store.begin_memory_fill(meta)

    async def _copy(self, fill: ObjectSource, target: FillWriter, pieces: AsyncIterator[bytes]) -> None:
        copied_bytes = 0
        async for piece in self._limit_each(pieces):
            target.write(piece)
            copied_bytes += len(piece)
            self._metrics.add(Metric.FILLED_BYTES, len(piece))
            fill.advance(copied_bytes)
        if copied_bytes != fill.meta.size_bytes:
            raise FillInterrupted
        await target.commit()

    async def _open_upstream(self, key: str, start: int) -> tuple[ObjectMeta, AsyncIterator[bytes]]:
        """Open an object at the origin, with retries. Raises ObjectMissing, OriginFailed, OriginTooSlow."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._limit(self._upstream.open(key, start=start))
            except ObjectMissing:
                raise
            except Exception as error:
                _log.warning("origin.failed", key=key, attempt=attempt, error=repr(error))
                if isinstance(error, TimeoutError):
                    raise OriginTooSlow from error
                if attempt == _ATTEMPTS:
                    raise OriginFailed from error
            await asyncio.sleep(_RETRY_DELAY_S * attempt)
        raise OriginFailed

    async def _limit_each(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the pieces, each within the time limit. Raises FillInterrupted."""
        while True:
            try:
                piece = await self._limit(anext(pieces))
            except StopAsyncIteration:
                return
            except Exception as error:
                raise FillInterrupted from error
            yield piece

    async def _limit(self, step: Awaitable[T]) -> T:
        async with asyncio.timeout(self._timeout_s):
            return await step

    def _remember_missing(self, key: str) -> None:
        now_s = time.monotonic()
        if len(self._missing) >= _MISSING_LIMIT:
            self._missing = {k: until_s for k, until_s in self._missing.items() if until_s > now_s}
        if len(self._missing) < _MISSING_LIMIT:
            self._missing[key] = now_s + _MISSING_TTL_S
