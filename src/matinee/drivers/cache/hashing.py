"""Consistent hashing as in ketama: each host has many points on a circle, and a key belongs to the next point.

A host that is added takes an equal share of the keys of all others, and no other keys move.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable

POINTS = 160


class HashRing:
    """Assigns keys to hosts. The order of the hosts does not matter."""

    def __init__(self, hosts: Iterable[str], *, points: int = POINTS) -> None:
        ring = sorted((_hash(f"{host}-{number}"), host) for host in set(hosts) for number in range(points))
        if not ring:
            raise ValueError("a ring needs a host")
        self._points = [point for point, _ in ring]
        self._hosts = [host for _, host in ring]

    def host(self, key: str) -> str:
        """Return the host of a key."""
        return self._hosts[bisect.bisect(self._points, _hash(key)) % len(self._hosts)]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
