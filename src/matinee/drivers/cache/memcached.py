"""Memcached as a cache engine: a ring of hosts in each zone, written in every zone, read in the near zone.

Each key has one host in every zone, by consistent hashing. If the near host does not answer or lacks the key, the next
zone serves the value; a host that lacks it gets a copy. The keys of a failed host are not moved to other hosts of its
zone.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs, urlsplit

from matinee.drivers.cache.hashing import HashRing
from matinee.drivers.cache.host_pool import Host, HostPool
from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.memcached import MAX_TTL_S, Reply, build_get, build_set
from matinee.kit import log

WARM_LIMIT = 10_000
# An attempt goes on after the request for which it began has timed out.
_MIN_CONNECT_S = 0.5
# Longer than that of other requests: a marker that is stored unnoticed would prevent the warming.
_MARKER_TIMEOUT_S = 2.0
_PLAIN = re.compile(r"[!-~]{1,180}")
_log = log.get()


class MemcachedCache:
    """A ring. `memcached://a@host:port,a@host:port,b@host:port/namespace?near=a`: the user part is the zone.

    Use as `async with MemcachedCache(url) as engine:`; hosts may be unavailable.
    """

    max_value_bytes = 1_000_000

    def __init__(self, url: str, *, host_timeout_ms: int = 25) -> None:
        parts = urlsplit(url)
        self._prefix = f"{parts.path.strip('/') or 'matinee'}:"
        connect_s = max(host_timeout_ms / 1000, _MIN_CONNECT_S)
        hosts = [_parse_host(host, connect_s) for host in parts.netloc.split(",")]
        zones = list(dict.fromkeys(host.zone for host in hosts))
        near = parse_qs(parts.query).get("near", zones[:1])[0]
        if near not in zones:
            raise ValueError(f"near={near} is not one of the zones {', '.join(zones)}")
        self._zones = sorted(zones, key=lambda zone: zone != near)
        self._rings = {zone: HashRing(host.name for host in hosts if host.zone == zone) for zone in zones}
        self._hosts = {(host.zone, host.name): host for host in hosts}
        self._pool = HostPool(hosts, timeout_s=host_timeout_ms / 1000)
        if len(zones) > 1:
            for host in hosts:
                host.client.on_connect = functools.partial(self._on_connect, host)
        self.warmed = 0
        self._copying: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> MemcachedCache:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._copying:
            task.cancel()
        await asyncio.gather(*self._copying, return_exceptions=True)
        self._pool.close()

    @property
    def engine(self) -> str:
        return f"memcached at {','.join(host.name for host in self._pool.hosts)}"

    @property
    def is_copying(self) -> bool:
        """Whether values are being copied between zones."""
        return bool(self._copying)

    async def check(self) -> None:
        await self._pool.check()

    async def get(self, key: str) -> bytes | None:
        name = _to_name(key)
        empty: list[Host] = []
        for zone in self._zones:
            host = self._locate(zone, name)
            reply = await self._read(host, name)
            if reply is None:
                continue
            if reply.code == b"VA":
                for other in empty:
                    self._start(self._add(other, name, reply))
                return reply.value
            empty.append(host)
        if not empty:
            raise EngineUnavailable(engine="memcached", detail="No host of the Memcached ring answers.")
        return None

    async def put(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        name = _to_name(key)
        request = build_set(self._prefix + name, value, -(-ttl_ms // 1000))
        hosts = [self._locate(zone, name) for zone in self._zones]
        replies = await asyncio.gather(*(self._pool.request(host, request) for host in hosts))
        if not any(reply is not None and reply.code == b"HD" for reply in replies):
            raise EngineUnavailable(engine="memcached", detail="No host of the Memcached ring stores the value.")

    def _on_connect(self, host: Host) -> None:
        self._start(self._warm_if_empty(host))

    async def _warm_if_empty(self, host: Host) -> None:
        # A restarted host has lost the marker. Of all processes, only the one that stores it again warms the host.
        marker = build_set(f"{self._prefix}~warmed", b"", MAX_TTL_S, only_if_absent=True)
        try:
            async with asyncio.timeout(_MARKER_TIMEOUT_S):
                reply = await host.client.request(marker)
        except (EngineUnavailable, TimeoutError):
            return
        host.breaker.succeed()  # it may still be open from the failures before this connection
        if reply.code != b"HD":
            return
        try:
            count = await self._warm(host)
            _log.info("cache.warmed", host=host.name, values=count)
        except EngineUnavailable as error:  # reads fill the host gradually
            _log.warning("cache.warming_failed", host=host.name, error=str(error))

    async def _warm(self, host: Host) -> int:
        """Copy values of a host from the next zone; return their number. Raises EngineUnavailable."""
        zone = next(zone for zone in self._zones if zone != host.zone)
        count = 0
        for source in [source for source in self._pool.hosts if source.zone == zone]:
            async for name in source.client.list_keys(self._prefix, WARM_LIMIT - count):
                if self._locate(host.zone, name) is host and (reply := await self._read(source, name)) is not None:
                    count += await self._add(host, name, reply)
        self.warmed += count
        return count

    async def _read(self, host: Host, name: str) -> Reply | None:
        return await self._pool.request(host, build_get(self._prefix + name))

    async def _add(self, host: Host, name: str, read: Reply) -> bool:
        """Store what was read from another host, unless there is a value meanwhile; return whether it was stored."""
        if read.code != b"VA":
            return False
        request = build_set(self._prefix + name, read.value, read.ttl_s, only_if_absent=True)
        reply = await self._pool.request(host, request)
        return reply is not None and reply.code == b"HD"

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._copying.add(task)
        task.add_done_callback(self._copying.discard)

    def _locate(self, zone: str, name: str) -> Host:
        return self._hosts[zone, self._rings[zone].host(name)]


def _parse_host(text: str, connect_s: float) -> Host:
    zone, _, name = text.rpartition("@")
    return Host(zone, name if ":" in name else f"{name}:11211", connect_s=connect_s)


def _to_name(key: str) -> str:
    """Return a key as Memcached accepts it: the digest of a key that is long or not printable ASCII."""
    return key if _PLAIN.fullmatch(key) else "#" + hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
