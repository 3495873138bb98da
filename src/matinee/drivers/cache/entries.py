"""The entries of one cache in its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from random import Random
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from matinee.drivers.cache.client import CacheClient
from matinee.drivers.cache.codec import CacheEntry, EntryKind, decode_entry, encode_entry, schema_digest
from matinee.drivers.cache.engine import StoredBytes, Swap, Token
from matinee.drivers.cache.policy import CachePolicy
from matinee.kit.clock import CLOCK_SKEW, Clock, to_ms

V = TypeVar("V")
IsValid: TypeAlias = Callable[[V], bool]
Outcome: TypeAlias = Literal["hit", "absent", "stale", "miss", "leased", "too_large"]

_INVALIDATED_TTL_MS = 10_000
_TOO_LARGE_TTL_MS = 60_000
# An engine drops an entry a little later than the entry itself says.
_DROP_AFTER_MS = 1_000
_SKEW_MS = CLOCK_SKEW // timedelta(milliseconds=1)


class ReadResult(NamedTuple):
    """What was read under a key.

    `leased` means that another call is loading the value. The `token` of a stale value is None while it is reloaded.
    """

    outcome: Outcome
    token: Token | None = None
    entry: CacheEntry | None = None
    value: Any = None

    @property
    def write_id(self) -> bytes:
        """The identifier of the write that stored the entry; empty without an entry."""
        return b"" if self.entry is None else self.entry.write_id


class EntryStore(Generic[V]):
    """Reads and writes the entries of one cache."""

    def __init__(
        self, client: CacheClient, name: str, kind: Any, clock: Clock, policy: CachePolicy, rng: Random
    ) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._policy = policy
        self._rng = rng
        # Each schema has its own namespace, so that a release never reads what another release wrote.
        self.namespace = f"{name}.{schema_digest(kind)}"
        self._prefix = f"{self.namespace}:"
        self._decoder = msgspec.msgpack.Decoder(kind)

    async def read(self, keys: Iterable[str], is_valid: IsValid[V] | None) -> dict[str, ReadResult]:
        """Return what is stored under each key; nothing at all if the engine is unavailable."""
        keys = list(keys)
        stored = await self._client.get_many([self._prefix + key for key in keys])
        if stored is None:
            return {}
        return {key: self._to_result(key, stored.get(self._prefix + key), is_valid) for key in keys}

    async def acquire_leases(self, missing: Mapping[str, ReadResult]) -> dict[str, ReadResult] | None:
        """Return the keys that this call may load, with their leases; None if the engine is unavailable."""
        now_ms = self._now_ms()
        lease = CacheEntry(kind=EntryKind.LEASE, created_ms=now_ms, lease_until_ms=now_ms + self._policy.lease_ms)
        return await self._swap(missing, dict.fromkeys(missing, lease))

    async def acquire_refresh_leases(self, stale: Mapping[str, ReadResult]) -> dict[str, ReadResult] | None:
        """Return the keys that this call may reload; other calls get the stale values meanwhile."""
        until_ms = self._now_ms() + self._policy.lease_ms
        entries = {
            key: msgspec.structs.replace(result.entry, lease_until_ms=until_ms)
            for key, result in stale.items()
            if result.entry is not None
        }
        return await self._swap(stale, entries)

    async def store(self, leased: Mapping[str, ReadResult], loaded: Mapping[str, V]) -> None:
        """Replace leases by what was loaded, except those that an invalidation has overwritten."""
        entries = {key: self._to_entry(key in loaded, loaded.get(key)) for key in leased}
        stored = await self._swap(leased, entries) or {}
        self.count("too_large", sum(entry.kind == EntryKind.TOO_LARGE for entry in entries.values()))
        self.count("stored", len(stored))
        self.count("lost", len(leased) - len(stored))

    async def release(self, leased: Mapping[str, ReadResult]) -> None:
        """Give up leases, so that other calls do not wait for them."""
        await self._swap(leased, dict.fromkeys(leased, self._make_tombstone()))

    async def invalidate(self, missed: Mapping[str, Token | None]) -> dict[str, Token | None]:
        """Overwrite the missed copies of keys (None: all copies); return the keys and copies that are still missed."""
        keys = {self._prefix + key: key for key in missed}
        values = {full: encode_entry(full, self._make_tombstone()) for full in keys}
        copies = {full: missed[key] for full, key in keys.items()}
        result = await self._client.set_many(values, _INVALIDATED_TTL_MS, missed=copies)
        return {keys[full]: token for full, token in result.items()}

    def count(self, outcome: str, count: int = 1) -> None:
        """Count keys under an outcome."""
        self._client.metrics.count_keys(self._name, outcome, count)

    def _to_result(self, key: str, stored: StoredBytes | None, is_valid: IsValid[V] | None) -> ReadResult:
        if stored is None or not stored.value:
            return ReadResult("miss", stored and stored.token)
        now_ms, token = self._now_ms(), stored.token
        entry = decode_entry(self._prefix + key, stored.value)
        if entry is None:
            self.count("corrupt")
            return ReadResult("miss", token)
        if entry.created_ms > now_ms + _SKEW_MS:  # by a clock that was ahead: its times mean nothing
            return ReadResult("miss", token)
        if entry.kind == EntryKind.LEASE and entry.lease_until_ms > now_ms:
            return ReadResult("leased", token, entry)
        if entry.expires_ms <= now_ms:
            return ReadResult("miss", token)
        if entry.kind != EntryKind.VALUE:
            return ReadResult("absent" if entry.kind == EntryKind.ABSENT else "too_large", token, entry)
        return self._decode(entry, token, now_ms, is_valid)

    def _decode(self, entry: CacheEntry, token: Token, now_ms: int, is_valid: IsValid[V] | None) -> ReadResult:
        try:
            value: V = self._decoder.decode(entry.body)
        except msgspec.MsgspecError:
            self.count("corrupt")
            return ReadResult("miss", token)
        if is_valid is not None and not is_valid(value):
            return ReadResult("miss", token)
        if entry.fresh_until_ms > now_ms:
            return ReadResult("hit", token, entry, value)
        return ReadResult("stale", None if entry.lease_until_ms > now_ms else token, entry, value)

    def _to_entry(self, is_present: bool, value: V | None) -> CacheEntry:
        now_ms, policy = self._now_ms(), self._policy
        share = 1 - policy.jitter * self._rng.random()
        if not is_present:
            expires_ms = now_ms + round(policy.absent_ttl_ms * share)
            return CacheEntry(kind=EntryKind.ABSENT, created_ms=now_ms, expires_ms=expires_ms)
        body = msgspec.msgpack.encode(value)
        if len(body) > self._client.engine.max_value_bytes:
            expires_ms = now_ms + _TOO_LARGE_TTL_MS
            return CacheEntry(kind=EntryKind.TOO_LARGE, created_ms=now_ms, expires_ms=expires_ms)
        return CacheEntry(
            kind=EntryKind.VALUE,
            created_ms=now_ms,
            fresh_until_ms=now_ms + round((policy.fresh_ms or policy.ttl_ms) * share),
            expires_ms=now_ms + round(policy.ttl_ms * share),
            body=body,
        )

    def _make_tombstone(self) -> CacheEntry:
        return CacheEntry(kind=EntryKind.INVALIDATED, created_ms=self._now_ms())

    async def _swap(
        self, read: Mapping[str, ReadResult], entries: Mapping[str, CacheEntry]
    ) -> dict[str, ReadResult] | None:
        encoded = {key: encode_entry(self._prefix + key, entry) for key, entry in entries.items()}
        tokens = await self._client.swap_many(
            [
                Swap(self._prefix + key, read[key].token, encoded[key], self._compute_ttl_ms(entry))
                for key, entry in entries.items()
            ]
        )
        if tokens is None:
            return None
        return {
            key: read[key]._replace(
                token=tokens[self._prefix + key], entry=decode_entry(self._prefix + key, encoded[key])
            )
            for key in entries
            if self._prefix + key in tokens
        }

    def _compute_ttl_ms(self, entry: CacheEntry) -> int:
        until_ms = max(entry.expires_ms, entry.lease_until_ms, entry.created_ms + _DROP_AFTER_MS)
        return until_ms - self._now_ms() + _DROP_AFTER_MS

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())
