"""One cache of one kind of value, above any engine: a dead, slow or lying engine makes it slower, never wrong.

What is promised: a value handed out was loaded at most `ttl_ms` ago, and after `invalidate` returned True no process
hands out what was loaded before. Where an invalidation cannot be told it
returns False: this process then loads by itself and repeats the invalidation until it is told; others may meet the old
value until then, for at most `ttl_ms`. Who cannot bear that judges each value with `valid`.

How: every fill swaps over exactly what its loader saw, and an invalidation changes what there is to be seen (ADR 13).
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from matinee.drivers.cache.guard import Guard
from matinee.drivers.cache.policy import Policy
from matinee.drivers.cache.shelf import Seen, Shelf, Valid
from matinee.kit import context, log
from matinee.kit.clock import Clock
from matinee.kit.problem import DeadlineExceeded

V = TypeVar("V")
LoadMany: TypeAlias = Callable[[list[str]], Awaitable[Mapping[str, V]]]

REFRESHES = 64
PENDING_LIMIT = 10_000
PENDING_AT_ONCE = 500
AGAIN_S = 0.25
_POLL_S = (0.005, 0.05)
_log = log.get()


class Cache(Generic[V]):
    """Values of one kind by key. `name` is its namespace; a changed encoding of `kind` is another namespace.

    `draw` is the randomness of the jitter, from 0 to 1. Call `close` in the end.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        name: str,
        kind: Any,
        clock: Clock,
        policy: Policy | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.guard = guard
        self._policy = policy or Policy()
        self._shelf: Shelf[V] = Shelf(guard, name, kind, clock, self._policy, draw)
        # What is being loaded here: by key, and by the mark of the lease it is loaded under (b"": none).
        self._flights: dict[tuple[str, bytes], asyncio.Task[Mapping[str, V]]] = {}
        self._refreshing: set[str] = set()
        # Invalidations that are still to be told, by their numbers: a later one of the same key is another one.
        self._numbers = itertools.count(1)
        self._pending: dict[str, int] = {}
        self._all_pending = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._delivery: asyncio.Task[None] | None = None

    @property
    def space(self) -> str:
        """The name and the encoding of what is kept: how its keys begin in the engine."""
        return self._shelf.space

    async def get(
        self, key: str, load: Callable[[], Awaitable[V | None]], *, valid: Valid[V] | None = None
    ) -> V | None:
        """A value: from the cache, or loaded. None where `load` says so. Raises only what `load` raises."""

        async def load_many(_: list[str]) -> Mapping[str, V]:
            value = await load()
            return {} if value is None else {key: value}

        return (await self.get_many([key], load_many, valid=valid)).get(key)

    async def get_many(
        self, keys: Iterable[str], load_many: LoadMany[V], *, valid: Valid[V] | None = None
    ) -> dict[str, V]:
        """Those of the values that are there; `load_many` is asked for what the cache does not have.

        A value that `valid` refuses counts as not there. Raises only what `load_many` raises.
        """
        wanted = list(dict.fromkeys(keys))
        told = [key for key in wanted if not self._is_pending(key)]
        seen = await self._shelf.look(told, valid) if told else {}
        for says, count in Counter(one.says for one in seen.values()).items():
            self._shelf.count(says, count)
        self._refresh(_saying(seen, "stale"), load_many)
        until_s = time.monotonic() + self._policy.wait_ms / 1000
        dark = [key for key in wanted if key not in seen]
        found = await self._settled(seen, dark, load_many, valid, until_s)
        if busy := _saying(seen, "busy"):
            found |= await self._wait(busy, load_many, valid, until_s)
        return found

    async def invalidate(self, *keys: str) -> bool:
        """Make what is kept under some keys invisible to everyone; False: not yet, it goes on being tried."""
        for flight in [flight for flight in self._flights if flight[0] in keys]:
            del self._flights[flight]
        self._pending.update(dict.fromkeys(keys, next(self._numbers)))
        if len(self._pending) > PENDING_LIMIT:
            self._all_pending = next(self._numbers)
        await self._deliver(set(keys))
        self._deliver_later()
        return not any(map(self._is_pending, keys))

    async def bump(self) -> bool:
        """Make all that is kept invisible to everyone; False: not yet, it goes on being tried."""
        self._flights.clear()
        self._all_pending = next(self._numbers)
        await self._deliver(set())
        self._deliver_later()
        return not self._all_pending

    async def close(self) -> None:
        """End what runs behind."""
        tasks = {*self._tasks, *self._flights.values(), *([self._delivery] if self._delivery else [])}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Loading

    async def _fill(
        self, missing: dict[str, Seen], load_many: LoadMany[V], valid: Valid[V] | None, until_s: float
    ) -> Mapping[str, V]:
        won = await self._shelf.lease(missing)
        if won is None:  # the engine went away in between
            return await self._alone(dict.fromkeys(missing, b""), load_many, valid)
        found: dict[str, V] = {}
        if won:
            found |= await self._flight(_marks(won), self._load_and_keep(won, load_many))
        if lost := {key: one for key, one in missing.items() if key not in won}:
            found |= await self._wait(lost, load_many, valid, until_s)
        return found

    async def _load_and_keep(self, leased: Mapping[str, Seen], load_many: LoadMany[V]) -> Mapping[str, V]:
        try:
            loaded = await self._load(list(leased), load_many)
        except BaseException:
            await self._shelf.free(leased)
            raise
        await self._shelf.keep(leased, loaded)
        return loaded

    async def _load(self, keys: list[str], load_many: LoadMany[V]) -> Mapping[str, V]:
        self._shelf.count("load", len(keys))
        loaded = await load_many(keys)
        return {key: loaded[key] for key in keys if key in loaded}

    async def _flight(self, marks: Mapping[str, bytes], load: Coroutine[Any, Any, Mapping[str, V]]) -> Mapping[str, V]:
        """Load so that others here can join; who gives up does not take the value from them."""
        task = asyncio.create_task(load)
        names = list(marks.items())
        self._flights.update(dict.fromkeys(names, task))
        task.add_done_callback(lambda task: self._landed(names, task))
        return await asyncio.shield(task)

    def _landed(self, names: list[tuple[str, bytes]], task: asyncio.Task[Mapping[str, V]]) -> None:
        for name in names:
            if self._flights.get(name) is task:
                del self._flights[name]
        if not task.cancelled():
            task.exception()  # whoever waits is told; nobody may wait any more

    async def _alone(
        self, marks: Mapping[str, bytes], load_many: LoadMany[V], valid: Valid[V] | None
    ) -> Mapping[str, V]:
        """Load without the engine; who asks here for the same key and meets the same mark meanwhile joins."""
        self._shelf.count("dark", len(marks))
        flights = {name[0]: task for name in marks.items() if (task := self._flights.get(name)) is not None}
        found: dict[str, V] = {}
        if mine := {key: mark for key, mark in marks.items() if key not in flights}:
            found |= await self._flight(mine, self._load(list(mine), load_many))
        return {**found, **await self._joined(flights, load_many, valid)}

    async def _joined(
        self, flights: Mapping[str, asyncio.Task[Mapping[str, V]]], load_many: LoadMany[V], valid: Valid[V] | None
    ) -> dict[str, V]:
        """What others here are loading, loaded again where it will not do."""
        found: dict[str, V] = {}
        for key, task in flights.items():
            loaded = await _landing(task)
            if loaded is None or (valid and key in loaded and not valid(loaded[key])):
                loaded = await self._load([key], load_many)
            found |= {key: loaded[key]} if key in loaded else {}
        return found

    async def _wait(
        self,
        busy: dict[str, Seen],
        load_many: LoadMany[V],
        valid: Valid[V] | None,
        until_s: float,
        *,
        last: bool = False,
    ) -> Mapping[str, V]:
        """Wait a little for those who load; then load."""
        self._shelf.count("wait", len(busy))
        found: dict[str, V] = {}
        pause_s = _POLL_S[0]
        while busy and time.monotonic() < until_s:
            here = {key: task for key, one in busy.items() if (task := self._flights.get((key, one.mark)))}
            if here:
                found |= await self._joined(here, load_many, valid)
                busy = {key: one for key, one in busy.items() if key not in here}
                continue
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - not a secret
            pause_s = min(pause_s * 1.5, _POLL_S[1])
            seen = await self._shelf.look(busy, valid)
            found |= await self._settled(seen, [key for key in busy if key not in seen], load_many, valid, until_s)
            busy = _saying(seen, "busy")
        return found | await self._taken_over(busy, load_many, valid, last)

    async def _settled(
        self,
        seen: dict[str, Seen],
        dark: list[str],
        load_many: LoadMany[V],
        valid: Valid[V] | None,
        until_s: float,
    ) -> dict[str, V]:
        """The values of what is found, once nobody else loads it: got, or loaded now."""
        found: dict[str, V] = _values(seen)
        if alone := {**dict.fromkeys(dark, b""), **_marks(_saying(seen, "big"))}:
            found |= await self._alone(alone, load_many, valid)
        if missing := _saying(seen, "miss"):
            found |= await self._fill(missing, load_many, valid, until_s)
        return found

    async def _taken_over(
        self, busy: dict[str, Seen], load_many: LoadMany[V], valid: Valid[V] | None, last: bool
    ) -> dict[str, V]:
        """Nobody is waited for any longer: one of us loads in the place of who holds the lease.

        The others wait once more, for that one; then each loads alone.
        """
        won = await self._shelf.lease(busy) if busy else {}
        found = dict(await self._flight(_marks(won), self._load_and_keep(won, load_many))) if won else {}
        if left := [key for key in busy if key not in (won or {})]:
            seen = await self._shelf.look(left, valid)
            anew = {key: one for key, one in _saying(seen, "busy").items() if not last and one.mark != busy[key].mark}
            found |= _values(seen)
            settled = {*_values(seen), *_saying(seen, "none"), *anew}
            if alone := {key: seen[key].mark if key in seen else b"" for key in left if key not in settled}:
                found |= await self._alone(alone, load_many, valid)
            if anew:
                until_s = time.monotonic() + self._policy.wait_ms / 1000
                found |= await self._wait(anew, load_many, valid, until_s, last=True)
        return found

    # Stale while it is loaded anew

    def _refresh(self, stale: Mapping[str, Seen], load_many: LoadMany[V]) -> None:
        due = {key: one for key, one in stale.items() if one.token is not None and key not in self._refreshing}
        if not due or len(self._tasks) >= REFRESHES:
            return
        self._refreshing.update(due)
        task = asyncio.create_task(self._refresh_now(due, load_many))
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._refreshing.difference_update(due))
        task.add_done_callback(self._tasks.discard)

    async def _refresh_now(self, stale: Mapping[str, Seen], load_many: LoadMany[V]) -> None:
        won = await self._shelf.lease_stale(stale)
        if not won:
            return
        with context.activate(msgspec.structs.replace(context.current(), deadline_s=None)):
            try:
                loaded = await self._load(list(won), load_many)
            except Exception as error:  # the stale value stands, and is tried again after the lease
                _log.warning("cache.not_refreshed", cache=self.name, error=repr(error))
                return
        await self._shelf.keep(won, loaded)

    # Invalidations that are still to be told

    def _is_pending(self, key: str) -> bool:
        return bool(self._all_pending) or key in self._pending

    async def _deliver(self, keys: set[str]) -> None:
        all_of_them, pending = self._all_pending, dict(self._pending)
        if all_of_them:
            told = await self._shelf.forget_all()
            self._all_pending = 0 if told and self._all_pending == all_of_them else self._all_pending
        else:
            told = await self._shelf.forget(keys)
            pending = {key: number for key, number in pending.items() if key in keys}
        if told:
            self._pending = {key: number for key, number in self._pending.items() if pending.get(key) != number}
        self._shelf.count("gone" if told else "pending")

    def _deliver_later(self) -> None:
        if (self._pending or self._all_pending) and (self._delivery is None or self._delivery.done()):
            self._delivery = asyncio.create_task(self._go_on_delivering())

    async def _go_on_delivering(self) -> None:
        while self._pending or self._all_pending:
            await asyncio.sleep(AGAIN_S)
            await self._deliver(set(itertools.islice(self._pending, PENDING_AT_ONCE)))


def _marks(seen: Mapping[str, Seen]) -> dict[str, bytes]:
    return {key: one.mark for key, one in seen.items()}


def _values(seen: Mapping[str, Seen]) -> dict[str, Any]:
    return {key: one.value for key, one in seen.items() if one.says in {"hit", "stale"}}


def _saying(seen: Mapping[str, Seen], says: str) -> dict[str, Seen]:
    return {key: one for key, one in seen.items() if one.says == says}


async def _landing(task: asyncio.Task[Mapping[str, V]]) -> Mapping[str, V] | None:
    """What another's load brings; None where it was its caller's time that ran out."""
    try:
        return await asyncio.shield(task)
    except DeadlineExceeded:
        return None
    except asyncio.CancelledError:
        here = asyncio.current_task()
        if here is not None and here.cancelling():
            raise
        return None
