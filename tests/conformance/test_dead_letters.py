"""Facts that a consumer gave up on, on every log: kept, found, handed over once more to that consumer alone."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from tests.conformance.event_rig import LOGS, NOW, Opened, compared, opened, place, record
from tests.conformance.test_following import CONSUMER, Seen, committed, eventually, followed

from matinee.drivers.kafka import Cluster, Message, Producer
from matinee.events.api import (
    AccountOpened,
    ConsumerNotFound,
    DeadLetter,
    DeadLetterNotFound,
    Entry,
    FactRecord,
    TitlePublished,
)
from matinee.events.ports import DeadLetterFilter, DeadLetterStore
from matinee.kit import ids, url
from matinee.kit.ids import FactId
from matinee.kit.problem import Invalid

Opener = Callable[[], Coroutine[Any, Any, Opened]]


@pytest.fixture(params=LOGS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh log."""
    return place(request.param, tmp_path)


@pytest.fixture
async def reopen(where: str) -> AsyncIterator[Opener]:
    """Opens the same log again: a second opening is a second process's view of it."""
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(opened(where))


def letter(name: str, consumer: str = CONSUMER, *, kind: str = "opened", tries: int = 3) -> DeadLetter:
    """The letter of a name: always of the same fact."""
    entry = Entry(place=name, record=record(name, kind))
    return DeadLetter(consumer=consumer, at=NOW, reason="no", tries=tries, entry=entry)


def fact_id(name: str) -> FactId:
    return ids.derive(FactId, name, "opened")


async def waiting(dead: DeadLetterStore, limit: int = 1000, **choice: Any) -> list[str]:
    return [
        one.letter.entry.place
        for one in await dead.find_dead_letters(DeadLetterFilter(**choice), limit=limit)
        if one.letter
    ]


async def failing(_: FactRecord) -> None:
    raise ValueError("no")


async def plant(where: str, written: bytes) -> None:
    """Put something among the dead letters that this version would not write; on SQLite a letter of `moon`."""
    if url.scheme(where) == "sqlite":
        row = (CONSUMER, fact_id("moon"), "MoonLanded", written)
        with contextlib.closing(sqlite3.connect(url.file_path(where))) as file, file:
            file.execute("INSERT INTO events_dead_letter (consumer, fact_id, type, letter) VALUES (?, ?, ?, ?)", row)
        return
    cluster = Cluster(where)
    async with Producer(cluster) as producer:
        await producer.send([Message(cluster.name("DeadLetter"), "k", written, [], 0)])


async def test_letters_are_kept_newest_first_and_chosen(reopen: Opener) -> None:
    dead = (await reopen()).dead
    assert await waiting(dead) == []
    letters = [letter(f"{n}", "home" if n % 3 else "other", kind="published" if n == 4 else "opened") for n in range(9)]
    for each in letters:
        await dead.add_dead_letter(msgspec.structs.replace(each, at=NOW + timedelta(seconds=int(each.entry.place))))
    again = (await reopen()).dead
    assert await waiting(again) == [f"{n}" for n in range(8, -1, -1)]
    assert await waiting(again, 3) == ["8", "7", "6"]
    assert await waiting(again, consumer="other") == ["6", "3", "0"]
    assert await waiting(again, consumer="nobody") == []
    assert await waiting(again, types=("TitlePublished", "TitleWithdrawn")) == ["4"]
    chosen = (fact_id("1"), fact_id("3"), fact_id("4"))
    assert await waiting(again, fact_ids=chosen) == ["3", "1"]
    assert await waiting(again, fact_ids=chosen, consumer="home") == ["1"]
    assert await waiting(again, fact_ids=chosen, types=("TitlePublished",)) == []


async def test_a_fact_waits_once_for_each_consumer_as_it_was_given_up_last(reopen: Opener) -> None:
    dead = (await reopen()).dead
    for each in (letter("a"), letter("a", "other"), letter("b"), letter("a", tries=7)):
        await dead.add_dead_letter(each)
    found = [
        (one.consumer, one.letter and one.letter.tries)
        for one in await dead.find_dead_letters(DeadLetterFilter(), limit=9)
    ]
    assert found == [(CONSUMER, 7), (CONSUMER, 3), ("other", 3)]


async def test_what_was_mended_is_taken_by_the_consumer_that_gave_up_and_by_no_other(reopen: Opener) -> None:
    here, seen, others = await reopen(), Seen(), Seen()
    await here.log.append([record("a"), record("b"), record("c", "published")], now=NOW)
    types = (AccountOpened, TitlePublished)
    async with followed(here, others.handle, types=types, consumer="other"):
        await mended(here, seen, others, types)


