"""What an edge needs from outside: an upstream, a cache store, and metrics that its workers share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Protocol

import msgspec


class ObjectMeta(msgspec.Struct, frozen=True):
    """The metadata of an object. `etag` includes its quotes."""

    key: str
    size_bytes: int
    etag: str
    modified_s: int


class ObjectMissing(Exception):
    """The upstream has no such object."""


class Upstream(Protocol):
    """Where objects are fetched from: an object store, or another edge."""

    async def open(self, key: str, *, start: int = 0) -> tuple[ObjectMeta, AsyncIterator[bytes]]:
        """Return an object's metadata and its bytes from `start`. Raises ObjectMissing, or any network error."""

    async def close(self) -> None:
        """Close all connections."""


class OpenFile:
    """A file that closes with its last reference, because a client may be reading an object that is evicted."""

    __slots__ = ("__weakref__", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class FileRegion(Protocol):
    """Where the bytes of an object are: in a file, from `offset`."""

    file: OpenFile
    offset: int


class CachedObject(FileRegion, Protocol):
    """A complete object in the cache."""

    meta: ObjectMeta


class FillWriter(FileRegion, Protocol):
    """An object that this process is writing; no other process writes it."""

    def allocate(self, meta: ObjectMeta) -> None:
        """Record the metadata and reserve space. Raises OSError when there is none."""

    def write(self, data: bytes) -> None:
        """Append bytes; readers in other processes see them. Raises OSError."""

    async def commit(self) -> None:
        """Turn it into a cached object. Raises OSError."""

    def discard(self) -> None:
        """Delete it. Idempotent; no effect after `commit`."""


class FillReader(FileRegion, Protocol):
    """An object that another process is writing."""

    def read_progress(self) -> tuple[ObjectMeta | None, int, bool]:
        """Return the metadata once known, the bytes written so far, and whether the writer is alive."""


class CacheStore(Protocol):
    """The cache, shared by all workers of an edge."""

    def find(self, key: str) -> CachedObject | None:
        """Return the complete object, and count the access."""

    def begin_fill(self, key: str) -> FillWriter | None:
        """Begin writing an object; None while another worker does. Raises OSError when the disk refuses writes."""

    def follow_fill(self, key: str) -> FillReader | None:
        """Return the object that another worker is writing, if any."""

    def begin_memory_fill(self, meta: ObjectMeta) -> FillWriter | None:
        """Begin writing an object to memory, when the disk cannot take it; None if it is too large for that too."""

    def close_evicted(self) -> None:
        """Close the files of objects that another worker evicted."""


class Evictor(Protocol):
    """Keeps the cache within its size limit; one worker does it for all.

    `is_behind` says that more is to be done at once.
    """

    is_behind: bool

    def elect(self) -> bool:
        """Try to become the evicting worker; return whether this worker is the one."""

    def evict(self) -> int:
        """Delete objects for a few milliseconds, or until the cache is within its limit; return how many."""

    def used_bytes(self) -> int:
        """Return the bytes on disk, of complete and incomplete objects."""


class Metric(IntEnum):
    """What is counted. The values are positions in the workers' files: append only."""

    REQUESTS = 0
    SENT_BYTES = 1
    HITS = 2
    MISSES = 3
    FILLS = 4
    FILLED_BYTES = 5
    EVICTIONS = 6
    REFUSED = 7
    CLIENT_ERRORS = 8
    SERVER_ERRORS = 9
    UPSTREAM_ERRORS = 10
    ABORTED = 11
    CPU_MS = 12
    CONNECTIONS = 13
    DISK_USED_BYTES = 14
    JOB_FAILURES = 15


GAUGES = (Metric.CONNECTIONS, Metric.DISK_USED_BYTES)


class EdgeMetrics(Protocol):
    """The metrics of this worker, and their sums over all workers of the edge."""

    def add(self, metric: Metric, amount: int = 1) -> None:
        """Add to a counter or a gauge."""

    def set(self, metric: Metric, value: int) -> None:
        """Set a gauge."""

    def totals(self) -> dict[Metric, int]:
        """Return the sums over all workers. Counters include workers that have ended."""

    def count_workers(self) -> int:
        """Return how many workers are running."""


class DataPlane(Protocol):
    """A server in front of the built-in one: it serves what it has cached and passes on all other requests."""

    port: int

    async def start(self, *, filler_port: int) -> None:
        """Listen on `port`, with the built-in server on loopback at `filler_port`. Raises a Problem on failure."""

    async def run(self) -> None:
        """Supervise it and update its metrics, until cancelled."""

    async def stop(self, grace_s: float) -> None:
        """Stop accepting connections and wait at most `grace_s` for responses to finish. Idempotent."""
