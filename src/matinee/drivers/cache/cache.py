"""A cache of one type of value, above any engine. A failing engine makes it slower, never wrong.

A returned value was loaded at most `ttl_ms` ago, and after `invalidate` has returned True no process returns a value
loaded before. When an invalidation does not reach every copy, `invalidate` returns False: this process loads the value
itself and repeats the invalidation until it succeeds; other processes may return the old value until then, for at most
`ttl_ms`. Callers for whom this is too long judge each value by `is_valid`.

Every fill is a compare-and-swap over what its loader read, and an invalidation changes what is stored (ADR 13).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from random import Random
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from matinee.drivers.cache.client import CacheClient
from matinee.drivers.cache.engine import Token
from matinee.drivers.cache.entries import EntryStore, IsValid, ReadResult
from matinee.drivers.cache.policy import CachePolicy
from matinee.kit import context, log
from matinee.kit.clock import Clock, to_ms
from matinee.kit.problem import DeadlineExceeded

V = TypeVar("V")
LoadMany: TypeAlias = Callable[[list[str]], Awaitable[Mapping[str, V]]]

MAX_REFRESHES = 64
MAX_PENDING = 10_000
_PENDING_BATCH = 500
_RETRY_S = 0.25
_POLL_S = (0.005, 0.05)
_log = log.get()


class _Options(NamedTuple, Generic[V]):
    """The arguments of one read. After `wait_until_s` it loads values itself that other calls have not loaded."""

    load_many: LoadMany[V]
    is_valid: IsValid[V] | None
    wait_until_s: float


class _Invalidation:
    """An invalidation that has not reached every copy of a key: `missed` names the copies, None all of them."""

    def __init__(self) -> None:
        self.missed: Token | None = None


class Cache(Generic[V]):
    """Values of type `kind` by key. `name` is the namespace; a changed schema of `kind` has another one.

    `rng` draws the jitter of times. Call `close` at the end.
    """

    def __init__(
        self,
        client: CacheClient,
        *,
        name: str,
        kind: Any,
        clock: Clock,
        policy: CachePolicy | None = None,
        rng: Random | None = None,
    ) -> None:
        self.name = name
        self.client = client
        self._clock = clock
        self._policy = policy or CachePolicy()
        self._rng = rng or Random()  # noqa: S311 - not a secret
        self._entries: EntryStore[V] = EntryStore(client, name, kind, clock, self._policy, self._rng)
        # The loads of this process, by key and the write id of the lease (empty: loaded without a lease).
        self._loads: dict[tuple[str, bytes], asyncio.Task[Mapping[str, V]]] = {}
        self._refreshing: set[str] = set()
        self._refreshes: set[asyncio.Task[None]] = set()
        self._pending: dict[str, _Invalidation] = {}
        self._bypass_until_ms = 0
        self._delivery: asyncio.Task[None] | None = None

    @property
    def namespace(self) -> str:
        """The prefix of the cache's keys in the engine."""
        return self._entries.namespace

    async def get(
        self, key: str, load: Callable[[], Awaitable[V | None]], *, is_valid: IsValid[V] | None = None
    ) -> V | None:
        """Return a value from the cache, or from `load`. Raises only what `load` raises."""

        async def load_many(_: list[str]) -> Mapping[str, V]:
            value = await load()
            return {} if value is None else {key: value}

        return (await self.get_many([key], load_many, is_valid=is_valid)).get(key)

    async def get_many(
        self, keys: Iterable[str], load_many: LoadMany[V], *, is_valid: IsValid[V] | None = None
    ) -> dict[str, V]:
        """Return the values that exist, from the cache or from `load_many`.

        A cached value that `is_valid` rejects is loaded again. Raises only what `load_many` raises.
        """
        options = _Options(load_many, is_valid, self._wait_until_s())
        wanted = list(dict.fromkeys(keys))
        cached = [key for key in wanted if not self._is_pending(key)]
        results = await self._entries.read(cached, is_valid) if cached else {}
        for outcome, count in Counter(result.outcome for result in results.values()).items():
            self._entries.count(outcome, count)
        self._refresh(_select(results, "stale"), load_many)
        values = await self._resolve(results, [key for key in wanted if key not in results], options)
        if leased := _select(results, "leased"):
            values |= await self._wait(leased, options)
        return values

    async def invalidate(self, *keys: str) -> bool:
        """Hide the cached values of keys from all processes; return False if this must be repeated for some copies."""
        for load in [load for load in self._loads if load[0] in keys]:
            del self._loads[load]
        self._pending.update({key: _Invalidation() for key in keys})
        await self._deliver(keys)
        if len(self._pending) > MAX_PENDING:
            # Too many are pending: bypass the cache until all earlier values have expired.
            self._pending.clear()
            self._bypass_until_ms = to_ms(self._clock.now()) + self._policy.ttl_ms
        if self._pending and (self._delivery is None or self._delivery.done()):
            self._delivery = asyncio.create_task(self._deliver_pending())
        return not any(map(self._is_pending, keys))

    async def close(self) -> None:
        """Stop background work."""
        tasks = {*self._refreshes, *self._loads.values(), *([self._delivery] if self._delivery else [])}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Loading

    async def _resolve(
        self, results: Mapping[str, ReadResult], unread: list[str], options: _Options[V]
    ) -> dict[str, V]:
        """Return the values that were read, and load the others, except those that other calls are loading."""
        values: dict[str, V] = _take_values(results)
        if uncached := {**dict.fromkeys(unread, b""), **_write_ids(_select(results, "too_large"))}:
            values |= await self._load_uncached(uncached, options)
        if missing := _select(results, "miss"):
            values |= await self._load_missing(missing, options)
        return values

    async def _load_missing(self, missing: dict[str, ReadResult], options: _Options[V]) -> Mapping[str, V]:
        acquired = await self._entries.acquire_leases(missing)
        if acquired is None:  # the engine has become unavailable since the read
            return await self._load_uncached(dict.fromkeys(missing, b""), options)
        values: dict[str, V] = {}
        if acquired:
            values |= await self._load_once(_write_ids(acquired), self._load_and_store(acquired, options.load_many))
        if lost := {key: result for key, result in missing.items() if key not in acquired}:
            values |= await self._wait(lost, options)
        return values

    async def _load_and_store(self, leased: Mapping[str, ReadResult], load_many: LoadMany[V]) -> Mapping[str, V]:
        try:
            loaded = await self._load(list(leased), load_many)
        except BaseException:
            await self._entries.release(leased)
            raise
        await self._entries.store(leased, loaded)
        return loaded

    async def _load(self, keys: list[str], load_many: LoadMany[V]) -> Mapping[str, V]:
        self._entries.count("load", len(keys))
        loaded = await load_many(keys)
        return {key: loaded[key] for key in keys if key in loaded}

    async def _load_once(
        self, write_ids: Mapping[str, bytes], load: Coroutine[Any, Any, Mapping[str, V]]
    ) -> Mapping[str, V]:
        """Load in a task that other calls can join; it continues if this call is cancelled."""
        task = asyncio.create_task(load)
        keys = list(write_ids.items())
        self._loads.update(dict.fromkeys(keys, task))
        task.add_done_callback(lambda task: self._on_loaded(keys, task))
        return await asyncio.shield(task)

    def _on_loaded(self, keys: list[tuple[str, bytes]], task: asyncio.Task[Mapping[str, V]]) -> None:
        for key in keys:
            if self._loads.get(key) is task:
                del self._loads[key]
        if not task.cancelled():
            task.exception()  # mark it as retrieved: all waiting calls may have been cancelled

    async def _load_uncached(self, write_ids: Mapping[str, bytes], options: _Options[V]) -> Mapping[str, V]:
        """Load without storing, or join a load of this process that began with the same write id."""
        self._entries.count("bypass", len(write_ids))
        loads = {key[0]: task for key in write_ids.items() if (task := self._loads.get(key)) is not None}
        values: dict[str, V] = {}
        if own := {key: write_id for key, write_id in write_ids.items() if key not in loads}:
            values |= await self._load_once(own, self._load(list(own), options.load_many))
        return {**values, **await self._join(loads, options)}

    async def _join(self, loads: Mapping[str, asyncio.Task[Mapping[str, V]]], options: _Options[V]) -> dict[str, V]:
        """Return what other calls of this process load; load again those that were cancelled or ran out of time."""
        values: dict[str, V] = {}
        for key, task in loads.items():
            loaded = await _wait_for(task)
            if loaded is None or (options.is_valid and key in loaded and not options.is_valid(loaded[key])):
                loaded = await self._load([key], options.load_many)
            values |= {key: loaded[key]} if key in loaded else {}
        return values

    async def _wait(
        self, leased: dict[str, ReadResult], options: _Options[V], *, last: bool = False
    ) -> Mapping[str, V]:
        """Wait until the holders of leases have loaded the values; after `wait_until_s` load them."""
        self._entries.count("wait", len(leased))
        values: dict[str, V] = {}
        pause_s = _POLL_S[0]
        while leased and time.monotonic() < options.wait_until_s:
            local = {key: task for key, lease in leased.items() if (task := self._loads.get((key, lease.write_id)))}
            if local:
                values |= await self._join(local, options)
                leased = {key: lease for key, lease in leased.items() if key not in local}
                continue
            await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1))
            pause_s = min(pause_s * 1.5, _POLL_S[1])
            results = await self._entries.read(leased, options.is_valid)
            values |= await self._resolve(results, [key for key in leased if key not in results], options)
            leased = _select(results, "leased")
        return values | await self._take_over(leased, options, last) if leased else values

    async def _take_over(self, leased: dict[str, ReadResult], options: _Options[V], last: bool) -> dict[str, V]:
        """Load what the holders of leases have not loaded in time.

        One call replaces the lease. The others wait once more, for that call; after that each loads for itself.
        """
        acquired = await self._entries.acquire_leases(leased) or {}
        values: dict[str, V] = {}
        if acquired:
            values |= await self._load_once(_write_ids(acquired), self._load_and_store(acquired, options.load_many))
        if left := [key for key in leased if key not in acquired]:
            results = await self._entries.read(left, options.is_valid)
            values |= _take_values(results)
            new_leases = {
                key: lease
                for key, lease in _select(results, "leased").items()
                if not last and lease.write_id != leased[key].write_id
            }
            done = {*_take_values(results), *_select(results, "absent"), *new_leases}
            if rest := {key: results[key].write_id if key in results else b"" for key in left if key not in done}:
                values |= await self._load_uncached(rest, options)
            if new_leases:
                values |= await self._wait(new_leases, options._replace(wait_until_s=self._wait_until_s()), last=True)
        return values

    def _wait_until_s(self) -> float:
        return time.monotonic() + self._policy.wait_ms / 1000

    # Reloading stale values

    def _refresh(self, stale: Mapping[str, ReadResult], load_many: LoadMany[V]) -> None:
        due = {key: result for key, result in stale.items() if result.token is not None and key not in self._refreshing}
        if not due or len(self._refreshes) >= MAX_REFRESHES:
            return
        self._refreshing.update(due)
        task = asyncio.create_task(self._reload(due, load_many))
        self._refreshes.add(task)
        task.add_done_callback(lambda _: self._refreshing.difference_update(due))
        task.add_done_callback(self._refreshes.discard)

    async def _reload(self, stale: Mapping[str, ReadResult], load_many: LoadMany[V]) -> None:
        acquired = await self._entries.acquire_refresh_leases(stale)
        if not acquired:
            return
        with context.activate(msgspec.structs.replace(context.current(), deadline_s=None)):
            try:
                loaded = await self._load(list(acquired), load_many)
            except Exception as error:  # the stale value stays; it is reloaded again after the lease
                _log.warning("cache.refresh_failed", cache=self.name, error=repr(error))
                return
        await self._entries.store(acquired, loaded)

    # Repeating invalidations

    def _is_pending(self, key: str) -> bool:
        left_ms = self._bypass_until_ms - to_ms(self._clock.now())
        return key in self._pending or 0 < left_ms <= self._policy.ttl_ms

    async def _deliver(self, keys: Iterable[str]) -> None:
        batch = {key: self._pending[key] for key in keys if key in self._pending}
        missed = await self._entries.invalidate({key: invalidation.missed for key, invalidation in batch.items()})
        for key, invalidation in batch.items():
            if key in missed:
                invalidation.missed = missed[key]
            elif self._pending.get(key) is invalidation:
                del self._pending[key]
        self._entries.count("pending" if missed else "invalidated")

    async def _deliver_pending(self) -> None:
        while self._pending:
            await asyncio.sleep(_RETRY_S)
            await self._deliver(list(itertools.islice(self._pending, _PENDING_BATCH)))


def _write_ids(results: Mapping[str, ReadResult]) -> dict[str, bytes]:
    return {key: result.write_id for key, result in results.items()}


def _take_values(results: Mapping[str, ReadResult]) -> dict[str, Any]:
    return {key: result.value for key, result in results.items() if result.outcome in {"hit", "stale"}}


def _select(results: Mapping[str, ReadResult], outcome: str) -> dict[str, ReadResult]:
    return {key: result for key, result in results.items() if result.outcome == outcome}


async def _wait_for(task: asyncio.Task[Mapping[str, V]]) -> Mapping[str, V] | None:
    """Return what another call loads; None if that call was cancelled or its deadline has passed."""
    try:
        return await asyncio.shield(task)
    except DeadlineExceeded:
        return None
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return None
