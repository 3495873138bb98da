"""Memcached as a cache engine: a ring of hosts in each zone, written in every zone, read in the near zone.

Each key has one host in every zone, by consistent hashing. A read asks the host of the near zone. If the key is missing
there, the value is copied from the next zone; if the host does not answer, the next zone serves the value. The keys of
a failed host are not moved to other hosts of its zone.

A fill must not restore a value that was invalidated meanwhile. Therefore a read creates an empty value where there is
none, so that it has a CAS number to replace; a lease gets the CAS number of the key in every zone before the value is
loaded; and an invalidation overwrites the key in every zone.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias, cast
from urllib.parse import parse_qs, urlsplit

from matinee.drivers.cache.engine import StoredBytes, Swap, Token
from matinee.drivers.cache.hashing import HashRing
from matinee.drivers.cache.host_pool import Host, HostPool
from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.memcached import MAX_TTL_S, Reply, build_get, build_set
from matinee.kit import log

WARM_LIMIT = 10_000
_EMPTY_TTL_S = 30
_MIN_COPIED_TTL_S = 15
# Longer than that of other requests: a marker that is stored unnoticed would prevent the warming.
_MARKER_TIMEOUT_S = 2.0
_PLAIN = re.compile(r"[!-~]{1,180}")
_log = log.get()


class Location(NamedTuple):
    """The place of a key in one zone."""

    host: Host
    key: str


class Copy(NamedTuple):
    """The copy of a value in one zone, identified by its CAS number."""

    host: Host
    key: str
    cas: int


# The first is the copy that was read; a lease adds those of the other zones.
_Copies: TypeAlias = tuple[Copy, ...]


class MemcachedCache:
    """A ring. `memcached://a@host:port,a@host:port,b@host:port/namespace?near=a`: the user part is the zone.

    Use as `async with MemcachedCache(url) as engine:`; hosts may be unavailable.
    """

    is_shared = True
    max_value_bytes = 1_000_000

    def __init__(self, url: str, *, host_timeout_ms: int = 25) -> None:
        parts = urlsplit(url)
        self._prefix = f"{parts.path.strip('/') or 'matinee'}:"
        hosts = [_parse_host(host) for host in parts.netloc.split(",")]
        zones = list(dict.fromkeys(host.zone for host in hosts))
        near = parse_qs(parts.query).get("near", zones[:1])[0]
        if near not in zones:
            raise ValueError(f"near={near} is not one of the zones {', '.join(zones)}")
        self._zones = sorted(zones, key=lambda zone: zone != near)
        self._rings = {zone: HashRing(host.name for host in hosts if host.zone == zone) for zone in zones}
        self._hosts = {(host.zone, host.name): host for host in hosts}
        self._pool = HostPool(hosts, timeout_s=host_timeout_ms / 1000)
        for host in hosts:
            host.client.on_connect = functools.partial(self._on_connect, host)
        self.warmed = 0
        self._warming: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> MemcachedCache:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        self._pool.close()

    @property
    def engine(self) -> str:
        return f"memcached at {','.join(host.name for host in self._pool.hosts)}"

    @property
    def is_warming(self) -> bool:
        """Whether hosts are being checked or warmed after a new connection."""
        return bool(self._warming)

    async def check(self) -> None:
        await self._pool.check()

    async def get_many(self, keys: Sequence[str]) -> dict[str, StoredBytes]:
        found: dict[str, StoredBytes] = {}
        for zone in self._zones:
            locations = {key: self._locate(zone, key) for key in keys if key not in found}
            for key, reply in (await self._get(locations)).items():
                found[key] = StoredBytes(reply.value, (Copy(*locations[key], reply.cas),))
        if not found:
            raise EngineUnavailable(engine="memcached", detail="No host of the Memcached ring answers.")
        empty = [self._fetch(key, stored) for key, stored in found.items() if not stored.value]
        return found | dict(await asyncio.gather(*empty))

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token]:
        done = await asyncio.gather(*(self._swap(swap) for swap in swaps if swap.expected is not None))
        return {key: copies for key, copies in done if copies}

    async def set_many(
        self, values: Mapping[str, bytes], ttl_ms: int, *, missed: Mapping[str, Token]
    ) -> dict[str, Token]:
        writes: dict[Host, dict[str, Location]] = defaultdict(dict)
        for key in values:
            for location in cast("list[Location]", missed.get(key)) or self._locate_all(key):
                writes[location.host][key] = location
        replies = await self._pool.request_all(
            {
                host: [build_set(location.key, values[key], _to_seconds(ttl_ms)) for key, location in batch.items()]
                for host, batch in writes.items()
            }
        )
        failed: dict[str, list[Location]] = defaultdict(list)
        for host, batch in writes.items():
            codes = [reply.code for reply in replies[host]] if host in replies else [b""] * len(batch)
            for (key, location), code in zip(batch.items(), codes, strict=True):
                if code != b"HD":
                    failed[key].append(location)
        return dict(failed)

    async def warm(self, name: str, *, limit: int = WARM_LIMIT) -> int:
        """Fill the host `host:port` from the next zone with at most `limit` values; return their number.

        Existing values stay, and values that are invalidated meanwhile are not restored. Raises EngineUnavailable.
        """
        cold = next((host for host in self._pool.hosts if host.name == name), None)
        if cold is None:
            raise ValueError(f"{name} is not one of {', '.join(host.name for host in self._pool.hosts)}")
        zone = next((zone for zone in self._zones if zone != cold.zone), None)
        count = 0
        for source in [host for host in self._pool.hosts if host.zone == zone]:
            async for key in source.client.list_keys(self._prefix, limit - count):
                count += await self._copy_to(cold, source, key)
                await asyncio.sleep(0)  # requests have priority
        self.warmed += count
        return count

    def _on_connect(self, host: Host) -> None:
        if len(self._zones) > 1:
            task = asyncio.create_task(self._warm_if_empty(host))
            self._warming.add(task)
            task.add_done_callback(self._warming.discard)

    async def _warm_if_empty(self, host: Host) -> None:
        # A restarted host has lost the marker. Of all processes, only the one that stores it again warms the host.
        marker = build_set(f"{self._prefix}~warmed", b"", MAX_TTL_S, only_if_absent=True)
        try:
            async with asyncio.timeout(_MARKER_TIMEOUT_S):
                (reply,) = await host.client.request([marker])
        except (EngineUnavailable, TimeoutError):
            return
        host.breaker.succeed()  # it may still be open from the failures before this connection
        if reply.code != b"HD":
            return
        try:
            count = await self.warm(host.name)
            _log.info("cache.warmed", host=host.name, values=count)
        except EngineUnavailable as error:  # reads fill the host gradually
            _log.warning("cache.warming_failed", host=host.name, error=str(error))

    async def _copy_to(self, cold: Host, source: Host, key: str) -> bool:
        """Copy a stored key to a host, if it belongs there and is missing."""
        location = self._locate_name(cold.zone, key)
        if location.host is not cold or (reserved := await self._reserve(location)) is None:
            return False
        copy, is_empty = reserved
        stored = await self._copy(self._locate_name(source.zone, key), copy) if is_empty else None
        return stored is not None and stored.token != (copy,)

    async def _fetch(self, key: str, empty: StoredBytes) -> tuple[str, StoredBytes]:
        """Copy a value that the near zone lacks from another zone."""
        copy = cast("_Copies", empty.token)[0]
        for location in self._locate_all(key):
            if location.host is not copy.host and (stored := await self._copy(location, copy)) is not None:
                return key, stored
        return key, empty

    async def _copy(self, source: Location, empty: Copy) -> StoredBytes | None:
        """Copy a value over an empty one; return it, or None if the source has none.

        A value with little time left, such as a lease or an invalidation, is returned but not copied: nothing would
        replace the copy when the value is replaced.
        """
        reply = await self._request(source.host, build_get(source.key, flags="vt"))
        if reply is None or not reply.value:
            return None
        if (ttl_s := int(reply.flags["t"])) <= _MIN_COPIED_TTL_S:
            return StoredBytes(reply.value, (empty,))
        stored = await self._request(empty.host, build_set(empty.key, reply.value, ttl_s, cas=empty.cas))
        return StoredBytes(reply.value, (empty._replace(cas=stored.cas) if stored and stored.cas else empty,))

    async def _reserve(self, location: Location) -> tuple[Copy, bool] | None:
        """Return the copy at a location, created empty if there is none, and whether it is empty."""
        reply = await self._request(location.host, build_get(location.key, flags="cs", vivify_s=_EMPTY_TTL_S))
        return None if reply is None or not reply.cas else (Copy(*location, reply.cas), reply.flags.get("s") == b"0")

    async def _swap(self, swap: Swap) -> tuple[str, _Copies]:
        """Replace the copies of a token. With the token of a read, also fill or reserve the copies of other zones."""
        copies = cast("_Copies", swap.expected)
        locations = self._locate_all(swap.key) if len(copies) == 1 else []
        others = [location for location in locations if location.host is not copies[0].host]
        replaced, reserved = await asyncio.gather(
            asyncio.gather(*(self._replace(copy, swap) for copy in copies)),
            asyncio.gather(*(self._reserve(location) for location in others)),
        )
        if replaced[0] is None:
            return swap.key, ()
        empty = [other[0] for other in reserved if other is not None and other[1]]
        filled = await asyncio.gather(*(self._replace(copy, swap) for copy in empty))
        kept = [other[0] for other in reserved if other is not None and not other[1]]
        return swap.key, tuple(copy for copy in (*replaced, *filled, *kept) if copy is not None)

    async def _replace(self, copy: Copy, swap: Swap) -> Copy | None:
        request = build_set(copy.key, swap.value, _to_seconds(swap.ttl_ms), cas=copy.cas)
        reply = await self._request(copy.host, request)
        return copy._replace(cas=reply.cas) if reply is not None and reply.code == b"HD" else None

    async def _request(self, host: Host, request: bytes) -> Reply | None:
        replies = await self._pool.request(host, [request])
        return None if replies is None else replies[0]

    async def _get(self, locations: Mapping[str, Location]) -> dict[str, Reply]:
        keys: dict[Host, list[str]] = defaultdict(list)
        for key, location in locations.items():
            keys[location.host].append(key)
        requests = {
            host: [build_get(locations[key].key, flags="vc", vivify_s=_EMPTY_TTL_S) for key in batch]
            for host, batch in keys.items()
        }
        replies = await self._pool.request_all(requests)
        return {key: reply for host, batch in replies.items() for key, reply in zip(keys[host], batch, strict=True)}

    def _locate(self, zone: str, key: str) -> Location:
        return self._locate_name(zone, _to_name(key))

    def _locate_all(self, key: str) -> list[Location]:
        """Return the locations of a key in all zones, the near zone first."""
        return [self._locate(zone, key) for zone in self._zones]

    def _locate_name(self, zone: str, name: str) -> Location:
        return Location(self._hosts[zone, self._rings[zone].host(name)], self._prefix + name)


def _parse_host(text: str) -> Host:
    zone, _, name = text.rpartition("@")
    return Host(zone, name if ":" in name else f"{name}:11211")


def _to_name(key: str) -> str:
    """Return a key as Memcached accepts it: the digest of a key that is long or not printable ASCII."""
    return key if _PLAIN.fullmatch(key) else "#" + hashlib.blake2b(key.encode(), digest_size=20).hexdigest()


def _to_seconds(ttl_ms: int) -> int:
    return -(-ttl_ms // 1000)
