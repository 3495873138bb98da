"""Encoding with objects in S3: from an upload or another machine, by a remote worker, to an edge."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.conformance.edge_rig import KEY as LINK_KEY
from tests.conformance.edge_rig import Origin, link, run_edge
from tests.engines import private_engine, shared_engine
from tests.journeys.encoding_deployment import EncodingDeployment, open_deployment
from tests.unit.encoding_rig import make_film

from matinee.app.masters import upload_masters
from matinee.app.settings import load
from matinee.catalogue.api import Asset, TitleDraft
from matinee.drivers.objects import ObjectStore
from matinee.edge.adapters.objects import ObjectStoreUpstream
from matinee.encoding.adapters.objects import ObjectBlobs
from matinee.encoding.api import Job, Order, SideFile, Unusable
from matinee.encoding.jobs.worker import create_worker
from matinee.encoding.service import EncodingService
from matinee.gateway.adapters.s3 import S3UploadStore
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.hashing import sha256_file
from matinee.kit.ids import AccountId, TitleId, UploadId
from matinee.mesh.hosting.settings import Settings
from matinee.mesh.queue.worker import QueueWorker

FILM = TitleId("tit_01jh0000000000000000000000")
NAME = 'it\'s a "master" 🎬.mkv'


class FutureClock:
    """A clock ahead of all others."""

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(minutes=10)


@asynccontextmanager
async def deployment(data: Path, url: str) -> AsyncIterator[EncodingDeployment]:
    """Open a deployment whose objects are in S3."""
    async with open_deployment(data) as one:
        tools = dataclasses.replace(one.tools, blobs=ObjectBlobs(ObjectStore(url, idle_timeout_s=2, attempts=2)))
        encoding = EncodingService(
            store=one.store,
            sources=one.sources,
            blobs=tools.blobs,
            prober=tools.prober,
            catalogue=one.catalogue,
            executor=tools.executor,
            clock=SystemClock(),
        )
        draft = TitleDraft(title_id=FILM, kind="film", names={"en": "A film"}, original_language="en")
        await one.catalogue.put_title(draft=draft)
        yield dataclasses.replace(one, tools=tools, encoding=encoding)


@pytest.fixture
async def master(tmp_path: Path) -> Path:
    return await make_film(tmp_path / NAME, seconds=3)


def worker(deployment: EncodingDeployment, clock: FutureClock | SystemClock | None = None) -> QueueWorker[Job]:
    clock = clock or SystemClock()
    return create_worker(
        store=deployment.store, tools=deployment.tools, clock=clock, folder=deployment.work, owner="elsewhere"
    )


def settings(url: str) -> Settings:
    return load(None, {"MATINEE__OBJECTS__STORE": url})


async def list_keys(url: str) -> set[str]:
    return {head.key for head in await ObjectStore(url).list_objects("")}


async def upload(url: str, file: Path) -> str:
    """Upload a file in two parts through different gateways, and return its key."""
    data, now = await asyncio.to_thread(file.read_bytes), datetime.now(UTC)
    upload_id = ids.generate(UploadId, now)
    inside = url.replace("?", "/uploads?")
    async with S3UploadStore.open(inside, store=url) as one, S3UploadStore.open(inside, store=url) as other:
        account_id = ids.generate(AccountId, now)
        await one.create(upload_id=upload_id, account_id=account_id, file_name=file.name, size_bytes=len(data), now=now)
        half = len(data) // 2
        for store, start, stop in ((one, 0, half), (other, half, len(data))):

            async def pieces(part: bytes = data[start:stop]) -> AsyncIterator[bytes]:
                yield part

            await store.append(upload_id=upload_id, offset_bytes=start, pieces=pieces(), now=now)
        return await one.path(upload_id=upload_id)


async def test_upload_becomes_an_asset_that_an_edge_serves(tmp_path: Path, master: Path) -> None:
    url, digest = shared_engine("s3").url("deployment"), sha256_file(master)
    async with deployment(tmp_path / "data", url) as one:
        path = await upload(url, master)
        assert path.startswith("uploads/upl_")
        assert path.endswith(f"/{NAME}")
        job = await one.encoding.submit(order=Order(title_id=FILM, path=path, consume=True))
        assert job.file_name == NAME
        assert await worker(one).run_next()
        job = await one.encoding.get_job(job_id=job.job_id)
        assert (job.state, job.reason) == ("done", "")
        asset = (await one.catalogue.playable(title_id=FILM, territory="DE")).asset
    kept = await list_keys(url)
    assert path not in kept
    assert f"sources/{digest}.mkv" in kept
    assert not [path for path in (tmp_path / "data/work").rglob("*") if path.is_file()]
    await check_served(tmp_path, url, asset)


async def check_served(tmp_path: Path, url: str, asset: Asset) -> None:
    """Check every segment of a rendition at an edge."""
    upstream, track = ObjectStoreUpstream(url), asset.video[-1]
    count = sum(run.count for run in track.segments)
    async with run_edge(tmp_path, Origin(), upstream=upstream) as rig:
        for name in (track.init, *(track.media.replace("$Number$", str(n)) for n in range(1, count + 1))):
            answer = await rig.request(link(name, scope=asset.prefix.rstrip("/"), key=LINK_KEY))
            assert (answer.status, answer.body) == (200, await ObjectStore(url).get(asset.prefix + name))


async def test_local_master_is_handed_over_to_the_workers(tmp_path: Path, master: Path) -> None:
    url = shared_engine("s3").url("deployment")
    text = tmp_path / "ja.srt"
    text.write_text("1\n00:00:01,000 --> 00:00:02,000\nこんにちは\n")
    order = Order(title_id=FILM, path=str(master), subtitles=[SideFile(path=str(text), language="ja")])
    async with deployment(tmp_path / "data", url) as one:
        async with upload_masters(settings(url), order) as there:
            assert there.path in await list_keys(url)
            job = await one.encoding.submit(order=there)
        await asyncio.to_thread(master.unlink)
        await asyncio.to_thread(text.unlink)
        assert await worker(one).run_next()
        assert (await one.encoding.get_job(job_id=job.job_id)).state == "done"
        assert not [key for key in await list_keys(url) if key.startswith("incoming/")]


async def test_refused_master_is_removed_from_the_store(tmp_path: Path) -> None:
    url, notes = shared_engine("s3").url("deployment"), tmp_path / "notes.txt"
    notes.write_text("just words")
    async with deployment(tmp_path / "data", url) as one:
        with pytest.raises(Unusable, match=r"notes\.txt"):
            async with upload_masters(settings(url), Order(title_id=FILM, path=str(notes))) as there:
                await one.encoding.submit(order=there)
        with pytest.raises(Unusable, match="cannot be read"):
            async with upload_masters(settings(url), Order(title_id=FILM, path=str(tmp_path / "none.mov"))):
                pass
    assert await list_keys(url) == set()


async def test_nothing_is_handed_over_where_objects_are_a_directory(tmp_path: Path) -> None:
    order = Order(title_id=FILM, path="/somewhere/film.mov")
    async with upload_masters(settings(f"file://{tmp_path}"), order) as there:
        assert there is order


async def test_unavailable_object_store_requeues_the_job(tmp_path: Path, master: Path) -> None:
    with private_engine("s3", tmp_path) as own:
        url = own.url("deployment")
        async with deployment(tmp_path / "data", url) as one:
            async with upload_masters(settings(url), Order(title_id=FILM, path=str(master))) as there:
                job = await one.encoding.submit(order=there)
            await asyncio.to_thread(own.kill)
            assert await worker(one).run_next()
            waiting = await one.encoding.get_job(job_id=job.job_id)
            assert waiting.state == "queued"
            assert "does not answer" in waiting.reason
            await asyncio.to_thread(own.start)
            assert await worker(one, FutureClock()).run_next()
            done = await one.encoding.get_job(job_id=job.job_id)
            assert (done.state, done.reason) == ("done", "")
            data = await one.tools.blobs.get(key=f"assets/{done.asset_id}/asset.json")
            assert data
            assert msgspec.json.decode(data, type=Asset).title_id == FILM