async def mended(here: Opened, seen: Seen, others: Seen, types: Any) -> None:
    async with followed(here, failing, types=types):
        await eventually(lambda: count(here, 3))
        await others.until(lambda: len(others.records) >= 3)
        before = len(others.records)
    assert (await here.events.retry_dead_letters(types=("TitlePublished",))).letters[0].entry.record == record(
        "c", "published"
    )
    done = await here.events.retry_dead_letters(fact_ids=(fact_id("a"),))
    assert ([each.entry.record for each in done.letters], done.unknown, done.more) == ([record("a")], {}, False)
    (left,) = await here.events.list_dead_letters()
    assert left.entry.record == record("b")
    async with followed(here, seen.handle, types=types):
        await seen.until(lambda: len(seen.records) >= 2)
        await here.log.append([record("d")], now=NOW)
        await seen.until(lambda: "d" in seen.names)
        await others.until(lambda: "d" in others.names)
        await committed(here)
    assert sorted(seen.names) == ["a", "c", "d"]
    assert others.names[before:] == ["d"]
    assert [each.entry.record.trace_id for each in await here.events.list_dead_letters()] == ["b"]


async def count(here: Opened, wanted: int) -> bool:
    return len(await here.events.list_dead_letters()) == wanted


async def test_who_follows_already_takes_it_too(reopen: Opener) -> None:
    here, there, seen, broken = await reopen(), await reopen(), Seen(), [True]

    async def handle(one: FactRecord) -> None:
        if broken[0]:
            raise ValueError("no")
        await seen.handle(one)

    await here.log.append([record("a")], now=NOW)
    async with followed(here, handle):
        await eventually(lambda: count(here, 1))
        broken[0] = False
        await there.events.retry_dead_letters(consumer=CONSUMER)
        await seen.until(lambda: seen.names == ["a"])
    assert await here.events.list_dead_letters() == []


async def test_what_fails_again_waits_again_with_its_count(reopen: Opener) -> None:
    here = await reopen()
    await here.log.append([record("a")], now=NOW)
    async with followed(here, failing):
        for tries in (3, 6, 9):
            await eventually(lambda: count(here, 1))
            (found,) = await here.events.list_dead_letters(consumer=CONSUMER)
            assert (found.tries, found.entry.record, found.reason) == (tries, record("a"), "ValueError('no')")
            assert len((await here.events.retry_dead_letters(consumer=CONSUMER)).letters) == 1
        await eventually(lambda: count(here, 1))


async def test_a_consumer_that_takes_the_type_no_longer_gives_it_back(reopen: Opener) -> None:
    here, seen = await reopen(), Seen()
    await here.dead.add_dead_letter(letter("a", kind="published"))
    await here.events.retry_dead_letters()
    async with followed(here, seen.handle):
        await eventually(lambda: count(here, 1))
    (found,) = await here.events.list_dead_letters()
    assert (found.tries, found.entry.record) == (3, record("a", "published"))
    assert found.reason.startswith("NotFollowed(")
    assert seen.names == []


async def test_a_fact_that_this_version_does_not_know_is_named_and_stays(reopen: Opener, where: str) -> None:
    here = await reopen()
    await here.dead.add_dead_letter(letter("a"))
    newer = json.loads(msgspec.json.encode(letter("moon")))
    newer["entry"]["record"]["fact"]["type"] = "MoonLanded"
    await plant(where, json.dumps(newer).encode())
    assert [each.entry.place for each in await here.events.list_dead_letters()] == ["a"]
    done = await here.events.retry_dead_letters()
    assert ([each.entry.place for each in done.letters], done.unknown) == (["a"], {fact_id("moon"): "MoonLanded"})
    done = await here.events.retry_dead_letters(fact_ids=(fact_id("moon"),))
    assert (done.letters, done.unknown) == ([], {fact_id("moon"): "MoonLanded"})


async def test_what_cannot_be_is_said(reopen: Opener) -> None:
    here, seen = await reopen(), Seen()
    assert await here.events.retry_dead_letters() == await here.events.retry_dead_letters(types=("AccountOpened",))
    with pytest.raises(ConsumerNotFound, match=r"Nobody follows as 'tset'\. Followers: nobody yet"):
        await here.events.retry_dead_letters(consumer="tset")
    await here.log.append([record("a")], now=NOW)
    async with followed(here, seen.handle):
        await seen.until(lambda: seen.names == ["a"])
        await committed(here)
    assert (await here.events.retry_dead_letters(consumer=CONSUMER)).letters == []
    with pytest.raises(ConsumerNotFound, match=r"Followers: test\."):
        await here.events.retry_dead_letters(consumer="tset")
    with pytest.raises(DeadLetterNotFound) as none:
        await here.events.retry_dead_letters(fact_ids=(fact_id("a"),))
    assert none.value.fact_ids == [fact_id("a")]
    with pytest.raises(Invalid):
        await here.events.retry_dead_letters(types=("MoonLanded",))


