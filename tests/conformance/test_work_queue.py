"""The conformance suite of `WorkQueue`: one item per key, one worker per item, durability, facts with their state."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import MetaData
from tests.stores import SQL, database_url, start_python, store_opener

from matinee.drivers.sql import Database
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table
from matinee.kit import ids
from matinee.kit.ids import JobId
from matinee.mesh.queue.items import WorkItem, WorkState
from matinee.mesh.queue.sql import SqlWorkQueue, define_work_table

NOW = datetime(2026, 5, 1, 20, tzinfo=UTC)
LEASE = timedelta(seconds=15)


class Export(WorkItem, frozen=True, kw_only=True):
    """An item of the suite."""

    export_id: str
    name: str
    urgency: int = 0
    done: int = 0
    notes: tuple[str, ...] = ()

    @property
    def item_id(self) -> str:
        return self.export_id

    @property
    def priority(self) -> int:
        return self.urgency


_metadata = MetaData()
_table = define_work_table(_metadata, "exports", Export)
_outbox = define_outbox_table(_metadata, "exports")


class ExportQueue(SqlWorkQueue[Export]):
    """A queue of exports with an outbox."""

    def __init__(self, database: Database) -> None:
        self.outbox = SqlOutbox(database, _outbox)
        super().__init__(database, _table, self.outbox, on_stop=_note("stopped"), on_retry=_note("retried"))

    @classmethod
    async def open(cls, database: Database) -> Self:
        await database.write(_metadata.create_all)
        return cls(database)


def _note(note: str) -> Callable[[Export, datetime], Export]:
    return lambda item, _: replace(item, notes=(*item.notes, note))


Opener = Callable[[], Awaitable[ExportQueue]]


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "queue")


@pytest.fixture
async def open_store(url: str) -> AsyncIterator[Opener]:
    """Return a function that opens the same data again, as another process does."""
    async with store_opener(ExportQueue, url) as opened:
        yield opened


def export(second: float = 0, name: str = "a", urgency: int = 0) -> Export:
    at = NOW + timedelta(seconds=second)
    export_id = ids.generate(JobId, at)
    return Export(export_id=export_id, name=name, urgency=urgency, state="queued", created_at=at, updated_at=at)


def with_state(item: Export, state: WorkState) -> Export:
    return replace(item, state=state)


async def claim(store: ExportQueue, owner: str, now: datetime = NOW) -> Export | None:
    return await store.claim(owner=owner, now=now, lease_until=now + LEASE)


async def must_claim(store: ExportQueue, owner: str, now: datetime = NOW) -> Export:
    found = await claim(store, owner, now)
    assert found is not None
    return found


async def must_find(store: ExportQueue, item: Export) -> Export:
    found = await store.find(item_id=item.item_id)
    assert found is not None
    return found


async def test_item_survives_reopening(open_store: Opener) -> None:
    one = export()
    assert await (await open_store()).add(item=one, key="a") == one
    assert await (await open_store()).find(item_id=one.item_id) == one
    assert await (await open_store()).find(item_id="none") is None


async def test_concurrent_adds_of_one_key_queue_one_item(open_store: Opener) -> None:
    stores = [await open_store(), await open_store()]
    items = [export(), export()]
    results = await asyncio.gather(*(stores[n % 2].add(item=items[n % 2], key="a") for n in range(6)))
    assert len({one.item_id for one in results}) == 1
    assert len((await stores[0].list_items(state=None, cursor=None, limit=9)).items) == 1


async def test_key_can_be_queued_again_after_its_item_ended(open_store: Opener) -> None:
    store = await open_store()
    first, second = export(), export(1)
    await store.add(item=first, key="a")
    await store.save(item=with_state(await must_claim(store, "w"), "done"), owner="w")
    assert await store.add(item=second, key="a") == second


async def test_highest_priority_is_claimed_first_then_the_oldest(open_store: Opener) -> None:
    store = await open_store()
    items = [export(0, "a"), export(1, "b", urgency=5), export(2, "c", urgency=5), export(3, "d", urgency=-1)]
    for one in items:
        await store.add(item=one, key=one.name)
    taken = [(await must_claim(store, "w", NOW + timedelta(seconds=9))).name for _ in items]
    assert taken == ["b", "c", "a", "d"]
    assert await claim(store, "w", NOW + timedelta(seconds=9)) is None


async def test_concurrent_workers_never_share_a_export(open_store: Opener) -> None:
    stores = [await open_store() for _ in range(3)]
    items = [export(n / 10, f"t{n}") for n in range(12)]
    for one in items:
        await stores[0].add(item=one, key=one.name)
    later = NOW + timedelta(seconds=5)
    taken = await asyncio.gather(*(claim(stores[n % 3], f"w{n}", later) for n in range(20)))
    got = [one.item_id for one in taken if one is not None]
    assert sorted(got) == sorted(one.item_id for one in items)


async def test_claim_ends_with_its_lease_and_not_before(open_store: Opener) -> None:
    store = await open_store()
    await store.add(item=export(), key="a")
    mine = await must_claim(store, "w1")
    assert (mine.state, mine.attempts) == ("running", 1)
    assert await claim(store, "w2", NOW + LEASE - timedelta(milliseconds=1)) is None
    theirs = await must_claim(await open_store(), "w2", NOW + LEASE)
    assert (theirs.item_id, theirs.attempts) == (mine.item_id, 2)
    assert await store.save(item=mine, owner="w1", lease_until=NOW + LEASE * 3) == "lost"
    assert await store.save(item=with_state(mine, "done"), owner="w1", records=[b"ended"]) == "lost"
    assert await relay_facts(store) == []
    assert (await must_find(store, mine)).state == "running"


async def test_saving_extends_the_lease(open_store: Opener) -> None:
    store = await open_store()
    await store.add(item=export(), key="a")
    mine = replace(await must_claim(store, "w1"), done=7)
    assert await store.save(item=mine, owner="w1", lease_until=NOW + LEASE * 2) == "active"
    assert await claim(store, "w2", NOW + LEASE) is None
    assert (await must_find(store, mine)).done == 7


async def test_released_item_waits_until_available(open_store: Opener) -> None:
    store = await open_store()
    await store.add(item=export(), key="a")
    mine = await must_claim(store, "w1")
    await store.save(item=with_state(mine, "queued"), owner="w1", available_at=NOW + timedelta(seconds=30))
    assert await claim(store, "w1", NOW + timedelta(seconds=29)) is None
    assert (await must_claim(store, "w1", NOW + timedelta(seconds=30))).attempts == 2


async def test_delay_of_a_clock_that_was_ahead_has_passed(open_store: Opener) -> None:
    store = await open_store()
    await store.add(item=replace(export(), created_at=NOW + timedelta(hours=5)), key="a")
    assert (await must_claim(store, "w1")).attempts == 1


async def test_lease_of_a_clock_that_was_ahead_ends_as_if_it_had_begun_now(open_store: Opener) -> None:
    store = await open_store()
    await store.add(item=export(), key="a")
    mine = await must_claim(store, "w1", NOW + timedelta(hours=5))
    assert await claim(store, "w2") is None
    assert await claim(store, "w2", NOW + LEASE - timedelta(milliseconds=1)) is None
    assert (await must_claim(store, "w2", NOW + LEASE)).item_id == mine.item_id


async def test_waiting_item_is_cancelled_at_once(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(item=export(), key="a")
    for _ in range(2):
        assert (await store.cancel(item_id=one.item_id, now=NOW)).state == "cancelled"
    assert await claim(store, "w") is None
    assert await store.cancel(item_id="none", now=NOW) is None


async def test_worker_learns_of_a_requested_cancellation(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(item=export(), key="a")
    mine = await must_claim(store, "w")
    await (await open_store()).cancel(item_id=one.item_id, now=NOW)
    assert await store.save(item=mine, owner="w", lease_until=NOW + LEASE) == "cancelled"
    await store.save(item=with_state(mine, "cancelled"), owner="w")
    assert (await must_find(store, one)).state == "cancelled"


async def test_cancelled_item_of_a_killed_worker_ends(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(item=export(), key="a")
    await must_claim(store, "w")
    await store.cancel(item_id=one.item_id, now=NOW)
    assert await claim(store, "w2", NOW + LEASE) is None
    assert (await must_find(store, one)).state == "cancelled"


async def test_ended_items_can_be_retried(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(item=export(), key="a")
    mine = await must_claim(store, "w")
    await store.save(item=replace(mine, state="failed", reason="no"), owner="w")
    again = await store.retry(item_id=one.item_id, now=NOW)
    assert (again.state, again.attempts, again.reason) == ("queued", 0, "")
    assert await store.retry(item_id=one.item_id, now=NOW) == again
    assert (await must_claim(store, "w")).item_id == one.item_id
    assert await store.retry(item_id="none", now=NOW) is None


async def test_retry_returns_the_unfinished_item_of_its_key(open_store: Opener) -> None:
    store = await open_store()
    old = await store.add(item=export(), key="a")
    await store.cancel(item_id=old.item_id, now=NOW)
    new = await store.add(item=export(1), key="a")
    assert await store.retry(item_id=old.item_id, now=NOW) == new
    assert (await must_find(store, old)).state == "cancelled"


async def test_pages_list_items_newest_first(open_store: Opener) -> None:
    store = await open_store()
    items = [export(n, f"t{n}") for n in range(7)]
    for one in items:
        await store.add(item=one, key=one.name)
    await store.cancel(item_id=items[3].item_id, now=NOW)
    found, cursor = [], None
    while True:
        page = await store.list_items(state="queued", cursor=cursor, limit=2)
        found += [one.name for one in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert found == ["t6", "t5", "t4", "t2", "t1", "t0"]


async def relay_facts(store: ExportQueue) -> list[bytes]:
    records: list[bytes] = []

    async def append(batch: list[bytes]) -> None:
        records.extend(batch)

    await store.outbox.relay(append)
    return records


async def test_facts_are_saved_with_their_state(open_store: Opener) -> None:
    store = await open_store()
    await store.add(item=export(), key="a")
    mine = await must_claim(store, "w")
    await store.save(item=with_state(mine, "done"), owner="w", records=[b"done"])
    reopened = await open_store()
    assert (await must_find(reopened, mine)).state == "done"
    assert await relay_facts(reopened) == [b"done"]
    assert await relay_facts(reopened) == []


async def claim_forever(url: str) -> None:
    """Claim an item as another process does, report it and never end."""
    async with Database(url) as database:
        queue = await ExportQueue.open(database)
        print((await must_claim(queue, "other")).item_id, flush=True)
        await asyncio.Event().wait()


async def test_item_of_a_killed_worker_is_claimed_after_its_lease(open_store: Opener, url: str) -> None:
    store = await open_store()
    one = await store.add(item=export(), key="a")
    worker = await asyncio.to_thread(start_python, __file__, url)
    claimed = await asyncio.to_thread(worker.stdout.readline)
    worker.kill()
    await asyncio.to_thread(worker.communicate)
    assert claimed.strip() == one.item_id
    assert await claim(store, "w", NOW + LEASE - timedelta(milliseconds=1)) is None
    assert (await must_claim(store, "w", NOW + LEASE)).attempts == 2


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "claim", "heartbeat", "done", "failed", "cancel", "retry", "wait"]),
        st.integers(0, 2),
        st.sampled_from(["w1", "w2"]),
    ),
    max_size=30,
)


class PlainQueue:
    """A queue as a plain dict by key: state, owner, end of lease, requested cancellation."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}

    def act(self, what: str, key: int, owner: str, now: datetime) -> None:
        row = self.rows.get(key)
        if what == "add":
            if row is None or row["state"] in ("done", "failed", "cancelled"):
                self.rows.pop(key, None)
                self.rows[key] = {"state": "queued", "owner": "", "until": NOW, "asked": False}
        elif what == "claim":
            self._claim(owner, now)
        elif row is not None:
            self._change(what, row, owner, now)

    def _claim(self, owner: str, now: datetime) -> None:
        for row in self.rows.values():
            if row["state"] == "queued" or (row["state"] == "running" and row["until"] <= now):
                if row["asked"]:
                    row |= {"state": "cancelled", "asked": False}
                    continue
                row |= {"state": "running", "owner": owner, "until": now + LEASE}
                return

    def _change(self, what: str, row: dict[str, Any], owner: str, now: datetime) -> None:
        running = row["state"] == "running"
        if what in ("heartbeat", "done", "failed"):
            if running and row["owner"] == owner:
                row |= {"until": now + LEASE} if what == "heartbeat" else {"state": what, "asked": False}
        elif what == "cancel" and (row["state"] == "queued" or (running and row["until"] <= now)):
            row |= {"state": "cancelled", "asked": False}
        elif what == "cancel" and running:
            row["asked"] = True
        elif what == "retry" and row["state"] in ("failed", "cancelled"):
            row |= {"state": "queued"}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
