"""Consistent hashing as in ketama: many points a host on a circle, a key belongs to the next point.

A host that is added takes its share of the keys from all others alike, and moves no other key; so does one removed.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable

POINTS = 160


class HashRing:
    """Which host keeps a key. The order in which hosts are named does not matter."""

    def __init__(self, hosts: Iterable[str], *, points: int = POINTS) -> None:
        placed = sorted((_place(f"{host}-{number}"), host) for host in set(hosts) for number in range(points))
        if not placed:
            raise ValueError("a ring needs a host")
        self._places = [place for place, _ in placed]
        self._hosts = [host for _, host in placed]

    def host(self, key: str) -> str:
        """The host of a key."""
        return self._hosts[bisect.bisect(self._places, _place(key)) % len(self._hosts)]


def _place(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
