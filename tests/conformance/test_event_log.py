"""Every `EventLog`: ordered, durable, idempotent; the same after it was opened again."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.drivers.sql import Database
from matinee.events.adapters.sqlite import SQLiteEventLog
from matinee.events.api import AccountOpened, AnyFact, Batch, Record, TitlePublished, TitleWithdrawn
from matinee.events.ports import EventLog
from matinee.kit import ids
from matinee.kit.ids import AccountId, FactId, TitleId

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Opener = Callable[[], Coroutine[Any, Any, EventLog]]


@pytest.fixture
async def open_log(tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same log again: a second opener is a second process's view of it."""
    async with AsyncExitStack() as stack:

        async def opened() -> EventLog:
            database = await stack.enter_async_context(Database(f"sqlite:///{tmp_path}/events.db"))
            return await SQLiteEventLog.open(database)

        yield opened


def record(name: str, kind: str = "opened") -> Record:
    title_id = ids.derived(TitleId, name)
    facts: dict[str, AnyFact] = {
        "opened": AccountOpened(account_id=ids.derived(AccountId, name)),
        "published": TitlePublished(title_id=title_id),
        "withdrawn": TitleWithdrawn(title_id=title_id),
    }
    return Record(fact_id=ids.derived(FactId, name), at=NOW, key=name, fact=facts[kind])


async def everything(log: EventLog, types: tuple[str, ...] = ()) -> Batch:
    return await log.read(after=0, limit=100_000, types=types)


async def test_facts_come_back_as_they_were_appended(open_log: Opener) -> None:
    log = await open_log()
    records = [record("a"), record("b", "published"), record("ç 🎬", "withdrawn")]
    offsets = await log.append(records, now=NOW)
    assert offsets == sorted(set(offsets))
    batch = await everything(await open_log())
    assert [(e.offset, e.record) for e in batch.entries] == list(zip(offsets, records, strict=True))
    assert batch.next_offset == offsets[-1] == await log.head()


async def test_a_fact_has_one_offset_however_often_it_is_appended(open_log: Opener) -> None:
    log = await open_log()
    (first,) = await log.append([record("a")], now=NOW)
    again = await log.append([record("a"), record("b"), record("b")], now=NOW)
    assert again[0] == first < again[1] == again[2]
    assert len((await everything(log)).entries) == 2
    assert await log.append([], now=NOW) == []


async def test_a_reader_of_some_types_is_told_to_go_on_past_the_others(open_log: Opener) -> None:
    log = await open_log()
    await log.append([record("a"), record("b", "published"), record("c"), record("d", "withdrawn")], now=NOW)
    batch = await log.read(after=0, limit=10, types=("TitleWithdrawn", "TitlePublished"))
    assert [e.record.key for e in batch.entries] == ["b", "d"]
    await log.append([record("e")], now=NOW)
    batch = await log.read(after=batch.next_offset, limit=10, types=("TitlePublished",))
    assert batch.entries == []
    assert batch.next_offset == await log.head()


async def test_reading_in_small_bites_misses_and_repeats_nothing(open_log: Opener) -> None:
    log = await open_log()
    kinds = ("opened", "published", "withdrawn")
    await log.append([record(f"{n}", kinds[n * n % 3]) for n in range(40)], now=NOW)
    for types in ((), ("AccountOpened", "TitlePublished"), ("AccountOpened", "AccountOpened")):
        seen, after = [], 0
        while (batch := await log.read(after=after, limit=7, types=types)).entries:
            assert len(batch.entries) <= 7
            seen += batch.entries
            after = batch.next_offset
        assert seen == (await everything(log, types)).entries


async def test_an_offset_beyond_the_end_never_goes_back(open_log: Opener) -> None:
    log = await open_log()
    await log.append([record("a")], now=NOW)
    batch = await log.read(after=1000, limit=5, types=())
    assert (batch.entries, batch.next_offset) == ([], 1000)


async def test_the_offset_of_a_moment_shows_every_fact_appended_since(open_log: Opener) -> None:
    log = await open_log()
    assert await log.offset_at(NOW) == 0
    times = [NOW, NOW + timedelta(seconds=5), NOW + timedelta(seconds=2), NOW + timedelta(seconds=9)]
    offsets = [(await log.append([record(f"{n}")], now=now))[0] for n, now in enumerate(times)]
    assert await log.offset_at(NOW) == 0
    assert await log.offset_at(NOW + timedelta(milliseconds=1)) == offsets[0]
    # The clock stepped back for the third: it counts as appended when the second was.
    assert await log.offset_at(NOW + timedelta(seconds=3)) == offsets[0]
    assert await log.offset_at(NOW + timedelta(seconds=6)) == offsets[2]
    assert await log.offset_at(NOW + timedelta(days=1)) == offsets[3]


