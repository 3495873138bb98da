"""What an edge needs of the outside: an origin, a disk, and a metrics of figures that its workers share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Protocol

import msgspec


class ObjectMeta(msgspec.Struct, frozen=True):
    """What is known of an object; `etag` has its quotes."""

    key: str
    size_bytes: int
    etag: str
    modified_s: int


class ObjectMissing(Exception):
    """The origin says that there is no such object."""


class Upstream(Protocol):
    """Where objects come from: an object store, or another edge."""

    async def open(self, key: str, *, start: int = 0) -> tuple[ObjectMeta, AsyncIterator[bytes]]:
        """One request for both: what the object is, and its bytes from `start`. Raises ObjectMissing, or what befell it."""

    async def close(self) -> None:
        """Give back connections."""


class FileHandle(Protocol):
    """An open file; it closes itself when nobody holds it."""

    @property
    def fd(self) -> int:
        """Its descriptor."""


class FileRegion(Protocol):
    """Where an object's bytes stand."""

    @property
    def file(self) -> FileHandle:
        """The file that they are in."""

    @property
    def offset(self) -> int:
        """Where in it they begin."""


class CachedObject(FileRegion, Protocol):
    """A whole object on the disk."""

    @property
    def meta(self) -> ObjectMeta:
        """What it is."""


class FillWriter(FileRegion, Protocol):
    """An object being written, by this process alone."""

    def describe(self, meta: ObjectMeta) -> None:
        """Say what is coming and make room for it. Raises OSError where there is none."""

    def write(self, data: bytes) -> None:
        """Append bytes; those who watch see them. Raises OSError."""

    async def commit(self) -> None:
        """Make it the stored object. Raises OSError."""

    def discard(self) -> None:
        """Drop it. Idempotent, and without effect after `commit`."""


class FillReader(FileRegion, Protocol):
    """An object that another process is writing."""

    def progress(self) -> tuple[ObjectMeta | None, int, bool]:
        """What it is, once known; bytes written so far; whether the writer is still there."""


class CacheStore(Protocol):
    """The cache directory, shared by all workers of an edge."""

    def look(self, key: str) -> CachedObject | None:
        """The stored object, and that it was asked for."""

    def begin(self, key: str) -> FillWriter | None:
        """The right to write an object; None while another has it. Raises OSError where the disk takes nothing."""

    def watch(self, key: str) -> FillReader | None:
        """The object that another is writing; None where nobody is."""

    def scratch(self, meta: ObjectMeta) -> FillWriter | None:
        """Room in memory for an object that the disk does not take; None where it is too large for that as well."""

    def refresh(self) -> None:
        """Let go of files that were evicted by another worker."""


class Evictor(Protocol):
    """Evictor the cache within its limit: one worker does it for all."""

    def elect(self) -> bool:
        """Whether this worker is the one."""

    def keep(self) -> int:
        """Evict what is over the limit; tells how many objects."""

    def used_bytes(self) -> int:
        """Bytes on disk, finished and not."""


class Metric(IntEnum):
    """What is counted. The last ones are levels, not sums over time."""

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


GAUGES = (Metric.CONNECTIONS, Metric.DISK_USED_BYTES)


class EdgeMetrics(Protocol):
    """The figures of this worker, readable by all workers of this edge."""

    def add(self, count: Metric, amount: int = 1) -> None:
        """Metric something."""

    def set(self, count: Metric, value: int) -> None:
        """Set a level."""

    def totals(self) -> dict[Metric, int]:
        """Sums over the workers, those that have ended included where it is no level."""

    def workers(self) -> int:
        """How many workers are running."""


class DataPlane(Protocol):
    """A data plane of another's make in front of the reactor: it serves what it keeps, and asks the reactor else."""

    port: int

    async def start(self, *, filler_port: int) -> None:
        """Take clients on `port`; the reactor is on loopback at `filler_port`. Raises a Problem where it cannot."""

    async def keep(self) -> None:
        """Keep it running and its figures on its metrics, until cancelled."""

    async def stop(self, grace_s: float) -> None:
        """Take nobody in any more, let answers end for at most `grace_s`. Idempotent."""
