"""The suite of `Follower`: each fact is handled at least once, in order by key, when followers start, stop and die."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conformance.event_rig import (
    CONSUMER,
    LOGS,
    NOW,
    Opener,
    Recorder,
    expected_order,
    following,
    make_record,
    make_records,
    new_log_url,
    open_log,
    read_lines,
    start_script,
    wait_committed,
)

from matinee.events.api import AccountOpened, BatchHandler, FactRecord, TitlePublished
from matinee.kit.problem import Unreachable


@pytest.fixture(params=LOGS)
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty log."""
    return new_log_url(request.param, tmp_path)


@pytest.fixture
async def reopen(log_url: str) -> AsyncIterator[Opener]:
    """Opens the same log again, as another process does."""
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(open_log(log_url))


async def test_a_follower_resumes_after_its_last_commit(reopen: Opener) -> None:
    here, handled = await reopen(), Recorder()
    await here.log.append([make_record("a"), make_record("x", "withdrawn"), make_record("b")], now=NOW)
    async with following(here, handled.handle):
        await handled.wait_until(lambda: len(handled.records) == 2)
        await here.log.append([make_record("c")], now=NOW)
        await handled.wait_until(lambda: len(handled.records) == 3)
    assert sorted(handled.names) == ["a", "b", "c"]
    await here.log.append([make_record("d")], now=NOW)
    there, later = await reopen(), Recorder()
    async with following(there, later.handle):
        await later.wait_until(lambda: "d" in later.names)
    assert later.names[-1] == "d"
    async with following(there, later.handle):
        await wait_committed(there)


async def test_only_the_requested_types_are_delivered(reopen: Opener) -> None:
    here, handled = await reopen(), Recorder()
    await here.log.append([make_record("a"), make_record("b", "published"), make_record("c", "withdrawn")], now=NOW)
    async with following(here, handled.handle, types=(AccountOpened, TitlePublished)):
        await here.log.append([make_record("d", "withdrawn"), make_record("e", "published")], now=NOW)
        await handled.wait_until(lambda: "e" in handled.names and len(handled.records) >= 3)
    assert sorted(handled.names) == ["a", "b", "e"]


async def test_a_new_consumer_starts_after_the_given_cursor(reopen: Opener) -> None:
    here, handled = await reopen(), Recorder()
    for minute, name in enumerate("abc"):
        await here.log.append([make_record(name, key="k")], now=NOW + timedelta(minutes=minute))
    start = await here.events.find_cursor(moment=NOW + timedelta(minutes=1))
    async with following(here, handled.handle, start=start):
        await handled.wait_until(lambda: len(handled.records) == 2)
        await wait_committed(here)
    assert handled.names == ["b", "c"]
    later = Recorder()
    async with following(here, later.handle, start=""):  # ignored: the consumer has a cursor by now
        await here.log.append([make_record("d", key="k")], now=NOW + timedelta(minutes=3))
        await later.wait_until(lambda: "d" in later.names)
    assert later.names == ["d"]


async def test_a_cursor_can_be_committed_after_the_followers_stopped(reopen: Opener) -> None:
    here, handled = await reopen(), Recorder()
    await here.log.append(make_records(0, 6), now=NOW)
    async with following(here, handled.handle, start=await here.events.get_head()):
        await here.log.append([make_record("new")], now=NOW)
        await handled.wait_until(lambda: "new" in handled.names)
        await wait_committed(here)
    assert handled.names == ["new"]
    await here.log.append(make_records(6, 6), now=NOW)
    await here.events.commit(consumer=CONSUMER, cursor=await here.events.get_head())
    await here.log.append([make_record("newer")], now=NOW)
    later = Recorder()
    async with following(here, later.handle):
        await later.wait_until(lambda: "newer" in later.names)
    assert later.names == ["newer"]


async def test_batches_are_bounded_and_in_order(reopen: Opener) -> None:
    here, handled = await reopen(), Recorder()
    await here.log.append(make_records(0, 100), now=NOW)
    async with following(here, handled.handle, max_batch=8):
        await handled.wait_until(lambda: len(handled.records) == 100)
        await wait_committed(here)
    assert max(handled.batches) == 8
    assert len(handled.batches) < 30
    assert handled.order_by_key() == expected_order(100)


async def test_a_batch_waits_for_more_facts_no_longer_than_its_limit(reopen: Opener) -> None:
    here, handled = await reopen(), Recorder()
    async with following(here, handled.handle, max_batch=4, max_wait_ms=60_000):
        for n in range(4):
            await here.log.append([make_record(f"{n}", key="k")], now=NOW)
            await asyncio.sleep(0.02)
        await handled.wait_until(lambda: len(handled.records) == 4)  # the batch is full
    assert handled.batches == [4]
    async with following(here, handled.handle, max_batch=4, max_wait_ms=50):
        await here.log.append([make_record("last", key="k")], now=NOW)
        await handled.wait_until(lambda: "last" in handled.names)  # the wait is over
        await wait_committed(here)


async def test_a_failing_fact_is_retried_then_stored_and_the_others_are_handled(reopen: Opener) -> None:
    here, handled = await reopen(), Recorder()
    await here.log.append([make_record(name, key="k") for name in ("flaky", "poison", "good")], now=NOW)
    failures = {"flaky": [ValueError("once")] * 2, "poison": [ValueError(f"no {n}") for n in range(50)]}

    async def handle(records: list[FactRecord]) -> None:
        for record in records:
            if left := failures.get(record.trace_id):
                raise left.pop(0)
        await handled.handle(records)

    async with following(here, handle):
        await handled.wait_until(lambda: "good" in handled.names)
    assert handled.names == ["flaky", "good"]
    (letter,) = await here.events.list_dead_letters(consumer=CONSUMER)
    assert (letter.consumer, letter.tries, letter.reason) == (CONSUMER, 3, "ValueError('no 2')")
    assert letter.entry.record == make_record("poison", key="k")


