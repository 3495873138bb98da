"""The conformance suite of `JobStore`: one job per film, one worker per job, durability, facts with their state."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stores import SQL, database_url, store_opener

from matinee.encoding.adapters.sql import SqlJobStore
from matinee.encoding.api import Job, JobNotFound, JobState, Order
from matinee.encoding.model.progress import create_steps
from matinee.events.api import EncodeFinished, FactRecord, new_record
from matinee.kit import ids
from matinee.kit.ids import AssetId, JobId, TitleId

NOW = datetime(2026, 5, 1, 20, tzinfo=UTC)
LEASE = timedelta(seconds=15)
Opener = Callable[[], Awaitable[SqlJobStore]]


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "encoding")


@pytest.fixture
async def open_store(url: str) -> AsyncIterator[Opener]:
    """Return a function that opens the same data again, as another process does."""
    async with store_opener(SqlJobStore, url) as opened:
        yield opened


def job(second: float = 0, title: str = "tit_a", priority: int = 0) -> Job:
    at = NOW + timedelta(seconds=second)
    order = Order(title_id=TitleId(title), path="/film.mov", priority=priority)
    job_id = ids.generate(JobId, at)
    return Job(job_id=job_id, order=order, state="queued", steps=create_steps(), created_at=at, updated_at=at)


def with_state(job: Job, state: JobState) -> Job:
    return msgspec.structs.replace(job, state=state)


async def claim(store: SqlJobStore, owner: str, now: datetime = NOW) -> Job | None:
    return await store.claim(owner=owner, now=now, lease_until=now + LEASE)


async def must_claim(store: SqlJobStore, owner: str, now: datetime = NOW) -> Job:
    found = await claim(store, owner, now)
    assert found is not None
    return found


async def test_job_survives_reopening(open_store: Opener) -> None:
    one = job()
    assert await (await open_store()).add(job=one, key="film") == one
    assert await (await open_store()).get(job_id=one.job_id) == one
    with pytest.raises(JobNotFound):
        await (await open_store()).get(job_id=JobId("job_none"))


async def test_concurrent_orders_of_one_film_queue_one_job(open_store: Opener) -> None:
    stores = [await open_store(), await open_store()]
    jobs = [job(), job()]
    results = await asyncio.gather(*(stores[n % 2].add(job=jobs[n % 2], key="film") for n in range(6)))
    assert len({one.job_id for one in results}) == 1
    assert len((await stores[0].page(state=None, cursor=None, limit=9)).items) == 1


async def test_film_can_be_ordered_again_after_its_job_ended(open_store: Opener) -> None:
    store = await open_store()
    first, second = job(), job(1)
    await store.add(job=first, key="film")
    await store.save(job=with_state(await must_claim(store, "w"), "done"), owner="w")
    assert await store.add(job=second, key="film") == second


async def test_highest_priority_is_claimed_first_then_the_oldest(open_store: Opener) -> None:
    store = await open_store()
    jobs = [job(0, "a"), job(1, "b", priority=5), job(2, "c", priority=5), job(3, "d", priority=-1)]
    for one in jobs:
        await store.add(job=one, key=one.order.title_id)
    taken = [(await must_claim(store, "w", NOW + timedelta(seconds=9))).order.title_id for _ in jobs]
    assert taken == ["b", "c", "a", "d"]
    assert await claim(store, "w", NOW + timedelta(seconds=9)) is None


async def test_concurrent_workers_never_share_a_job(open_store: Opener) -> None:
    stores = [await open_store() for _ in range(3)]
    jobs = [job(n / 10, f"t{n}") for n in range(12)]
    for one in jobs:
        await stores[0].add(job=one, key=one.order.title_id)
    later = NOW + timedelta(seconds=5)
    taken = await asyncio.gather(*(claim(stores[n % 3], f"w{n}", later) for n in range(20)))
    got = [one.job_id for one in taken if one is not None]
    assert sorted(got) == sorted(one.job_id for one in jobs)


async def test_claim_ends_with_its_lease_and_not_before(open_store: Opener) -> None:
    store = await open_store()
    await store.add(job=job(), key="film")
    mine = await must_claim(store, "w1")
    assert (mine.state, mine.attempts) == ("running", 1)
    assert await claim(store, "w2", NOW + LEASE - timedelta(milliseconds=1)) is None
    theirs = await must_claim(await open_store(), "w2", NOW + LEASE)
    assert (theirs.job_id, theirs.attempts) == (mine.job_id, 2)
    assert await store.save(job=mine, owner="w1", lease_until=NOW + LEASE * 3) == "lost"
    assert await store.save(job=with_state(mine, "done"), owner="w1", facts=[fact(mine)]) == "lost"
    assert await relayed_facts(store) == []
    assert (await store.get(job_id=mine.job_id)).state == "running"


async def test_saving_extends_the_lease(open_store: Opener) -> None:
    store = await open_store()
    await store.add(job=job(), key="film")
    mine = msgspec.structs.replace(await must_claim(store, "w1"), remaining_ms=7)
    assert await store.save(job=mine, owner="w1", lease_until=NOW + LEASE * 2) == "active"
    assert await claim(store, "w2", NOW + LEASE) is None
    assert (await store.get(job_id=mine.job_id)).remaining_ms == 7


async def test_released_job_waits_until_available(open_store: Opener) -> None:
    store = await open_store()
    await store.add(job=job(), key="film")
    mine = await must_claim(store, "w1")
    await store.save(job=with_state(mine, "queued"), owner="w1", available_at=NOW + timedelta(seconds=30))
    assert await claim(store, "w1", NOW + timedelta(seconds=29)) is None
    assert (await must_claim(store, "w1", NOW + timedelta(seconds=30))).attempts == 2


async def test_waiting_job_is_cancelled_at_once(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(job=job(), key="film")
    for _ in range(2):
        assert (await store.cancel(job_id=one.job_id, now=NOW)).state == "cancelled"
    assert await claim(store, "w") is None
    with pytest.raises(JobNotFound):
        await store.cancel(job_id=JobId("job_none"), now=NOW)


async def test_worker_learns_of_a_requested_cancellation(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(job=job(), key="film")
    mine = await must_claim(store, "w")
    await (await open_store()).cancel(job_id=one.job_id, now=NOW)
    assert await store.save(job=mine, owner="w", lease_until=NOW + LEASE) == "cancelled"
    await store.save(job=with_state(mine, "cancelled"), owner="w")
    assert (await store.get(job_id=one.job_id)).state == "cancelled"


async def test_cancelled_job_of_a_killed_worker_ends(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(job=job(), key="film")
    await must_claim(store, "w")
    await store.cancel(job_id=one.job_id, now=NOW)
    assert await claim(store, "w2", NOW + LEASE) is None
    assert (await store.get(job_id=one.job_id)).state == "cancelled"


async def test_ended_jobs_can_be_retried(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(job=job(), key="film")
    mine = await must_claim(store, "w")
    await store.save(job=msgspec.structs.replace(mine, state="failed", reason="no"), owner="w")
    again = await store.retry(job_id=one.job_id, now=NOW)
    assert (again.state, again.attempts, again.reason) == ("queued", 0, "")
    assert await store.retry(job_id=one.job_id, now=NOW) == again
    assert (await must_claim(store, "w")).job_id == one.job_id
    with pytest.raises(JobNotFound):
        await store.retry(job_id=JobId("job_none"), now=NOW)


async def test_retry_returns_the_unfinished_job_of_its_film(open_store: Opener) -> None:
    store = await open_store()
    old = await store.add(job=job(), key="film")
    await store.cancel(job_id=old.job_id, now=NOW)
    new = await store.add(job=job(1), key="film")
    assert await store.retry(job_id=old.job_id, now=NOW) == new
    assert (await store.get(job_id=old.job_id)).state == "cancelled"


async def test_pages_list_jobs_newest_first(open_store: Opener) -> None:
    store = await open_store()
    jobs = [job(n, f"t{n}") for n in range(7)]
    for one in jobs:
        await store.add(job=one, key=one.order.title_id)
    await store.cancel(job_id=jobs[3].job_id, now=NOW)
    found, cursor = [], None
    while True:
        page = await store.page(state="queued", cursor=cursor, limit=2)
        found += [one.order.title_id for one in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert found == ["t6", "t5", "t4", "t2", "t1", "t0"]


def fact(job: Job) -> FactRecord:
    finished = EncodeFinished(job_id=job.job_id, title_id=job.order.title_id, asset_id=AssetId("ast_a"))
    return new_record(finished, key=job.order.title_id, now=NOW)


async def relayed_facts(store: SqlJobStore) -> list[FactRecord]:
    records: list[bytes] = []

    async def append(batch: list[bytes]) -> None:
        records.extend(batch)

    await store.outbox.relay(append)
    return [msgspec.json.decode(record, type=FactRecord) for record in records]


async def test_facts_are_saved_with_their_state(open_store: Opener) -> None:
    store = await open_store()
    await store.add(job=job(), key="film")
    mine = await must_claim(store, "w")
    record = fact(mine)
    await store.save(job=with_state(mine, "done"), owner="w", facts=[record])
    reopened = await open_store()
    assert (await reopened.get(job_id=mine.job_id)).state == "done"
    assert await relayed_facts(reopened) == [record]
    assert await relayed_facts(reopened) == []


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "claim", "heartbeat", "done", "failed", "cancel", "retry", "wait"]),
        st.integers(0, 2),
        st.sampled_from(["w1", "w2"]),
    ),
    max_size=30,
)


class PlainJobStore:
    """A job store as a plain dict by film: state, owner, end of lease, requested cancellation."""

    def __init__(self) -> None:
        self.films: dict[int, dict[str, Any]] = {}

    def act(self, what: str, film: int, owner: str, now: datetime) -> None:
        row = self.films.get(film)
        if what == "add":
            if row is None or row["state"] in ("done", "failed", "cancelled"):
                self.films.pop(film, None)
                self.films[film] = {"state": "queued", "owner": "", "until": NOW, "asked": False}
        elif what == "claim":
            self._claim(owner, now)
        elif row is not None:
            self._change(what, row, owner, now)

    def _claim(self, owner: str, now: datetime) -> None:
        for row in self.films.values():
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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
async def test_it_behaves_like_a_plain_dict(actions: list[tuple[str, int, str]], url: str) -> None:
    async with store_opener(SqlJobStore, url, clear=True) as reopen:
        store, plain, now = await reopen(), PlainJobStore(), NOW
        newest: dict[int, JobId] = {}
        for what, film, owner in actions:
            now += LEASE if what == "wait" else timedelta(milliseconds=2)
            await act(store, newest, what, film, owner, now)
            plain.act(what, film, owner, now)
            states = {film: (await store.get(job_id=job_id)).state for film, job_id in newest.items()}
            assert states == {film: row["state"] for film, row in plain.films.items()}


async def act(store: SqlJobStore, newest: dict[int, JobId], what: str, film: int, owner: str, now: datetime) -> None:
    if what == "add":
        one = job((now - NOW).total_seconds(), f"t{film}")
        newest[film] = (await store.add(job=one, key=f"film{film}")).job_id
    elif what == "claim":
        await claim(store, owner, now)
    elif film in newest and what == "cancel":
        await store.cancel(job_id=newest[film], now=now)
    elif film in newest and what == "retry":
        await store.retry(job_id=newest[film], now=now)
    elif film in newest and what in ("heartbeat", "done", "failed"):
        mine = await store.get(job_id=newest[film])
        if mine.state == "running":
            state: Any = "running" if what == "heartbeat" else what
            await store.save(job=with_state(mine, state), owner=owner, lease_until=now + LEASE)
