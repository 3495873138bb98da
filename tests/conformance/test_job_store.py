"""`JobStore` on every engine: the rules of jobs on top of the work queue, and jobs that earlier versions stored."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text
from tests.stores import SQL, database_url, store_opener

from matinee.drivers.sql import Database
from matinee.encoding.adapters.sql import SqlJobStore
from matinee.encoding.api import Job, Order
from matinee.encoding.model.progress import create_steps, stop_steps, update_step
from matinee.events.api import EncodeFinished, FactRecord, new_record
from matinee.kit import ids
from matinee.kit.ids import AssetId, JobId, TitleId

NOW = datetime(2026, 5, 1, 20, tzinfo=UTC)
LEASE = timedelta(seconds=15)
Opener = Callable[[], Awaitable[SqlJobStore]]
# A job as stored before jobs were items of a work queue.
STORED = (
    b'{"job_id":"job_06e9xnrm00e00s1r5m3c7k9d4g","order":{"title_id":"tit_a","path":"/film.mov","episode_id":null,'
    b'"audio":[],"subtitles":[],"publish":true,"consume":false,"language":"und","priority":3},"state":"queued",'
    b'"steps":[{"name":"inspect","state":"done","done":0,"total":0,"started_at":null,"ended_at":null}],'
    b'"created_at":"2026-05-01T20:00:00Z","updated_at":"2026-05-01T20:00:00Z","attempts":1,"file_name":"film.mov",'
    b'"asset_id":null,"remaining_ms":null,"reason":"ffmpeg ran out of time","warnings":["no sound"]}'
)


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "encoding")


@pytest.fixture
async def open_store(url: str) -> AsyncIterator[Opener]:
    """Return a function that opens the same data again, as another process does."""
    async with store_opener(SqlJobStore, url) as opened:
        yield opened


def job(priority: int = 0) -> Job:
    order = Order(title_id=TitleId("tit_a"), path="/film.mov", priority=priority)
    steps = create_steps()
    return Job(
        job_id=ids.generate(JobId, NOW), order=order, state="queued", steps=steps, created_at=NOW, updated_at=NOW
    )


async def claim(store: SqlJobStore, now: datetime = NOW) -> Job:
    claimed = await store.claim(owner="w", now=now, lease_until=now + LEASE)
    assert claimed is not None
    return claimed


async def test_jobs_are_claimed_by_the_priority_of_their_orders(open_store: Opener) -> None:
    store = await open_store()
    low, high = await store.add(item=job(), key="a"), await store.add(item=job(priority=5), key="b")
    assert [(await claim(store)).job_id for _ in range(2)] == [high.job_id, low.job_id]


async def test_cancelled_job_of_a_killed_worker_has_no_running_step(open_store: Opener) -> None:
    store = await open_store()
    await store.add(item=job(), key="a")
    running = update_step(await claim(store), "encode", NOW, state="running", total=100)
    await store.save(item=running, owner="w", lease_until=NOW + LEASE)
    cancelled = await store.cancel(item_id=running.job_id, now=NOW + LEASE)
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert {step.state for step in cancelled.steps} == {"waiting"}


async def test_retried_job_keeps_its_finished_steps(open_store: Opener) -> None:
    store = await open_store()
    await store.add(item=job(), key="a")
    failed = update_step(await claim(store), "inspect", NOW, state="done")
    failed = stop_steps(update_step(failed, "encode", NOW, state="running", total=9), NOW, failed=True)
    await store.save(item=msgspec.structs.replace(failed, state="failed", reason="no", remaining_ms=5), owner="w")
    again = await store.retry(item_id=failed.job_id, now=NOW)
    assert again is not None
    assert (again.state, again.attempts, again.reason, again.remaining_ms) == ("queued", 0, "", None)
    assert [step.name for step in again.steps if step.state != "waiting"] == ["inspect"]


async def test_facts_are_relayed(open_store: Opener) -> None:
    store = await open_store()
    one = await store.add(item=job(), key="a")
    fact = EncodeFinished(job_id=one.job_id, title_id=one.order.title_id, asset_id=AssetId("ast_a"))
    record = new_record(fact, key=one.order.title_id, now=NOW)
    done = msgspec.structs.replace(await claim(store), state="done")
    await store.save(item=done, owner="w", records=[msgspec.json.encode(record)])
    relayed: list[bytes] = []

    async def append(batch: list[bytes]) -> None:
        relayed.extend(batch)

    await (await open_store()).outbox.relay(append)
    assert [msgspec.json.decode(data, type=FactRecord) for data in relayed] == [record]


async def test_job_of_an_earlier_version_is_claimed(open_store: Opener, url: str) -> None:
    store = await open_store()
    row = {"id": "job_06e9xnrm00e00s1r5m3c7k9d4g", "at": round(NOW.timestamp() * 1000), "body": STORED}
    insert = text(
        "INSERT INTO encoding_jobs (job_id, state, film_key, active_key, priority, available_at, owner, lease_until,"
        " cancel_asked, body) VALUES (:id, 'queued', 'f', 'f', 3, :at, '', 0, 0, :body)"
    )
    async with Database(url) as database:
        await database.write(lambda connection: connection.execute(insert, row).rowcount)
    claimed = await claim(store)
    assert (claimed.job_id, claimed.attempts, claimed.priority) == (row["id"], 2, 3)
    assert (claimed.order.path, claimed.reason, claimed.warnings) == (
        "/film.mov",
        "ffmpeg ran out of time",
        ["no sound"],
    )
