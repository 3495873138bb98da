"""Memcached as a cache engine: a ring of hosts in each zone, written in every zone, read in the near one.

In every zone a key has one host, by consistent hashing. A read asks the near zone's; where nothing is there it asks
the next zone's, and fills the near one. Keys of a host that is away are not moved to its neighbours: the next zone
serves them. Which values of a host are good at all, `hosts` knows.

A fill must not bring back what was invalidated meanwhile. Every read of the near zone leaves an empty value where there
is none, and with it something to swap over; a lease takes hold of the key in every zone before its value is loaded.
An invalidation writes over all of these.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from urllib.parse import parse_qs, urlsplit

from matinee.drivers.cache.engine import Held, Swap, Token
from matinee.drivers.cache.hashing import HashRing
from matinee.drivers.cache.hosts import SETTLED_S, Host, Hosts
from matinee.drivers.cache.warming import listed
from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.memcached import Reply, get, store
from matinee.kit import log
from matinee.kit.clock import Clock

WARM_LIMIT = 10_000
_EMPTY_S = 30
_WARMING_S = 60
_SOON_S = 15
_TRIES = 3
_PLAIN = re.compile(r"[!-~]{1,180}")
_log = log.get()


class Hold(NamedTuple):
    """A value on one host: its full key there, and Memcached's own number for it."""

    host: Host
    full: str
    cas: int


# The first is the one that was read; the others are those that a lease took hold of.
_Holds: TypeAlias = tuple[Hold, ...]