async def test_it_behaves_like_a_plain_dict(actions: list[tuple[str, int, str]], url: str) -> None:
    async with store_opener(ExportQueue, url, clear=True) as reopen:
        store, plain, now = await reopen(), PlainQueue(), NOW
        newest: dict[int, str] = {}
        for what, key, owner in actions:
            now += LEASE if what == "wait" else timedelta(milliseconds=2)
            await act(store, newest, what, key, owner, now)
            plain.act(what, key, owner, now)
            items = {key: await store.find(item_id=item_id) for key, item_id in newest.items()}
            states = {key: item.state for key, item in items.items() if item is not None}
            assert states == {key: row["state"] for key, row in plain.rows.items()}


async def act(store: ExportQueue, newest: dict[int, str], what: str, key: int, owner: str, now: datetime) -> None:
    if what == "add":
        one = export((now - NOW).total_seconds(), f"t{key}")
        newest[key] = (await store.add(item=one, key=f"key{key}")).item_id
    elif what == "claim":
        await claim(store, owner, now)
    elif key in newest and what == "cancel":
        await store.cancel(item_id=newest[key], now=now)
    elif key in newest and what == "retry":
        await store.retry(item_id=newest[key], now=now)
    elif key in newest and what in ("heartbeat", "done", "failed"):
        mine = await store.find(item_id=newest[key])
        if mine is not None and mine.state == "running":
            state: Any = "running" if what == "heartbeat" else what
            await store.save(item=with_state(mine, state), owner=owner, lease_until=now + LEASE)


if __name__ == "__main__":
    asyncio.run(claim_forever(sys.argv[1]))
