"""Every `EventLog`: durable, in order by key, the same after it was opened again."""

import asyncio
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from tests.conformance.event_rig import LOGS, NOW, Opened, compared, opened, place, record

from matinee.events.api import BadCursor, Batch, FactRecord
from matinee.events.ports import EventLog

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


async def everything(log: EventLog, types: tuple[str, ...] = (), after: str = "") -> list[FactRecord]:
    return [e.record for e in (await log.read(after=after, limit=100_000, types=types)).entries]


def names(records: list[FactRecord]) -> list[str]:
    return [r.trace_id for r in records]


def lanes(records: list[FactRecord]) -> dict[tuple[str, str], list[str]]:
    """What every log keeps in order: the names of the facts of each type and key."""
    found = defaultdict(list)
    for r in records:
        found[type(r.fact).__name__, r.key].append(r.trace_id)
    return dict(found)


async def test_facts_come_back_as_they_were_appended(reopen: Opener) -> None:
    log = (await reopen()).log
    records = [record("a"), record("b", "published"), record("ç 🎬", "withdrawn"), record("d", key="a")]
    await log.append(records, now=NOW)
    again = (await reopen()).log
    batch = await again.read(after="", limit=10, types=())
    found = [e.record for e in batch.entries]
    assert found == records if log.one_order else sorted(found, key=repr) == sorted(records, key=repr)
    assert lanes(found) == lanes(records)
    assert len({e.place for e in batch.entries}) == 4
    assert batch.cursor == await again.get_head() == await log.get_head()
    await log.append([], now=NOW)
    assert await log.get_head() == batch.cursor


async def test_an_empty_log_has_nothing(reopen: Opener) -> None:
    log = (await reopen()).log
    head = await log.get_head()
    for after in ("", head, await log.find_cursor(NOW)):
        assert (await log.read(after=after, limit=5, types=())).entries == []
    assert await log.get_committed("home") == ""
    assert await log.list_lags() == []


async def test_a_log_that_drops_repeats_has_each_fact_once_and_any_has_it_at_least_once(reopen: Opener) -> None:
    log = (await reopen()).log
    await log.append([record("a")], now=NOW)
    await log.append([record("a"), record("b"), record("b")], now=NOW)
    found = names(await everything(log))
    assert sorted(found) == (["a", "b"] if log.drops_repeats else ["a", "a", "b", "b"])


async def test_a_reader_of_some_types_goes_on_past_the_others(reopen: Opener) -> None:
    log = (await reopen()).log
    await log.append([record("a"), record("b", "published"), record("c"), record("d", "withdrawn")], now=NOW)
    both = ("TitleWithdrawn", "TitlePublished")
    batch = await log.read(after="", limit=10, types=both)
    assert sorted(names([e.record for e in batch.entries])) == ["b", "d"]
    await log.append([record("e"), record("f", "published")], now=NOW)
    batch = await log.read(after=batch.cursor, limit=10, types=both)
    assert names([e.record for e in batch.entries]) == ["f"]
    assert (await log.read(after=batch.cursor, limit=10, types=both)).entries == []
    assert await everything(log, types=both, after=await log.get_head()) == []


async def test_reading_in_small_bites_misses_and_repeats_nothing(reopen: Opener) -> None:
    log = (await reopen()).log
    kinds = ("opened", "published", "withdrawn")
    await log.append([record(f"{n}", kinds[n * n % 3], key=f"{n % 5}") for n in range(40)], now=NOW)
    for types in ((), ("AccountOpened", "TitlePublished"), ("AccountOpened", "AccountOpened")):
        seen, after = [], ""
        while (batch := await log.read(after=after, limit=7, types=types)).entries:
            assert len(batch.entries) <= 7
            seen += [e.record for e in batch.entries]
            after = batch.cursor
        whole = await everything(log, types)
        assert lanes(seen) == lanes(whole)
        assert sorted(names(seen)) == sorted(names(whole))


async def test_a_cursor_that_is_none_is_refused(reopen: Opener) -> None:
    log = (await reopen()).log
    for nonsense in ("x", "-1", "1.5", "²", "9" * 30, "a:b:c", ";;", "AccountOpened:", "AccountOpened:-1", "Moon:1 2"):
        with pytest.raises(BadCursor):
            await log.read(after=nonsense, limit=5, types=())
        with pytest.raises(BadCursor):
            await log.commit("home", nonsense)


async def test_the_cursor_of_a_moment_shows_every_fact_appended_since(reopen: Opener) -> None:
    log = (await reopen()).log
    for seconds in (0, 5, 9):
        await log.append([record(f"{seconds}", key=f"{n}") for n in range(3)], now=NOW + timedelta(seconds=seconds))

    async def since(**amount: float) -> set[str]:
        return set(names(await everything(log, after=await log.find_cursor(NOW + timedelta(**amount)))))

    assert await since(days=-1) == await since(seconds=0) == {"0", "5", "9"}
    assert await since(milliseconds=1) == await since(seconds=5) == {"5", "9"}
    assert await since(seconds=6) == {"9"}
    assert await since(days=1) == set()


async def test_a_clock_that_steps_back_hides_nothing_appended_since(reopen: Opener) -> None:
    log = (await reopen()).log
    for name, seconds in (("a", 0), ("b", 5), ("c", 2), ("d", 9)):
        await log.append([record(name, key="k")], now=NOW + timedelta(seconds=seconds))
    for seconds, wanted in ((0, "abcd"), (1, "bcd"), (4, "bcd"), (9, "d")):
        after = await log.find_cursor(NOW + timedelta(seconds=seconds))
        assert "".join(names(await everything(log, after=after))) == wanted


