"""The cache: hit, or one fill for all who wait, read along while it arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol, TypeVar

from matinee.edge.api import NoSuchFile, OriginFailed, OriginTooSlow
from matinee.edge.ports import (
    CachedObject,
    CacheStore,
    EdgeMetrics,
    FileHandle,
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
_TRIES = 3
_PAUSE_S = 0.1
_WATCH_S = 0.01
_MISSING_S = 2.0
_MISSING_LIMIT = 10_000


class FillInterrupted(Exception):
    """A fill stopped in the middle: what was sent of it is not the whole."""


class ObjectSource(Protocol):
    """An object to be sent: whole, or on its way. `file` is None where its bytes can only be had from the origin."""

    @property
    def meta(self) -> ObjectMeta:
        """What it is."""

    @property
    def file(self) -> FileHandle | None:
        """The file that its bytes are in."""

    @property
    def offset(self) -> int:
        """Where in the file they begin."""

    @property
    def available(self) -> int:
        """How many of them are there."""

    async def reach(self, size: int) -> None:
        """Wait until so many are there. Raises FillInterrupted."""


class Whole:
    """An object that is all there."""

    __slots__ = ("available", "file", "meta", "offset")

    def __init__(self, stored: CachedObject) -> None:
        self.meta = stored.meta
        self.file: FileHandle | None = stored.file
        self.offset = stored.offset
        self.available = stored.meta.size_bytes

    async def reach(self, size: int) -> None:
        return None


class Fill:
    """An object on its way: one writer, any number who read along.

    `file` is None for an object that can be kept neither on the disk nor in memory: each reader then fetches its own.
    """

    def __init__(self, key: str) -> None:
        self.meta = ObjectMeta(key, 0, "", 0)
        self.file: FileHandle | None = None
        self.offset = 0
        self.available = 0
        self._known = False
        self._failure: Exception | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def known(self) -> Fill:
        """Wait until it is known what comes. Raises what stopped the fill before that."""
        while not self._known:
            if self._failure is not None:
                raise self._failure
            await self._turn()
        return self

    async def reach(self, size: int) -> None:
        while self.available < size:
            if self._failure is not None:
                raise FillInterrupted from self._failure
            await self._turn()

    def describe(self, meta: ObjectMeta, part: FileRegion | None) -> None:
        """Say what comes, and where it is being written."""
        self.meta, self._known = meta, True
        if part is not None:
            self.file, self.offset = part.file, part.offset
        self._wake()

    def advance(self, available: int) -> None:
        """More bytes are there."""
        self.available = available
        self._wake()

    def fail(self, error: Exception) -> None:
        """Nothing more comes."""
        self._failure = error
        self._wake()

    @property
    def is_known(self) -> bool:
        """Whether readers may have begun."""
        return self._known

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)


class Cache:
    """One worker's cache over a disk that it shares with the other workers."""

    def __init__(self, *, disk: CacheStore, upstream: Upstream, metrics: EdgeMetrics, timeout_s: float) -> None:
        self._disk = disk
        self._upstream = upstream
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._fills: dict[str, Fill] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._missing: dict[str, float] = {}

    def hit(self, key: str) -> Whole | None:
        """The object, if it is all here."""
        if key in self._fills or (stored := self._disk.look(key)) is None:
            return None
        self._metrics.add(Metric.HITS)
        return Whole(stored)

    async def fetch(self, key: str) -> ObjectSource:
        """An object that is not all here, on its way. Raises NoSuchFile, OriginFailed, OriginTooSlow."""
        if self._missing.get(key, 0.0) > time.monotonic():
            raise NoSuchFile
        self._metrics.add(Metric.MISSES)
        fill = self._fills.get(key) or self._start(key)
        try:
            async with asyncio.timeout(self._timeout_s * _TRIES):
                return await fill.known()
        except TimeoutError as error:
            raise OriginTooSlow from error

    async def pieces(self, meta: ObjectMeta, start: int) -> AsyncIterator[bytes]:
        """An object's bytes straight from the origin, kept nowhere. Raises FillInterrupted."""
        self._metrics.add(Metric.FILLS)
        try:
            found, pieces = await self._opened(meta.key, start)
        except Exception as error:  # the answer has begun: it can only be broken off
            raise FillInterrupted from error
        if found.etag != meta.etag:
            raise FillInterrupted
        async for piece in self._timely(pieces):
            yield piece

    async def close(self) -> None:
        """Stop every fill."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, key: str) -> Fill:
        fill = self._fills[key] = Fill(key)
        # A task of its own: whoever asked first may leave, and the others get their bytes all the same.
        task = asyncio.create_task(self._run(fill, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return fill

    async def _run(self, fill: Fill, key: str) -> None:
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

    async def _obtain(self, fill: Fill, key: str) -> None:
        """Write it ourselves, or read along with the worker who does; take over from one who dies."""
        while True:
            try:
                part = self._disk.begin(key)
            except OSError:
                return await self._write(fill, key, None)
            if (stored := self._disk.look(key)) is not None:
                if part is not None:
                    part.discard()
                fill.describe(stored.meta, stored)
                return fill.advance(stored.meta.size_bytes)
            if part is not None:
                return await self._write(fill, key, part)
            watched = self._disk.watch(key)
            if watched is not None and await self._follow(fill, watched):
                return None
            await asyncio.sleep(_WATCH_S)

    async def _follow(self, fill: Fill, watched: FillReader) -> bool:
        """Read along; tells whether it came to its end. Raises FillInterrupted when it stopped after readers began."""
        moved_at_s = time.monotonic()
        while True:
            meta, filled, alive = watched.progress()
            if meta is not None and not fill.is_known:
                fill.describe(meta, watched)
            if filled > fill.available:
                moved_at_s = time.monotonic()
                fill.advance(filled)
            if meta is not None and filled == meta.size_bytes:
                return True
            # A writer may also be stopped without being dead: then its lock says nothing.
            if not alive or time.monotonic() - moved_at_s > self._timeout_s * _TRIES:
                if fill.is_known or alive:
                    raise FillInterrupted
                return False
            await asyncio.sleep(_WATCH_S)

    async def _write(self, fill: Fill, key: str, part: FillWriter | None) -> None:
        try:
            self._metrics.add(Metric.FILLS)
            meta, pieces = await self._opened(key, 0)
            target = self._room(meta, part)
            fill.describe(meta, target)
            if target is not None:
                await self._pour(fill, target, pieces)
        except (OriginFailed, OriginTooSlow, FillInterrupted):
            self._metrics.add(Metric.UPSTREAM_ERRORS)
            raise
        finally:
            if part is not None:
                part.discard()

    def _room(self, meta: ObjectMeta, part: FillWriter | None) -> FillWriter | None:
        """Where to write it: on the disk, else in memory, else nowhere."""
        if part is not None:
            try:
                part.describe(meta)
            except OSError as error:
                _log.warning("fill.not_cached", key=meta.key, error=error.strerror)
                part.discard()
            else:
                return part
        return self._disk.scratch(meta)

    async def _pour(self, fill: Fill, target: FillWriter, pieces: AsyncIterator[bytes]) -> None:
        done = 0
        async for piece in self._timely(pieces):
            target.write(piece)
            done += len(piece)
            self._metrics.add(Metric.FILLED_BYTES, len(piece))
            fill.advance(done)
        if done != fill.meta.size_bytes:
            raise FillInterrupted
        await target.commit()

    async def _opened(self, key: str, start: int) -> tuple[ObjectMeta, AsyncIterator[bytes]]:
        """Ask the origin, again where it fails. Raises ObjectMissing, OriginFailed, OriginTooSlow."""
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._limited(self._upstream.open(key, start=start))
            except ObjectMissing:
                raise
            except Exception as error:
                _log.warning("origin.failed", key=key, attempt=attempt, error=repr(error))
                if attempt == _TRIES or isinstance(error, TimeoutError):
                    raise (OriginTooSlow() if isinstance(error, TimeoutError) else OriginFailed()) from error
            await asyncio.sleep(_PAUSE_S * attempt)
        raise OriginFailed

    async def _timely(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces, each within the time limit."""
        while True:
            try:
                piece = await self._limited(anext(pieces))
            except StopAsyncIteration:
                return
            except Exception as error:
                raise FillInterrupted from error
            yield piece

    async def _limited(self, step: Awaitable[T]) -> T:
        async with asyncio.timeout(self._timeout_s):
            return await step

    def _remember_missing(self, key: str) -> None:
        now_s = time.monotonic()
        if len(self._missing) >= _MISSING_LIMIT:
            self._missing = {k: until_s for k, until_s in self._missing.items() if until_s > now_s}
        if len(self._missing) < _MISSING_LIMIT:
            self._missing[key] = now_s + _MISSING_S
