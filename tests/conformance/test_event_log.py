"""The suite of `EventLog`: durable, in order by key, unchanged after a reopen."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from tests.conformance.event_rig import (
    LOGS,
    NOW,
    LogView,
    Opener,
    make_record,
    names,
    new_log_url,
    open_log,
    read_lines,
    run_differential_test,
    start_script,
)

from matinee.events.api import BadCursor, Batch, FactRecord
from matinee.events.ports import EventLog


@pytest.fixture(params=LOGS)
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty log."""
    return new_log_url(request.param, tmp_path)


@pytest.fixture
async def reopen(log_url: str) -> AsyncIterator[Opener]:
    """Opens the same log again, as another process does."""
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(open_log(log_url))


async def read_all(log: EventLog, types: tuple[str, ...] = (), after: str = "") -> list[FactRecord]:
    return [e.record for e in (await log.read(after=after, limit=100_000, types=types)).entries]


def order_by_key(records: list[FactRecord]) -> dict[tuple[str, str], list[str]]:
    """Return the names by type and key: the order that every log keeps."""
    found = defaultdict(list)
    for r in records:
        found[type(r.fact).__name__, r.key].append(r.trace_id)
    return dict(found)


async def test_facts_are_read_as_appended(reopen: Opener) -> None:
    log = (await reopen()).log
    records = [
        make_record("a"),
        make_record("b", "published"),
        make_record("ç 🎬", "withdrawn"),
        make_record("d", key="a"),
    ]
    await log.append(records, now=NOW)
    again = (await reopen()).log
    batch = await again.read(after="", limit=10, types=())
    found = [e.record for e in batch.entries]
    assert found == records if log.one_order else sorted(found, key=repr) == sorted(records, key=repr)
    assert order_by_key(found) == order_by_key(records)
    assert len({e.offset for e in batch.entries}) == 4
    assert batch.cursor == await again.get_head() == await log.get_head()
    await log.append([], now=NOW)
    assert await log.get_head() == batch.cursor


async def test_an_empty_log_reads_as_empty(reopen: Opener) -> None:
    log = (await reopen()).log
    head = await log.get_head()
    for after in ("", head, await log.find_cursor(NOW)):
        assert (await log.read(after=after, limit=5, types=())).entries == []
    assert await log.get_committed("home") == ""
    assert await log.list_lags() == []


async def test_a_repeated_fact_is_stored_once_if_the_log_drops_repeats(reopen: Opener) -> None:
    log = (await reopen()).log
    await log.append([make_record("a")], now=NOW)
    await log.append([make_record("a"), make_record("b"), make_record("b")], now=NOW)
    found = names(await read_all(log))
    assert sorted(found) == (["a", "b"] if log.drops_repeats else ["a", "a", "b", "b"])


async def test_a_cursor_of_some_types_passes_the_others(reopen: Opener) -> None:
    log = (await reopen()).log
    await log.append(
        [make_record("a"), make_record("b", "published"), make_record("c"), make_record("d", "withdrawn")], now=NOW
    )
    both = ("TitleWithdrawn", "TitlePublished")
    batch = await log.read(after="", limit=10, types=both)
    assert sorted(names([e.record for e in batch.entries])) == ["b", "d"]
    await log.append([make_record("e"), make_record("f", "published")], now=NOW)
    batch = await log.read(after=batch.cursor, limit=10, types=both)
    assert names([e.record for e in batch.entries]) == ["f"]
    assert (await log.read(after=batch.cursor, limit=10, types=both)).entries == []
    assert await read_all(log, types=both, after=await log.get_head()) == []


async def test_small_pages_miss_and_repeat_nothing(reopen: Opener) -> None:
    log = (await reopen()).log
    kinds = ("opened", "published", "withdrawn")
    await log.append([make_record(f"{n}", kinds[n * n % 3], key=f"{n % 5}") for n in range(40)], now=NOW)
    for types in ((), ("AccountOpened", "TitlePublished"), ("AccountOpened", "AccountOpened")):
        found, after = [], ""
        while (batch := await log.read(after=after, limit=7, types=types)).entries:
            assert len(batch.entries) <= 7
            found += [e.record for e in batch.entries]
            after = batch.cursor
        expected = await read_all(log, types)
        assert order_by_key(found) == order_by_key(expected)
        assert sorted(names(found)) == sorted(names(expected))


async def test_a_malformed_cursor_is_refused(reopen: Opener) -> None:
    log = (await reopen()).log
    for nonsense in ("x", "-1", "1.5", "²", "9" * 30, "a:b:c", ";;", "AccountOpened:", "AccountOpened:-1", "Moon:1 2"):
        with pytest.raises(BadCursor):
            await log.read(after=nonsense, limit=5, types=())
        with pytest.raises(BadCursor):
            await log.commit("home", nonsense)


async def test_the_cursor_of_a_moment_precedes_every_later_fact(reopen: Opener) -> None:
    log = (await reopen()).log
    for seconds in (0, 5, 9):
        await log.append(
            [make_record(f"{seconds}", key=f"{n}") for n in range(3)], now=NOW + timedelta(seconds=seconds)
        )

    async def since(**amount: float) -> set[str]:
        return set(names(await read_all(log, after=await log.find_cursor(NOW + timedelta(**amount)))))

    assert await since(days=-1) == await since(seconds=0) == {"0", "5", "9"}
    assert await since(milliseconds=1) == await since(seconds=5) == {"5", "9"}
    assert await since(seconds=6) == {"9"}
    assert await since(days=1) == set()