async def test_a_consumer_s_place_only_rises_and_never_passes_the_end(reopen: Opener) -> None:
    log = (await reopen()).log
    await log.append([record("a", key="k")], now=NOW)
    first = await log.get_head()
    await log.append([record("b", key="k"), record("c", "published")], now=NOW)
    await log.commit("home", await log.get_head())
    await log.commit("home", first)
    await log.commit("other", first)
    again = (await reopen()).log
    assert await everything(again, after=await again.get_committed("home")) == []
    assert names(await everything(again, after=await again.get_committed("other"), types=("AccountOpened",))) == ["b"]
    assert {lag.consumer: lag.behind for lag in await again.list_lags()} == {"home": 0, "other": 2}


async def test_racing_appenders_lose_nothing_and_a_reader_sees_no_gap(reopen: Opener) -> None:
    logs = [(await reopen()).log for _ in range(3)]
    writing = asyncio.gather(
        *(logs[n % 2].append([record(f"{n}.{m}", key=f"{n}") for m in range(3)], now=NOW) for n in range(120)),
        *(logs[n % 2].append([record("shared")], now=NOW) for n in range(20)),
    )
    seen: list[FactRecord] = []
    after = ""
    while True:
        over = writing.done()
        batch = await logs[2].read(after=after, limit=50, types=())
        seen += [e.record for e in batch.entries]
        after = batch.cursor
        if over and not batch.entries:
            break
    await writing
    assert sorted(names(seen)) == sorted(names(await everything(logs[0])))
    assert lanes(seen) == {
        **{("AccountOpened", f"{n}"): [f"{n}.{m}" for m in range(3)] for n in range(120)},
        ("AccountOpened", "shared"): ["shared"] * (1 if logs[0].drops_repeats else 20),
    }


WRITER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from tests.conformance.event_rig import NOW, opened, record

async def write(log, lane):
    n = 0
    while True:
        await log.append([record(f"{lane}.{n}", key=str(lane)), record(f"{lane}.{n}+", key=str(lane))], now=NOW)
        print(f"{lane}.{n}", flush=True)
        n += 1

async def main():
    async with opened(sys.argv[1]) as here:
        await asyncio.gather(*(write(here.log, lane) for lane in range(4)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_the_writer_s_death(reopen: Opener, where: str) -> None:
    log = (await reopen()).log
    arguments = ["-c", WRITER, where, str(Path(__file__).parents[2])]
    writer = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    acknowledged = [(await writer.stdout.readline()).decode().strip() for _ in range(60)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += (await writer.communicate())[0].decode().split()
    found = await everything((await reopen()).log)
    assert {name for each in acknowledged for name in (each, each + "+")} <= set(names(found))
    for lane, in_order in lanes(found).items():
        wanted = [f"{lane[1]}.{n}{tail}" for n in range(len(in_order)) for tail in ("", "+")]
        assert in_order == wanted[: len(in_order)]
    after = await log.get_head()
    await log.append([record("after")], now=NOW)
    assert names(await everything(log, after=after)) == ["after"]


class Plain:
    """The log as a list: what every engine must agree with."""

    def __init__(self, drops_repeats: bool) -> None:
        self.rows: list[FactRecord] = []
        self.drops_repeats = drops_repeats

    def append(self, records: list[FactRecord]) -> None:
        for r in records:
            if not self.drops_repeats or r.fact_id not in {row.fact_id for row in self.rows}:
                self.rows.append(r)

    def read(self, after: int, types: tuple[str, ...]) -> list[FactRecord]:
        return [r for r in self.rows[after:] if not types or type(r.fact).__name__ in types]


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


def test_it_agrees_with_a_list(where: str) -> None:
    compared(where, STEPS, differ, longest=15, examples=20)


async def differ(both: list[Opened], turn: str, steps: list[tuple[str, Any]]) -> None:
    """One run of steps, on facts and consumers of its own, after whatever stands in the log."""
    views = [each.log for each in both]
    log = views[0]
    plain, marks = Plain(log.drops_repeats), [(0, await log.get_head())]
    committed: dict[str, int] = {}
    for step, argument in steps:
        if step == "reopen":
            views.reverse()
            log = views[0]
        elif step == "append":
            records = [record(f"{turn}.{name}", kind, key=name) for name, kind in argument]
            plain.append(records)
            await log.append(records, now=NOW)
            marks.append((len(plain.rows), await log.get_head()))
        elif step == "read":
            rows, after = marks[argument[0] % len(marks)]
            await same(log, after, argument[1], argument[2], plain.read(rows, argument[2]))
        else:
            consumer, (rows, cursor) = f"{turn}.{argument[0]}", marks[argument[1] % len(marks)]
            committed[consumer] = max(committed.get(consumer, 0), rows)
            await log.commit(consumer, cursor)
            after = await log.get_committed(consumer)
            await same(log, after, 100, (), plain.read(committed[consumer], ()))


async def same(log: EventLog, after: str, limit: int, types: tuple[str, ...], wanted: list[FactRecord]) -> None:
    found: list[FactRecord] = []
    batch = Batch(entries=[], cursor=after)
    while (batch := await log.read(after=batch.cursor, limit=limit, types=types)).entries:
        assert len(batch.entries) <= limit
        found += [e.record for e in batch.entries]
    assert lanes(found) == lanes(wanted)
    assert sorted(found, key=msgspec.json.encode) == sorted(wanted, key=msgspec.json.encode)
    if log.one_order:
        assert found == wanted