async def test_a_consumer_s_offset_only_rises_and_never_passes_the_end(open_log: Opener) -> None:
    log = await open_log()
    offsets = await log.append([record("a"), record("b"), record("c")], now=NOW)
    assert await log.committed("home") == 0
    await log.commit("home", offsets[1])
    await log.commit("home", offsets[0])
    await log.commit("other", 2**62)
    again = await open_log()
    assert await again.committed("home") == offsets[1]
    assert await again.committed("other") == offsets[2]


async def test_racing_appenders_never_show_a_gap_to_a_reader(open_log: Opener) -> None:
    logs = [await open_log() for _ in range(3)]
    writing = asyncio.gather(
        *(logs[n % 2].append([record(f"{n}.{m}") for m in range(3)], now=NOW) for n in range(120)),
        *(logs[n % 2].append([record("shared")], now=NOW) for n in range(20)),
    )
    seen: list[int] = []
    while True:
        over = writing.done()
        batch = await logs[2].read(after=seen[-1] if seen else 0, limit=50, types=())
        seen += [e.offset for e in batch.entries]
        if over and not batch.entries:
            break
    given_out = await writing
    assert seen == [e.offset for e in (await everything(logs[0])).entries]
    assert sorted({offset for offsets in given_out for offset in offsets}) == seen
    assert len({tuple(o) for o in given_out[120:]}) == 1
    assert len(seen) == 361


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_event_log import NOW, Database, SQLiteEventLog, record

async def write(log, lane):
    n = 0
    while True:
        await log.append([record(f"{lane}.{n}"), record(f"{lane}.{n}+")], now=NOW)
        print(f"{lane}.{n}", flush=True)
        n += 1

async def main():
    async with Database(sys.argv[1]) as database:
        log = await SQLiteEventLog.open(database)
        await asyncio.gather(*(write(log, lane) for lane in range(4)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_kill(open_log: Opener, tmp_path: Path) -> None:
    log = await open_log()
    arguments = ["-c", WRITER, f"sqlite:///{tmp_path}/events.db", str(Path(__file__).parent)]
    writer = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    acknowledged = [(await writer.stdout.readline()).decode().strip() for _ in range(60)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += (await writer.communicate())[0].decode().split()
    batch = await everything(await open_log())
    keys = [e.record.key for e in batch.entries]
    assert set(acknowledged) <= set(keys)
    # An append is whole or not there at all, and the log goes on where it was.
    assert {k.removesuffix("+") for k in keys} == {k for k in keys if not k.endswith("+")}
    assert len(keys) == 2 * len({k.removesuffix("+") for k in keys})
    assert await log.append([record("after")], now=NOW) == [batch.next_offset + 1]


class Plain:
    """The log as a dict: what every engine must agree with."""

    def __init__(self) -> None:
        self.rows: dict[str, Record] = {}
        self.committed: dict[str, int] = {}

    def append(self, records: list[Record]) -> list[int]:
        for r in records:
            self.rows.setdefault(r.fact_id, r)
        order = list(self.rows)
        return [order.index(r.fact_id) for r in records]

    def read(self, after: int, limit: int, types: tuple[str, ...]) -> list[Record]:
        rows = list(self.rows.values())[after:]
        return [r for r in rows if not types or type(r.fact).__name__ in types][:limit]


NAMES = st.sampled_from("abcdefgh")
KINDS = ["AccountOpened", "TitlePublished", "TitleWithdrawn"]
STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(NAMES, st.sampled_from(["opened", "published"])), max_size=5)),
    st.tuples(
        st.just("read"),
        st.tuples(st.integers(0, 8), st.integers(1, 4), st.lists(st.sampled_from(KINDS), unique=True).map(tuple)),
    ),
    st.tuples(st.just("commit"), st.tuples(st.sampled_from("xy"), st.integers(0, 8))),
    st.tuples(st.just("reopen"), st.none()),
)


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=40, deadline=None)
def test_it_agrees_with_a_dict(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]) -> None:
    asyncio.run(differ(f"sqlite:///{tmp_path_factory.mktemp('log')}/events.db", steps))


async def differ(url: str, steps: list[tuple[str, Any]]) -> None:
    plain, offsets = Plain(), [0]  # offsets[n]: the engine's offset of the nth fact
    async with Database(url) as first, Database(url) as second:
        log = await SQLiteEventLog.open(first)
        for step, argument in steps:
            if step == "reopen":
                log = await SQLiteEventLog.open(second)
            elif step == "append":
                records = [record(name, kind) for name, kind in argument]
                wanted = plain.append(records)
                got = await log.append(records, now=NOW)
                offsets = sorted({*offsets, *got})
                assert got == [offsets[1 + index] for index in wanted]
            elif step == "read":
                after, limit, types = min(argument[0], len(plain.rows)), argument[1], argument[2]
                batch = await log.read(after=offsets[after], limit=limit, types=types)
                assert [e.record for e in batch.entries] == plain.read(after, limit, types)
            else:
                consumer, at = argument[0], min(argument[1], len(plain.rows))
                plain.committed[consumer] = max(plain.committed.get(consumer, 0), offsets[at])
                await log.commit(consumer, offsets[at])
                assert await log.committed(consumer) == plain.committed[consumer]
