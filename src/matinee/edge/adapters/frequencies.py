"""How often objects were requested recently, in one small file that all workers map and that outlives them."""

from __future__ import annotations

from pathlib import Path

from matinee.edge.adapters.files import map_file
from matinee.edge.model.eviction import MAX_FREQUENCY

_SLOTS = 1 << 20


class SharedFrequencies:
    """One byte per object, at a slot taken from its name. Objects that share a slot share the count."""

    def __init__(self, path: Path) -> None:
        self._counts = map_file(path, _SLOTS)

    @staticmethod
    def slot(name: bytes) -> int:
        """Return the slot of a name."""
        return int.from_bytes(name[:4], "big") % _SLOTS

    def increment(self, slot: int) -> None:
        """Count a request. Without a lock: a lost increment is acceptable."""
        count = self._counts[slot]
        if count < MAX_FREQUENCY:
            self._counts[slot] = count + 1

    def get(self, name: bytes) -> int:
        return self._counts[self.slot(name)]

    def set(self, name: bytes, frequency: int) -> None:
        self._counts[self.slot(name)] = frequency