async def test_a_clock_that_steps_back_hides_no_fact(reopen: Opener) -> None:
    log = (await reopen()).log
    for name, seconds in (("a", 0), ("b", 5), ("c", 2), ("d", 9)):
        await log.append([make_record(name, key="k")], now=NOW + timedelta(seconds=seconds))
    for seconds, wanted in ((0, "abcd"), (1, "bcd"), (4, "bcd"), (9, "d")):
        after = await log.find_cursor(NOW + timedelta(seconds=seconds))
        assert "".join(names(await read_all(log, after=after))) == wanted


async def test_a_committed_cursor_only_advances_and_never_passes_the_end(reopen: Opener) -> None:
    log = (await reopen()).log
    await log.append([make_record("a", key="k")], now=NOW)
    first = await log.get_head()
    await log.append([make_record("b", key="k"), make_record("c", "published")], now=NOW)
    await log.commit("home", await log.get_head())
    await log.commit("home", first)
    await log.commit("other", first)
    again = (await reopen()).log
    assert await read_all(again, after=await again.get_committed("home")) == []
    assert names(await read_all(again, after=await again.get_committed("other"), types=("AccountOpened",))) == ["b"]
    assert {lag.consumer: lag.behind for lag in await again.list_lags()} == {"home": 0, "other": 2}


async def test_concurrent_appends_lose_nothing_and_leave_no_gap(reopen: Opener) -> None:
    logs = [(await reopen()).log for _ in range(3)]
    writing = asyncio.gather(
        *(logs[n % 2].append([make_record(f"{n}.{m}", key=f"{n}") for m in range(3)], now=NOW) for n in range(120)),
        *(logs[n % 2].append([make_record("shared")], now=NOW) for n in range(20)),
    )
    found: list[FactRecord] = []
    after = ""
    while True:
        is_over = writing.done()
        batch = await logs[2].read(after=after, limit=50, types=())
        found += [e.record for e in batch.entries]
        after = batch.cursor
        if is_over and not batch.entries:
            break
    await writing
    assert sorted(names(found)) == sorted(names(await read_all(logs[0])))
    assert order_by_key(found) == {
        **{("AccountOpened", f"{n}"): [f"{n}.{m}" for m in range(3)] for n in range(120)},
        ("AccountOpened", "shared"): ["shared"] * (1 if logs[0].drops_repeats else 20),
    }


WRITER = """
async def write(log, key):
    n = 0
    while True:
        await log.append([make_record(f"{key}.{n}", key=key), make_record(f"{key}.{n}+", key=key)], now=NOW)
        print(f"{key}.{n}", flush=True)
        n += 1

async def main():
    async with open_log(sys.argv[1]) as here:
        await asyncio.gather(*(write(here.log, key) for key in "0123"))

asyncio.run(main())
"""


async def test_acknowledged_appends_survive_a_killed_writer(reopen: Opener, log_url: str) -> None:
    log = (await reopen()).log
    writer = await start_script(WRITER, log_url)
    acknowledged = await read_lines(writer, 60)
    writer.send_signal(signal.SIGKILL)
    acknowledged += (await writer.communicate())[0].decode().split()
    found = await read_all((await reopen()).log)
    assert {name for each in acknowledged for name in (each, each + "+")} <= set(names(found))
    for (_, key), order in order_by_key(found).items():
        expected = [f"{key}.{n}{suffix}" for n in range(len(order)) for suffix in ("", "+")]
        assert order == expected[: len(order)]
    after = await log.get_head()
    await log.append([make_record("after")], now=NOW)
    assert names(await read_all(log, after=after)) == ["after"]


class Plain:
    """The log as a list, with which every engine must agree."""

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


def test_the_log_agrees_with_a_list(log_url: str) -> None:
    run_differential_test(log_url, STEPS, compare, max_steps=15, examples=20)


async def compare(both: list[LogView], run: str, steps: list[tuple[str, Any]]) -> None:
    """Run steps on facts and consumers of their own, after the facts of earlier runs, and compare with a list."""
    views = [each.log for each in both]
    log = views[0]
    plain, marks = Plain(log.drops_repeats), [(0, await log.get_head())]
    committed: dict[str, int] = {}
    for step, argument in steps:
        if step == "reopen":
            views.reverse()
            log = views[0]
        elif step == "append":
            records = [make_record(f"{run}.{name}", kind, key=name) for name, kind in argument]
            plain.append(records)
            await log.append(records, now=NOW)
            marks.append((len(plain.rows), await log.get_head()))
        elif step == "read":
            rows, after = marks[argument[0] % len(marks)]
            await compare_reads(log, after, argument[1], argument[2], plain.read(rows, argument[2]))
        else:
            consumer, (rows, cursor) = f"{run}.{argument[0]}", marks[argument[1] % len(marks)]
            committed[consumer] = max(committed.get(consumer, 0), rows)
            await log.commit(consumer, cursor)
            after = await log.get_committed(consumer)
            await compare_reads(log, after, 100, (), plain.read(committed[consumer], ()))


async def compare_reads(
    log: EventLog, after: str, limit: int, types: tuple[str, ...], expected: list[FactRecord]
) -> None:
    found: list[FactRecord] = []
    batch = Batch(entries=[], cursor=after)
    while (batch := await log.read(after=batch.cursor, limit=limit, types=types)).entries:
        assert len(batch.entries) <= limit
        found += [e.record for e in batch.entries]
    assert order_by_key(found) == order_by_key(expected)
    assert sorted(found, key=msgspec.json.encode) == sorted(expected, key=msgspec.json.encode)
    if log.one_order:
        assert found == expected
