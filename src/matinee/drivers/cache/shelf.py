"""The records of one cache in its engine: what is seen of them, and what may be put over what was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from matinee.drivers.cache.engine import Held, Swap, Token
from matinee.drivers.cache.guard import Guard
from matinee.drivers.cache.policy import Policy
from matinee.drivers.cache.record import Kind, Record, encoding_of, pack, unpack
from matinee.kit.clock import Clock, to_ms

V = TypeVar("V")
Valid: TypeAlias = Callable[[V], bool]
Says: TypeAlias = Literal["hit", "none", "stale", "miss", "busy", "big"]

GONE_MS = 10_000
VERSION_MS = 30 * 86_400_000
BIG_MS = 60_000
# An engine drops a value a little later than the value itself says.
_LATER_MS = 1_000


class Seen(NamedTuple):
    """What was found under a key, in which version of the namespace, and what knows it again.

    `says`: hit, none, stale (without a token while somebody loads it anew), miss, busy (somebody loads it), big (never
    kept).
    """

    says: Says
    version: int
    token: Token | None = None
    record: Record | None = None
    value: Any = None

    @property
    def mark(self) -> bytes:
        """What tells this record from every other."""
        return b"" if self.record is None else self.record.mark


class Shelf(Generic[V]):
    """One cache's part of an engine."""

    def __init__(
        self, guard: Guard, name: str, kind: Any, clock: Clock, policy: Policy, draw: Callable[[], float]
    ) -> None:
        self._guard = guard
        self._name = name
        self._clock = clock
        self._policy = policy
        self._draw = draw
        # A changed encoding is another namespace: a new release never reads what an old one wrote.
        self.space = f"{name}.{encoding_of(kind)}"
        self._prefix, self._version_key = f"{self.space}:", f"{self.space}~version"
        self._decoder = msgspec.msgpack.Decoder(kind)

    async def look(self, keys: Iterable[str], valid: Valid[V] | None) -> dict[str, Seen]:
        """What is found under each of the keys; nothing at all where the engine is away."""
        held = await self._guard.get_many([self._version_key, *(self._prefix + key for key in keys)])
        version = None if held is None else await self._version(held.get(self._version_key))
        if held is None or version is None:
            return {}
        return {key: self._judged(key, held.get(self._prefix + key), version, valid) for key in keys}

    async def lease(self, seen: Mapping[str, Seen]) -> dict[str, Seen] | None:
        """Become the one who loads: the keys that were won, as they stand now. None where the engine is away."""
        now_ms = self._now_ms()
        records = {
            key: Record(kind=Kind.LEASE, version=one.version, made_ms=now_ms, lease_ms=now_ms + self._policy.lease_ms)
            for key, one in seen.items()
        }
        return await self._swapped(seen, records)

    async def lease_stale(self, seen: Mapping[str, Seen]) -> dict[str, Seen] | None:
        """Become the one who loads anew, with the stale values standing until then."""
        until_ms = self._now_ms() + self._policy.lease_ms
        records = {
            key: msgspec.structs.replace(one.record, lease_ms=until_ms)
            for key, one in seen.items()
            if one.record is not None
        }
        return await self._swapped(seen, records)

    async def keep(self, leased: Mapping[str, Seen], loaded: Mapping[str, V]) -> None:
        """Put what was loaded over the leases, as far as they still stand."""
        records = {key: self._made(one.version, key in loaded, loaded.get(key)) for key, one in leased.items()}
        big = sum(record.kind == Kind.BIG for record in records.values())
        kept = await self._swapped(leased, records)
        self.count("big", big)
        self.count("kept", len(kept or {}))
        self.count("lost", len(leased) - len(kept or {}))

    async def free(self, leased: Mapping[str, Seen]) -> None:
        """Give leases back, so that nobody waits for what will not come."""
        await self._swapped(leased, {key: self._gone(one.version) for key, one in leased.items()})

    async def forget(self, keys: Iterable[str]) -> bool:
        """Make what is kept under some keys invisible, and worthless what is being loaded. Whether it is told."""
        gone = {self._prefix + key: pack(self._prefix + key, self._gone(0)) for key in keys}
        return await self._guard.set_many(gone, GONE_MS)

    async def forget_all(self) -> bool:
        """Make all that is kept invisible. Whether it is told."""
        return await self._guard.set_many({self._version_key: self._new_version()}, VERSION_MS)

    def count(self, outcome: str, count: int = 1) -> None:
        """Count keys."""
        self._guard.figures.keys(self._name, outcome, count)

    async def _version(self, held: Held | None) -> int | None:
        if (version := self._version_in(held)) is not None:
            return version
        first = Swap(self._version_key, held and held.token, self._new_version(), VERSION_MS)
        if await self._guard.swap_many([first]) is None:
            return None
        return self._version_in((await self._guard.get_many([self._version_key]) or {}).get(self._version_key))

    def _version_in(self, held: Held | None) -> int | None:
        record = unpack(self._version_key, held.value) if held and held.value else None
        return None if record is None or record.kind != Kind.VALUE else record.version

    def _new_version(self) -> bytes:
        # Never one that was there before, also where the one before was lost.
        version = (self._now_ms() << 20) + int(self._draw() * (1 << 20))
        return pack(self._version_key, Record(kind=Kind.VALUE, version=version, made_ms=self._now_ms()))

    def _judged(self, key: str, held: Held | None, version: int, valid: Valid[V] | None) -> Seen:
        if held is None or not held.value:
            return Seen("miss", version, held and held.token)
        record = unpack(self._prefix + key, held.value)
        if record is None:
            self.count("corrupt")
        now_ms = self._now_ms()
        if record is None or record.version != version:
            return Seen("miss", version, held.token)
        if record.kind == Kind.LEASE and record.lease_ms > now_ms:
            return Seen("busy", version, held.token, record)
        if record.good_ms <= now_ms:
            return Seen("miss", version, held.token)
        return self._opened(record, held.token, now_ms, valid)

    def _opened(self, record: Record, token: Token, now_ms: int, valid: Valid[V] | None) -> Seen:
        if record.kind != Kind.VALUE:
            return Seen("none" if record.kind == Kind.NONE else "big", record.version, token, record)
        try:
            value: V = self._decoder.decode(record.body)
        except msgspec.MsgspecError:
            self.count("corrupt")
            return Seen("miss", record.version, token)
        if valid is not None and not valid(value):
            return Seen("miss", record.version, token)
        if record.fresh_ms > now_ms:
            return Seen("hit", record.version, token, record, value)
        return Seen("stale", record.version, None if record.lease_ms > now_ms else token, record, value)

    def _made(self, version: int, there: bool, value: V | None) -> Record:
        now_ms, policy = self._now_ms(), self._policy
        spread = 1 - policy.jitter * self._draw()
        if not there:
            good_ms = now_ms + round(policy.none_ms * spread)
            return Record(kind=Kind.NONE, version=version, made_ms=now_ms, good_ms=good_ms)
        body = msgspec.msgpack.encode(value)
        if len(body) > self._guard.value_limit:
            return Record(kind=Kind.BIG, version=version, made_ms=now_ms, good_ms=now_ms + BIG_MS)
        return Record(
            kind=Kind.VALUE,
            version=version,
            made_ms=now_ms,
            fresh_ms=now_ms + round((policy.fresh_ms or policy.ttl_ms) * spread),
            good_ms=now_ms + round(policy.ttl_ms * spread),
            body=body,
        )

    def _gone(self, version: int) -> Record:
        return Record(kind=Kind.GONE, version=version, made_ms=self._now_ms())

    async def _swapped(self, seen: Mapping[str, Seen], records: Mapping[str, Record]) -> dict[str, Seen] | None:
        packed = {key: pack(self._prefix + key, record) for key, record in records.items()}
        swaps = [
            Swap(self._prefix + key, seen[key].token, packed[key], self._ttl_ms(record))
            for key, record in records.items()
        ]
        done = await self._guard.swap_many(swaps)
        if done is None:
            return None
        return {
            key: seen[key]._replace(token=done[self._prefix + key], record=unpack(self._prefix + key, packed[key]))
            for key in records
            if self._prefix + key in done
        }

    def _ttl_ms(self, record: Record) -> int:
        until_ms = max(record.good_ms, record.lease_ms, record.made_ms + _LATER_MS)
        return until_ms - self._now_ms() + _LATER_MS

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())