async def test_a_batch_is_retried_while_a_dependency_is_unavailable(reopen: Opener) -> None:
    here, handled = await reopen(), Recorder()
    await here.log.append([make_record("a", key="k"), make_record("b", key="k")], now=NOW)
    outage = [Unreachable(service="catalogue") for _ in range(40)]

    async def handle(records: list[FactRecord]) -> None:
        if outage:
            raise outage.pop()
        await handled.handle(records)

    async with following(here, handle):
        await handled.wait_until(lambda: len(handled.records) == 2)
    assert handled.names == ["a", "b"]
    assert await here.events.list_dead_letters() == []


async def test_a_second_follower_shares_or_waits_and_takes_over(reopen: Opener) -> None:
    here, there = await reopen(), await reopen()
    handled, counts = Recorder(), {"here": 0, "there": 0}

    def counting(name: str) -> BatchHandler:
        async def handle(records: list[FactRecord]) -> None:
            counts[name] += len(records)
            await handled.handle(records)

        return handle

    async with AsyncExitStack() as first:
        await first.enter_async_context(following(here, counting("here")))
        await here.log.append(make_records(0, 50), now=NOW)
        await handled.wait_until(lambda: len(handled.records) >= 50)
        async with following(there, counting("there")):
            for n in range(50, 250, 20):
                await here.log.append(make_records(n, 20), now=NOW)
                await asyncio.sleep(0.1)
            await handled.wait_until(lambda: len(set(handled.names)) == 250)
            await first.aclose()
            await here.log.append(make_records(250, 50), now=NOW)
            await handled.wait_until(lambda: len(set(handled.names)) == 300)
    assert counts["there"] >= 50
    assert handled.order_by_key() == expected_order(300)


async def test_a_batch_finishes_before_its_partition_changes_its_owner(reopen: Opener) -> None:
    here, there = await reopen(), await reopen()
    handled, busy_keys, overlaps = Recorder(), set[str](), list[str]()

    async def handle(records: list[FactRecord]) -> None:
        for record in records:
            if record.key in busy_keys:
                overlaps.append(record.trace_id)
            busy_keys.add(record.key)
            try:
                await asyncio.sleep(0.05)
                await handled.handle([record])
            finally:
                busy_keys.discard(record.key)

    await here.log.append(make_records(0, 60), now=NOW)
    async with following(here, handle, max_batch=5):
        await handled.wait_until(lambda: len(handled.records) >= 5)
        async with following(there, handle, max_batch=5):
            await handled.wait_until(lambda: len(handled.records) >= 30)
        await handled.wait_until(lambda: len(set(handled.names)) == 60)
    assert overlaps == []
    assert handled.order_by_key() == expected_order(60)


FOLLOWER = """
async def handle(records):
    for record in records:
        print("begun", record.trace_id, flush=True)
        await asyncio.sleep(0.02)
        print("done", record.trace_id, flush=True)

async def main():
    async with open_log(sys.argv[1]) as here:
        await here.follower.follow(consumer="test", types=(AccountOpened,), handle=handle, max_batch=MAX_BATCH)

asyncio.run(main())
"""


@pytest.mark.parametrize("max_batch", ["1", "20"])
async def test_a_killed_follower_loses_nothing(reopen: Opener, log_url: str, max_batch: str) -> None:
    here, handled = await reopen(), Recorder()
    await here.log.append(make_records(0, 200), now=NOW)
    other = await start_script(FOLLOWER.replace("MAX_BATCH", max_batch), log_url)
    lines = await read_lines(other, 30)
    async with following(here, handled.handle):
        other.send_signal(signal.SIGKILL)
        lines += (await other.communicate())[0].decode().splitlines()
        done = {line.removeprefix("done ") for line in lines if line.startswith("done")}
        await handled.wait_until(lambda: done | set(handled.names) == {f"{n}" for n in range(200)})
    for key, expected in expected_order(200).items():
        rest = handled.order_by_key()[key]
        assert rest == expected[len(expected) - len(rest) :]


async def test_a_follower_stopped_for_longer_than_its_lease_is_replaced(reopen: Opener, log_url: str) -> None:
    here, handled = await reopen(), Recorder()
    await here.log.append(make_records(0, 100), now=NOW)
    other = await start_script(FOLLOWER.replace("MAX_BATCH", "5"), log_url)
    await read_lines(other, 9)
    other.send_signal(signal.SIGSTOP)
    try:
        async with following(here, handled.handle):
            await handled.wait_until(lambda: {"97", "98", "99"} <= set(handled.names))
            other.send_signal(signal.SIGCONT)
            await here.log.append(make_records(100, 50), now=NOW)
            other.send_signal(signal.SIGTERM)
            await handled.wait_until(lambda: {f"{n}" for n in range(100, 150)} <= set(handled.names))
    finally:
        with contextlib.suppress(ProcessLookupError):
            other.send_signal(signal.SIGKILL)
        await other.communicate()
    for key, rest in handled.order_by_key().items():
        assert rest == expected_order(150)[key][-len(rest) :]