async def test_of_two_who_hand_over_at_once_no_fact_is_lost(reopen: Opener) -> None:
    here, there, seen = await reopen(), await reopen(), Seen()
    names = {f"{n}" for n in range(20)}
    for name in names:
        await here.dead.add_dead_letter(letter(name))
    await asyncio.gather(*(each.events.retry_dead_letters() for each in (here, there, here)))
    assert await here.events.list_dead_letters() == []
    async with followed(here, seen.handle):
        await seen.until(lambda: set(seen.names) == names)


RETRIER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from tests.conformance.event_rig import opened

async def main():
    async with opened(sys.argv[1]) as here:
        for one in await here.events.list_dead_letters(limit=1000):
            await here.events.retry_dead_letters(fact_ids=(one.entry.record.fact_id,))
            print(one.entry.place, flush=True)

asyncio.run(main())
"""
FOLLOWER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from matinee.events.api import AccountOpened
from tests.conformance.event_rig import opened

async def handle(record):
    print(record.trace_id, flush=True)
    raise ValueError("no")

async def main():
    async with opened(sys.argv[1]) as here:
        await here.following.follow(consumer="test", types=(AccountOpened,), handle=handle)

asyncio.run(main())
"""


async def killed(script: str, where: str, lines: int) -> set[str]:
    """Run a script until it has printed so many lines, and kill it; what it printed."""
    arguments = ["-c", script, where, str(Path(__file__).parents[2])]
    other = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert other.stdout is not None
    told = [(await other.stdout.readline()).decode().strip() for _ in range(lines)]
    other.send_signal(signal.SIGKILL)
    return {*told, *(await other.communicate())[0].decode().split()}


async def test_whoever_is_killed_in_the_middle_no_fact_is_lost(reopen: Opener, where: str) -> None:
    """Of what was given up, every fact waits or is handed over, whoever hands over or follows is killed, and when."""
    here, seen = await reopen(), Seen()
    names = {f"{n}" for n in range(40)}
    for name in names:
        await here.dead.add_dead_letter(letter(name))
    handed = await killed(RETRIER, where, 15)
    still = set(await waiting(here.dead))
    assert handed | still == names
    assert len(handed & still) == 0
    await killed(FOLLOWER, where, 30)  # ten of them given up again, or so
    async with followed(here, failing):
        await eventually(lambda: count(here, 40))
    assert sorted(await waiting(here.dead)) == sorted(names)
    await here.events.retry_dead_letters(consumer=CONSUMER)
    async with followed(here, seen.handle):
        await seen.until(lambda: set(seen.names) == names)
    assert await waiting(here.dead) == []


NAMES = st.sampled_from("abcdef")
WHO = st.sampled_from(["x", "y"])
STEPS = st.one_of(
    st.tuples(st.just("bury"), st.tuples(NAMES, WHO, st.integers(1, 9))),
    st.tuples(st.just("hand over"), st.lists(st.tuples(NAMES, WHO), max_size=3)),
    st.tuples(st.just("look"), st.tuples(st.sampled_from(["", "x", "y"]), st.integers(1, 4))),
    st.tuples(st.just("reopen"), st.none()),
)


def test_they_agree_with_a_dict(where: str) -> None:
    compared(where, STEPS, differ, longest=12, examples=25)


async def differ(both: list[Opened], turn: str, steps: list[tuple[str, Any]]) -> None:
    """One run of steps, on consumers of its own."""
    views = [each.dead for each in both]
    plain: dict[tuple[str, str], int] = {}
    for step, said in [*steps, ("look", ("x", 9)), ("look", ("y", 9))]:
        if step == "reopen":
            views.reverse()
        elif step == "bury":
            name, who, tries = said
            plain.pop((who, name), None)
            plain[who, name] = tries
            await views[0].add_dead_letter(letter(name, f"{turn}.{who}", tries=tries))
        elif step == "hand over":
            await views[0].redeliver([letter(name, f"{turn}.{who}") for name, who in said], now=NOW)
            for name, who in said:
                plain.pop((who, name), None)
        else:
            wanted = [(n, t) for (who, n), t in reversed(plain.items()) if who == said[0]][: said[1]]
            found = await views[0].find_dead_letters(DeadLetterFilter(consumer=f"{turn}.{said[0]}"), limit=said[1])
            assert [(one.letter.entry.place, one.letter.tries) for one in found if one.letter] == wanted