class MemcachedCache:
    """A ring. `memcached://a@host:port,a@host:port,b@host:port/namespace?near=a`: the user part is the zone.

    Use as `async with MemcachedCache(url, clock=clock) as engine:`; its hosts may be away.
    """

    shared = True
    value_limit = 1_000_000
    # How much longer `set_many` may take, where a host cannot be told.
    settle_ms = round(SETTLED_S * 1000) + 500

    def __init__(self, url: str, *, clock: Clock, limit_ms: int = 25) -> None:
        parts = urlsplit(url)
        self._namespace = parts.path.strip("/") or "matinee"
        hosts = [_host(place) for place in parts.netloc.split(",")]
        self.hosts = Hosts(hosts, namespace=self._namespace, clock=clock, limit_s=limit_ms / 1000)
        zones = list(dict.fromkeys(host.zone for host in hosts))
        near = parse_qs(parts.query).get("near", zones[:1])[0]
        if near not in zones:
            raise ValueError(f"near={near} is none of the zones {', '.join(zones)}")
        self.hosts.is_cold = self._warm_later
        self.warmed = 0
        self._warming: set[asyncio.Task[None]] = set()
        self._by_name = {(host.zone, host.name): host for host in hosts}
        self._zones = sorted(zones, key=lambda zone: zone != near)
        self._rings = {zone: HashRing(host.name for host in hosts if host.zone == zone) for zone in zones}

    async def __aenter__(self) -> MemcachedCache:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        self.hosts.close()

    @property
    def engine(self) -> str:
        return f"memcached at {','.join(host.name for host in self.hosts.all)}"

    async def check(self) -> None:
        await self.hosts.check()

    async def get_many(self, keys: Sequence[str]) -> dict[str, Held]:
        await self.hosts.current()
        found: dict[str, Held] = {}
        left = {key: self.places(key) for key in keys}
        while left := {key: places for key, places in left.items() if places and key not in found}:
            near = {key: places.pop(0) for key, places in left.items()}
            for key, reply in (await self._read(near)).items():
                found[key] = Held(reply.value, (Hold(*near[key], reply.cas),))
        if not found:
            raise EngineUnavailable(engine="memcached", detail="No host of the Memcached ring answers.")
        return found | await self._from_afar({key: held for key, held in found.items() if not held.value})

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token]:
        await self.hosts.current()
        done = await asyncio.gather(*(self._swap(swap, swap.over) for swap in swaps if isinstance(swap.over, tuple)))
        return {swap.key: holds for swap, holds in done if holds}

    async def set_many(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        await self.hosts.current()
        written: dict[Host, int] = {}
        late = False
        for _ in range(_TRIES):
            late |= await self._write(values, ttl_ms, written)
            # Told are all hosts only if none of them has come into use, or got another generation, meanwhile.
            late |= await self.hosts.view()
            if all(host.is_out or written.get(host) == host.generation for host in self._hosts_of(values)):
                # What was put out of use, or learned its generation just now, others may use for as long as this.
                await asyncio.sleep(SETTLED_S if late else 0)
                return
        raise EngineUnavailable(engine="memcached", detail="A host of the Memcached ring comes and goes.")

    async def warm(self, name: str, *, limit: int = WARM_LIMIT, again: bool = True) -> int:
        """Fill the host `host:port` with what the next zone has of its keys, at most `limit`; how many it was.

        What it has already stays, and what is invalidated meanwhile is not brought back. Without `again` nothing is
        done where another process has begun lately. A host that comes back cold is warmed unasked. Raises EngineUnavailable.
        """
        await self.hosts.view()
        cold = next((host for host in self.hosts.all if host.name == name), None)
        if cold is None:
            raise ValueError(f"{name} is none of {', '.join(host.name for host in self.hosts.all)}")
        count = 0
        # One of all processes: whoever is first leaves a note on the host.
        note = store(f"{self._namespace}:~warming", b"", _WARMING_S, absent=True)
        if not again and ((reply := await self._one(cold, note)) is None or reply.code != b"HD"):
            return 0
        for source in self._others(cold):
            prefix = f"{self._namespace}:{source.generation:x}:"
            async for key in listed(source.client, prefix, limit - count):
                count += await self._brought(key, cold, source)
                await asyncio.sleep(0)  # whoever is served goes first
        self.warmed += count
        return count

    def _warm_later(self, cold: Host) -> None:
        if len(self._zones) > 1:
            task = asyncio.create_task(self._warm_quietly(cold))
            self._warming.add(task)
            task.add_done_callback(self._warming.discard)

    async def _warm_quietly(self, cold: Host) -> None:
        try:
            count = await self.warm(cold.name, again=False)
            _log.info("cache.warmed", host=cold.name, values=count)
        except EngineUnavailable as error:  # reads fill it by and by
            _log.warning("cache.not_warmed", host=cold.name, error=str(error))

    async def _brought(self, key: str, cold: Host, source: Host) -> bool:
        place = self.place(cold.zone, key)
        if place[0] is not cold or (held := await self.take_hold(place)) is None or not held[1]:
            return False
        copied = await self.copy(held[0], self.place(source.zone, key))
        return copied is not None and copied.token != (held[0],)

    def _others(self, cold: Host) -> list[Host]:
        """The hosts of one other zone: the first that has one in use."""
        zones = [zone for zone in self._zones if zone != cold.zone]
        in_use = {zone: [host for host in self.hosts.all if host.zone == zone and not host.is_out] for zone in zones}
        return next((hosts for hosts in in_use.values() if hosts), [])

    def place(self, zone: str, name: str) -> tuple[Host, str]:
        """Where a key, as `name` has it, lies in a zone: the host, and the full key there."""
        host = self._by_name[zone, self._rings[zone].host(name)]
        return host, f"{self._namespace}:{host.generation:x}:{name}"

    def places(self, key: str) -> list[tuple[Host, str]]:
        """Where a key lies, in each zone, the near one first; without hosts that are out of use."""
        found = [self.place(zone, _name(key)) for zone in self._zones]
        return [(host, full) for host, full in found if not host.is_out]

    async def copy(self, hold: Hold, source: tuple[Host, str]) -> Held | None:
        """Bring a value from another zone to where there was none when it was taken hold of. None: there is none.

        What ends soon (a lease, an invalidation) is told, and not brought: nobody would take it away again.
        """
        reply = await self._one(source[0], get(source[1], flags="vt"))
        if reply is None or not reply.value:
            return None
        if (ttl_s := int(reply.flags["t"])) <= _SOON_S:
            return Held(reply.value, (hold,))
        stored = await self._one(hold.host, store(hold.full, reply.value, ttl_s, cas=hold.cas))
        return Held(reply.value, (hold if stored is None or not stored.cas else hold._replace(cas=stored.cas),))

    async def take_hold(self, place: tuple[Host, str]) -> tuple[Hold, bool] | None:
        """Know a value on a host again, and whether it is empty; where there was none it is, from now on."""
        reply = await self._one(place[0], get(place[1], flags="cs", vivify_s=_EMPTY_S))
        return None if reply is None or not reply.cas else (Hold(*place, reply.cas), reply.flags.get("s") == b"0")

    async def _swap(self, swap: Swap, holds: _Holds) -> tuple[Swap, _Holds]:
        """Over the value that was read, and over all that a lease has hold of; a lease takes hold of the rest."""
        far = [place for place in self.places(swap.key) if place[0] is not holds[0].host] if len(holds) == 1 else []
        written, others = await asyncio.gather(
            asyncio.gather(*(self._over(hold, swap) for hold in holds)),
            asyncio.gather(*(self.take_hold(place) for place in far)),
        )
        if written[0] is None:
            return swap, ()
        empty = [other[0] for other in others if other is not None and other[1]]
        filled = await asyncio.gather(*(self._over(hold, swap) for hold in empty))
        taken = [other[0] for other in others if other is not None and not other[1]]
        return swap, tuple(hold for hold in (*written, *filled, *taken) if hold is not None)

    async def _over(self, hold: Hold, swap: Swap) -> Hold | None:
        reply = await self._one(hold.host, store(hold.full, swap.value, _seconds(swap.ttl_ms), cas=hold.cas))
        return hold._replace(cas=reply.cas) if reply is not None and reply.code == b"HD" else None

    async def _write(self, values: Mapping[str, bytes], ttl_ms: int, written: dict[Host, int]) -> bool:
        """Write to every host that is in use and has not got it yet; whether one was put out of use for it."""
        requests: dict[Host, list[bytes]] = defaultdict(list)
        for key, value in values.items():
            for host, full in self.places(key):
                if written.get(host) != host.generation:
                    requests[host].append(store(full, value, _seconds(ttl_ms)))
        meant = {host: host.generation for host in requests}
        replies = await self.hosts.ask_all(requests)
        good = {host for host, theirs in replies.items() if all(reply.code == b"HD" for reply in theirs)}
        written.update({host: meant[host] for host in good})
        if bad := [host for host in requests if host not in good]:
            await self.hosts.put_out(bad)
        return bool(bad)

    async def _from_afar(self, empty: dict[str, Held]) -> dict[str, Held]:
        async def one(key: str, held: Held) -> tuple[str, Held]:
            hold: Hold = held.token[0]  # type: ignore[index]  # ours: `get_many` made it, a tuple
            for source in self.places(key):
                if source[0] is not hold.host and (copied := await self.copy(hold, source)) is not None:
                    return key, copied
            return key, held

        return dict(await asyncio.gather(*(one(key, held) for key, held in empty.items())))

    async def _one(self, host: Host, request: bytes) -> Reply | None:
        replies = await self.hosts.ask(host, [request])
        return None if replies is None else replies[0]

    async def _read(self, places: Mapping[str, tuple[Host, str]]) -> dict[str, Reply]:
        keys: dict[Host, list[str]] = defaultdict(list)
        for key, (host, _) in places.items():
            keys[host].append(key)
        replies = await self.hosts.ask_all(
            {
                host: [get(places[key][1], flags="vc", vivify_s=_EMPTY_S) for key in theirs]
                for host, theirs in keys.items()
            }
        )
        return {key: reply for host, theirs in replies.items() for key, reply in zip(keys[host], theirs, strict=True)}

    def _hosts_of(self, keys: Iterable[str]) -> set[Host]:
        return {self.place(zone, _name(key))[0] for key in keys for zone in self._zones}


def _host(place: str) -> Host:
    zone, _, name = place.rpartition("@")
    return Host(zone, name if ":" in name else f"{name}:11211")


def _name(key: str) -> str:
    """A key as Memcached takes it: its own, or its digest where it is long or has more than printable ASCII."""
    return key if _PLAIN.fullmatch(key) else "#" + hashlib.blake2b(key.encode(), digest_size=20).hexdigest()


def _seconds(ttl_ms: int) -> int:
    return -(-ttl_ms // 1000)
