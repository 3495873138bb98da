"""Which objects to evict: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).

New objects enter a small queue and leave it soon unless they are requested again. Objects requested again move to the
main queue. A ghost list remembers the names that left the small queue; such an object enters the main queue when it
returns. A hit moves nothing: it only increments the object's access count.
"""

from __future__ import annotations

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


class S3Fifo:
    """The objects of a cache with a limit in bytes."""

    def __init__(self, limit_bytes: int, frequencies: Frequencies) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._frequencies = frequencies
        # Dicts keep insertion order: they are the queues.
        self._small: dict[bytes, int] = {}
        self._main: dict[bytes, int] = {}
        self._ghosts: dict[bytes, None] = {}
        self._small_bytes = 0

    def __contains__(self, name: bytes) -> bool:
        return name in self._small or name in self._main

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def names(self) -> set[bytes]:
        """Return the names of all objects."""
        return self._small.keys() | self._main.keys()

    def add(self, name: bytes, size_bytes: int, *, to_main: bool = False) -> None:
        """Add an object, optionally to the main queue directly. Idempotent."""
        if name in self:
            return
        self.used_bytes += size_bytes
        if to_main or name in self._ghosts:
            self._ghosts.pop(name, None)
            self._main[name] = size_bytes
        else:
            self._small[name] = size_bytes
            self._small_bytes += size_bytes

    def remove(self, name: bytes) -> None:
        """Remove an object that no longer exists. Idempotent."""
        if (size := self._small.pop(name, None)) is not None:
            self._small_bytes -= size
        else:
            size = self._main.pop(name, 0)
        self.used_bytes -= size

    def evict(self, reserved_bytes: int = 0) -> Iterator[bytes]:
        """Yield and remove names until the rest and `reserved_bytes` are within the limit."""
        while len(self) and self.used_bytes + reserved_bytes > self.limit_bytes:
            from_small = self._small_bytes > self.limit_bytes * _SMALL_SHARE or not self._main
            if (name := self._evict_small() if from_small else self._evict_main()) is not None:
                yield name

    def _evict_small(self) -> bytes | None:
        name = next(iter(self._small))
        size = self._small.pop(name)
        self._small_bytes -= size
        is_promoted = self._frequencies.get(name) >= _PROMOTION_FREQUENCY
        self._frequencies.set(name, 0)
        if is_promoted:
            self._main[name] = size
            return None
        self.used_bytes -= size
        self._ghosts[name] = None
        while len(self._ghosts) > max(len(self._main), _MIN_GHOSTS):
            del self._ghosts[next(iter(self._ghosts))]
        return name

    def _evict_main(self) -> bytes | None:
        name = next(iter(self._main))
        size = self._main.pop(name)
        if frequency := self._frequencies.get(name):
            self._main[name] = size
            self._frequencies.set(name, frequency - 1)
            return None
        self.used_bytes -= size
        return name
