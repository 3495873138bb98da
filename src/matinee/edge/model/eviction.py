"""What to keep: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).

Three queues: what is new waits in a small one and leaves soon unless it is asked for again; what has proved itself
goes round in the main one; and a list of names remembers what left the small one, so that a second coming is
believed at once. A hit moves nothing: it only raises the object's heat.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

MAX_FREQUENCY = 3
_PROVED = 2
_SMALL_SHARE = 0.1


class Heat(Protocol):
    """How often each object was asked for of late, 0 to `MAX_FREQUENCY`; may be shared by processes and may forget."""

    def of(self, name: bytes) -> int:
        """How hot an object is."""

    def cool(self, name: bytes, heat: int) -> None:
        """Set an object's heat."""


class S3Fifo:
    """Which objects stay within a limit in bytes. A name not told of through `admit` is nobody's concern."""

    def __init__(self, limit_bytes: int, heat: Heat) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._heat = heat
        self._small: dict[bytes, int] = {}  # dicts keep their order: these are the queues
        self._main: dict[bytes, int] = {}
        self._ghosts: dict[bytes, None] = {}
        self._small_bytes = 0

    def __contains__(self, name: bytes) -> bool:
        return name in self._small or name in self._main

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def names(self) -> set[bytes]:
        """All that it keeps."""
        return self._small.keys() | self._main.keys()

    def admit(self, name: bytes, size_bytes: int, *, proved: bool = False) -> None:
        """Take in an object; `proved` puts it straight among the main ones. Idempotent."""
        if name in self:
            return
        self.used_bytes += size_bytes
        if proved or name in self._ghosts:
            self._ghosts.pop(name, None)
            self._main[name] = size_bytes
        else:
            self._small[name] = size_bytes
            self._small_bytes += size_bytes

    def remove(self, name: bytes) -> None:
        """Forget an object that is gone. Idempotent."""
        if (size := self._small.pop(name, None)) is not None:
            self._small_bytes -= size
        else:
            size = self._main.pop(name, 0)
        self.used_bytes -= size

    def overflow(self, reserved_bytes: int = 0) -> Iterator[bytes]:
        """The names that must leave so that the rest and `reserved_bytes` fit; each is forgotten as it is told."""
        while len(self) and self.used_bytes + reserved_bytes > self.limit_bytes:
            from_small = self._small_bytes > self.limit_bytes * _SMALL_SHARE or not self._main
            if (name := self._leave_small() if from_small else self._leave_main()) is not None:
                yield name

    def _leave_small(self) -> bytes | None:
        name = next(iter(self._small))
        size = self._small.pop(name)
        self._small_bytes -= size
        proved = self._heat.of(name) >= _PROVED
        self._heat.cool(name, 0)
        if proved:
            self._main[name] = size
            return None
        self.used_bytes -= size
        self._remember(name)
        return name

    def _leave_main(self) -> bytes | None:
        name = next(iter(self._main))
        size = self._main.pop(name)
        if heat := self._heat.of(name):
            self._main[name] = size
            self._heat.cool(name, heat - 1)
            return None
        self.used_bytes -= size
        return name

    def _remember(self, name: bytes) -> None:
        self._ghosts[name] = None
        while len(self._ghosts) > max(len(self._main), 1000):
            del self._ghosts[next(iter(self._ghosts))]
