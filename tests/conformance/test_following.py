"""Every way of following the log: each fact handled at least once, in order by key, whoever comes, goes or dies."""

import asyncio
import contextlib
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.event_rig import LOGS, NOW, Opened, opened, place, record

from matinee.events.api import AccountOpened, FactRecord, Handle, TitlePublished
from matinee.kit.problem import Unreachable

Opener = Callable[[], Coroutine[Any, Any, Opened]]
SOON_S = 40
CONSUMER = "test"


@pytest.fixture(params=LOGS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh log."""
    return place(request.param, tmp_path)


@pytest.fixture
async def reopen(where: str) -> AsyncIterator[Opener]:
    """Opens the same log again: a second opening is a second process's view of it."""
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(opened(where))


class Seen:
    """What was handled, in order, by whoever was asked."""

    def __init__(self) -> None:
        self.records: list[FactRecord] = []
        self._grew = asyncio.Event()

    async def handle(self, record: FactRecord) -> None:
        self.records.append(record)
        self._grew.set()

    @property
    def names(self) -> list[str]:
        return [r.trace_id for r in self.records]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not true():
                await self._grew.wait()
                self._grew.clear()

    def lanes(self) -> dict[str, list[str]]:
        """The facts of each key in the order in which they were first handled."""
        found = defaultdict(list)
        for r in self.records:
            if r.trace_id not in found[r.key]:
                found[r.key].append(r.trace_id)
        return dict(found)


@contextlib.asynccontextmanager
async def followed(here: Opened, handle: Handle, **rest: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Follow for the length of a block."""
    rest = {"consumer": CONSUMER, "types": (AccountOpened,), **rest}
    task = asyncio.create_task(here.following.follow(handle=handle, **rest))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON_S):
        while not await true():  # noqa: ASYNC110 — nothing tells of it
            await asyncio.sleep(0.05)


async def committed(here: Opened) -> None:
    """Wait until everything that was handled is committed."""

    async def nothing_is_left() -> bool:
        return {lag.behind for lag in await here.log.list_lags()} == {0}

    await eventually(nothing_is_left)


def many(start: int, count: int, keys: int = 5) -> list[FactRecord]:
    return [record(f"{n}", key=f"k{n % keys}") for n in range(start, start + count)]


def in_order(count: int, keys: int = 5) -> dict[str, list[str]]:
    return {f"k{key}": [f"{n}" for n in range(count) if n % keys == key] for key in range(keys)}


async def test_a_follower_goes_on_where_it_committed(reopen: Opener) -> None:
    here, seen = await reopen(), Seen()
    await here.log.append([record("a"), record("x", "withdrawn"), record("b")], now=NOW)
    async with followed(here, seen.handle):
        await seen.until(lambda: len(seen.records) == 2)
        await here.log.append([record("c")], now=NOW)
        await seen.until(lambda: len(seen.records) == 3)
    assert sorted(seen.names) == ["a", "b", "c"]
    await here.log.append([record("d")], now=NOW)
    there, again = await reopen(), Seen()
    async with followed(there, again.handle):
        await again.until(lambda: "d" in again.names)
    assert again.names[-1] == "d"
    async with followed(there, again.handle):
        await committed(there)


async def test_several_types_are_followed_and_others_are_not(reopen: Opener) -> None:
    here, seen = await reopen(), Seen()
    await here.log.append([record("a"), record("b", "published"), record("c", "withdrawn")], now=NOW)
    async with followed(here, seen.handle, types=(AccountOpened, TitlePublished)):
        await here.log.append([record("d", "withdrawn"), record("e", "published")], now=NOW)
        await seen.until(lambda: "e" in seen.names and len(seen.records) >= 3)
    assert sorted(seen.names) == ["a", "b", "e"]


async def test_what_was_appended_since_a_time_is_followed_again(reopen: Opener) -> None:
    here, seen = await reopen(), Seen()
    for minute, name in enumerate("abc"):
        await here.log.append([record(name, key="k")], now=NOW + timedelta(minutes=minute))
    start = await here.events.find_cursor(moment=NOW + timedelta(minutes=1))
    async with followed(here, seen.handle, start=start):
        await seen.until(lambda: len(seen.records) == 2)
        await committed(here)
    assert seen.names == ["b", "c"]
    later = Seen()
    async with followed(here, later.handle, start=""):  # it has a place of its own by now
        await here.log.append([record("d", key="k")], now=NOW + timedelta(minutes=3))
        await later.until(lambda: "d" in later.names)
    assert later.names == ["d"]


async def test_a_place_cannot_be_set_under_a_group_and_can_when_it_is_gone(reopen: Opener) -> None:
    here, seen = await reopen(), Seen()
    await here.log.append(many(0, 6), now=NOW)
    async with followed(here, seen.handle, start=await here.events.get_head()):
        await here.log.append([record("new")], now=NOW)
        await seen.until(lambda: "new" in seen.names)
        await committed(here)
    assert seen.names == ["new"]
    await here.log.append(many(6, 6), now=NOW)
    await here.events.commit(consumer=CONSUMER, cursor=await here.events.get_head())
    await here.log.append([record("newer")], now=NOW)
    again = Seen()
    async with followed(here, again.handle):
        await again.until(lambda: "newer" in again.names)
    assert again.names == ["newer"]


async def test_a_fact_that_fails_is_tried_again_then_buried_and_the_rest_goes_on(reopen: Opener) -> None:
    here, seen = await reopen(), Seen()
    await here.log.append([record("flaky", key="k"), record("poison", key="k"), record("good", key="k")], now=NOW)
    failures = {"flaky": [ValueError("once")], "poison": [ValueError(f"no {n}") for n in range(50)]}

    async def handle(one: FactRecord) -> None:
        if left := failures.get(one.trace_id):
            raise left.pop(0)
        await seen.handle(one)

    async with followed(here, handle):
        await seen.until(lambda: "good" in seen.names)
    assert seen.names == ["flaky", "good"]
    assert len(failures["poison"]) == 47
    (letter,) = await here.events.list_dead_letters(consumer=CONSUMER)
    assert (letter.consumer, letter.tries, letter.reason) == (CONSUMER, 3, "ValueError('no 2')")
    assert letter.entry.record == record("poison", key="k")


async def test_a_fact_outlasts_an_outage_of_what_its_handler_needs(reopen: Opener) -> None:
    here, seen = await reopen(), Seen()
    await here.log.append([record("a", key="k"), record("b", key="k")], now=NOW)
    outage = [Unreachable(service="catalogue") for _ in range(40)]

    async def handle(one: FactRecord) -> None:
        if outage:
            raise outage.pop()
        await seen.handle(one)

    async with followed(here, handle):
        await seen.until(lambda: len(seen.records) == 2)
    assert seen.names == ["a", "b"]
    assert await here.events.list_dead_letters() == []


async def test_a_second_follower_shares_or_waits_and_takes_over_when_the_first_leaves(reopen: Opener) -> None:
    here, there = await reopen(), await reopen()
    seen, by = Seen(), {"here": 0, "there": 0}

    def counting(who: str) -> Handle:
        async def handle(one: FactRecord) -> None:
            by[who] += 1
            await seen.handle(one)

        return handle

    async with AsyncExitStack() as first:
        await first.enter_async_context(followed(here, counting("here")))
        await here.log.append(many(0, 50), now=NOW)
        await seen.until(lambda: len(seen.records) >= 50)
        async with followed(there, counting("there")):
            for n in range(50, 250, 20):
                await here.log.append(many(n, 20), now=NOW)
                await asyncio.sleep(0.1)
            await seen.until(lambda: len(set(seen.names)) == 250)
            await first.aclose()
            await here.log.append(many(250, 50), now=NOW)
            await seen.until(lambda: len(set(seen.names)) == 300)
    assert by["there"] >= 50
    assert seen.lanes() == in_order(300)


async def test_a_partition_that_goes_in_the_middle_of_a_handler_is_finished_first(reopen: Opener) -> None:
    """Nobody else begins what is still being done; and what was not begun is done by whoever comes after."""
    here, there = await reopen(), await reopen()
    seen, working, overlaps = Seen(), set[str](), list[str]()

    async def handle(one: FactRecord) -> None:
        if one.key in working:
            overlaps.append(one.trace_id)
        working.add(one.key)
        try:
            await asyncio.sleep(0.05)
            await seen.handle(one)
        finally:
            working.discard(one.key)

    await here.log.append(many(0, 60), now=NOW)
    async with followed(here, handle):
        await seen.until(lambda: len(seen.records) >= 5)
        async with followed(there, handle):
            await seen.until(lambda: len(seen.records) >= 30)
        await seen.until(lambda: len(set(seen.names)) == 60)
    assert overlaps == []
    assert seen.lanes() == in_order(60)


FOLLOWER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from matinee.events.api import AccountOpened
from tests.conformance.event_rig import opened

async def handle(record):
    print("begun", record.trace_id, flush=True)
    await asyncio.sleep(0.02)
    print("done", record.trace_id, flush=True)

async def main():
    async with opened(sys.argv[1]) as here:
        await here.following.follow(consumer="test", types=(AccountOpened,), handle=handle)

asyncio.run(main())
"""


async def test_a_follower_that_is_killed_in_the_middle_loses_nothing(reopen: Opener, where: str) -> None:
    here, seen = await reopen(), Seen()
    await here.log.append(many(0, 200), now=NOW)
    arguments = ["-c", FOLLOWER, where, str(Path(__file__).parents[2])]
    other = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert other.stdout is not None
    told = [(await other.stdout.readline()).decode().split() for _ in range(30)]
    async with followed(here, seen.handle):
        other.send_signal(signal.SIGKILL)
        told += [line.split() for line in (await other.communicate())[0].decode().splitlines()]
        done = {line[1] for line in told if line[0] == "done"}
        await seen.until(lambda: done | set(seen.names) == {f"{n}" for n in range(200)})
    for key, wanted in in_order(200).items():
        mine = seen.lanes()[key]
        assert mine == wanted[len(wanted) - len(mine) :]


async def test_a_follower_that_was_deaf_for_long_is_no_follower_any_more(reopen: Opener, where: str) -> None:
    """Stopped for longer than its lease or session, and then gone on: another has taken over, in order."""
    here, seen = await reopen(), Seen()
    await here.log.append(many(0, 100), now=NOW)
    arguments = ["-c", FOLLOWER, where, str(Path(__file__).parents[2])]
    other = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert other.stdout is not None
    for _ in range(9):
        await other.stdout.readline()
    other.send_signal(signal.SIGSTOP)
    try:
        async with followed(here, seen.handle):
            await seen.until(lambda: "99" in seen.names and "98" in seen.names and "97" in seen.names)
            other.send_signal(signal.SIGCONT)
            await here.log.append(many(100, 50), now=NOW)
            other.send_signal(signal.SIGTERM)
            await seen.until(lambda: {f"{n}" for n in range(100, 150)} <= set(seen.names))
    finally:
        with contextlib.suppress(ProcessLookupError):
            other.send_signal(signal.SIGKILL)
        await other.communicate()
    for key, mine in seen.lanes().items():
        assert mine == in_order(150)[key][-len(mine) :]
