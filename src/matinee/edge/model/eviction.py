"""Which objects to evict: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).

New objects enter a small queue and leave it soon unless they are requested again. Objects requested again move to the
main queue. A ghost list remembers the names that left the small queue; such an object enters the main queue when it
returns. A hit moves nothing: it only increments the object's access count.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Protocol

MAX_FREQUENCY = 3
_PROMOTION_FREQUENCY = 2
_SMALL_SHARE = 0.1
_MIN_GHOSTS = 1000


class Frequencies(Protocol):
    """How often each object was requested recently, 0 to `MAX_FREQUENCY`. Entries may be shared or lost."""

    def get(self, name: bytes) -> int:
        """Return an object's frequency."""

    def set(self, name: bytes, frequency: int) -> None:
        """Set an object's frequency."""


class _Queue:
    """A queue of names with sizes in bytes.

    The sizes are in many dicts, by the first byte of the name: while a large one grows, nothing else runs.
    """

    def __init__(self) -> None:
        self.total_bytes = 0
        self._count = 0
        self._order: deque[bytes] = deque()  # also names that were removed since
        self._sizes: list[dict[bytes, int]] = [{} for _ in range(256)]

    def __contains__(self, name: bytes) -> bool:
        return name in self._sizes[name[0]]

    def __len__(self) -> int:
        return self._count

    def list_names(self, first: int) -> set[bytes]:
        """Return the names with this first byte."""
        return set(self._sizes[first])

    def push(self, name: bytes, size_bytes: int) -> None:
        """Add a name that is not in the queue."""
        self._order.append(name)
        self._sizes[name[0]][name] = size_bytes
        self.total_bytes += size_bytes
        self._count += 1

    def remove(self, name: bytes) -> int | None:
        """Remove a name and return its size; None where it is not in the queue."""
        if (size := self._sizes[name[0]].pop(name, None)) is not None:
            self.total_bytes -= size
            self._count -= 1
        return size

    def pop(self) -> tuple[bytes, int]:
        """Remove the oldest name and return it with its size."""
        while True:
            name = self._order.popleft()
            if (size := self.remove(name)) is not None:
                return name, size


class S3Fifo:
    """The objects of a cache with a limit in bytes."""

    def __init__(self, limit_bytes: int, frequencies: Frequencies) -> None:
        self.limit_bytes = limit_bytes
        self._frequencies = frequencies
        self._small, self._main = _Queue(), _Queue()
        self._ghosts: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, name: bytes) -> bool:
        return name in self._small or name in self._main

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    @property
    def used_bytes(self) -> int:
        """The size of all objects."""
        return self._small.total_bytes + self._main.total_bytes

    def list_names(self, first: int) -> set[bytes]:
        """Return the names of the objects with this first byte."""
        names = self._main.list_names(first)
        names |= self._small.list_names(first)
        return names

    def add(self, name: bytes, size_bytes: int, *, to_main: bool = False) -> None:
        """Add an object, optionally to the main queue directly. Idempotent."""
        if name in self:
            return
        queue = self._main if to_main or name in self._ghosts else self._small
        self._ghosts.pop(name, None)
        queue.push(name, size_bytes)

    def remove(self, name: bytes) -> None:
        """Remove an object that no longer exists. Idempotent."""
        if self._small.remove(name) is None:
            self._main.remove(name)

    def evict(self, reserved_bytes: int = 0) -> Iterator[bytes | None]:
        """Yield and remove names until the rest and `reserved_bytes` are within the limit.

        Yields None for an object that is kept, so that the caller can stop between any two.
        """
        while len(self) and self.used_bytes + reserved_bytes > self.limit_bytes:
            from_small = self._small.total_bytes > self.limit_bytes * _SMALL_SHARE or not self._main
            yield self._evict_small() if from_small else self._evict_main()

    def _evict_small(self) -> bytes | None:
        name, size = self._small.pop()
        is_promoted = self._frequencies.get(name) >= _PROMOTION_FREQUENCY
        self._frequencies.set(name, 0)
        if is_promoted:
            self._main.push(name, size)
            return None
        self._ghosts[name] = None
        while len(self._ghosts) > max(len(self._main), _MIN_GHOSTS):
            self._ghosts.popitem(last=False)
        return name

    def _evict_main(self) -> bytes | None:
        name, size = self._main.pop()
        if frequency := self._frequencies.get(name):
            self._main.push(name, size)
            self._frequencies.set(name, frequency - 1)
            return None
        return name
