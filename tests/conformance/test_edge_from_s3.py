"""An edge with an object store in S3 as origin: fills, ranges, missing objects, slow and failing stores."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tests.conformance.edge_rig import Origin, Rig, link, run_edge, wait_until
from tests.engines import SlowProxy, private_engine, shared_engine, slow_proxy

from matinee.drivers.objects import ObjectStore
from matinee.edge.adapters.objects import ObjectStoreUpstream
from matinee.edge.ports import Metric, ObjectMissing
from matinee.lab.engines import EngineProcess

SEGMENT = os.urandom(600_000)
FILM = os.urandom(1 << 20) * 12
KEY = "assets/ast_1/v/1.m4s"


@pytest.fixture
async def store() -> str:
    """Return the URL of a store with a segment, a film and a picture."""
    url = shared_engine("s3").url("edge")
    objects = ObjectStore(url)
    await objects.put(KEY, SEGMENT)
    await objects.put("assets/ast_1/film.mp4", FILM)
    await objects.put("public/art/a.jpg", b"art")
    return url


@asynccontextmanager
async def edge(folder: Path, url: str, *, timeout_s: float = 5, limit_bytes: int = 1 << 28) -> AsyncIterator[Rig]:
    """Run an edge whose origin is the store at `url`."""
    upstream = ObjectStoreUpstream(url, timeout_s=timeout_s)
    async with run_edge(
        folder, Origin(), upstream=upstream, limit_bytes=limit_bytes, upstream_timeout_s=timeout_s
    ) as rig:
        yield rig


def problem_type(body: bytes) -> str:
    return str(msgspec.json.decode(body)["type"])


async def test_one_fill_serves_many_clients_and_a_restart(tmp_path: Path, store: str) -> None:
    async with edge(tmp_path, store) as rig:
        answers = await asyncio.gather(*(rig.request(link("v/1.m4s")) for _ in range(30)))
        assert {(a.status, a.body) for a in answers} == {(200, SEGMENT)}
        assert rig.total(Metric.FILLS) == 1
        assert (await rig.request("/art/a.jpg")).body == b"art"
        assert (await rig.request(link("film.mp4"), "Range: bytes=1000-1999")).body == FILM[1000:2000]
        await wait_until(lambda: rig.count_stored() == 3)
        tag = answers[0].headers["etag"]
        assert (await rig.request(link("v/1.m4s"), f"If-None-Match: {tag}")).status == 304
    async with edge(tmp_path, "s3://a:b@nowhere?endpoint=http://127.0.0.1:1") as rig:
        answer = await rig.request(link("v/1.m4s"))
        assert (answer.body, answer.headers["etag"]) == (SEGMENT, tag)


async def test_missing_object_is_a_404(tmp_path: Path, store: str) -> None:
    upstream = ObjectStoreUpstream(store)
    with pytest.raises(ObjectMissing):
        await upstream.open("assets/ast_1/none")
    async with edge(tmp_path, store) as rig:
        answer = await rig.request(link("v/none.m4s"))
        assert (answer.status, problem_type(answer.body)) == (404, "/problems/no-such-file")


async def test_range_far_ahead_is_requested_separately(tmp_path: Path, store: str) -> None:
    meta, pieces = await ObjectStoreUpstream(store).open("assets/ast_1/film.mp4", start=len(FILM) - 100)
    assert (meta.size_bytes, b"".join([piece async for piece in pieces])) == (len(FILM), FILM[-100:])
    async with edge(tmp_path, store, limit_bytes=500_000) as rig:  # larger than the cache
        assert (await rig.request(link("film.mp4"), "Range: bytes=-1000")).body == FILM[-1000:]


async def test_unavailable_store_is_a_502_until_it_returns(tmp_path: Path) -> None:
    with private_engine("s3", tmp_path) as server:
        assert isinstance(server, EngineProcess)
        url = server.url("edge")
        await ObjectStore(url).put(KEY, SEGMENT)
        async with edge(tmp_path, url) as rig:
            await asyncio.to_thread(server.kill)
            answer = await rig.request(link("v/1.m4s"))
            assert (answer.status, problem_type(answer.body)) == (502, "/problems/origin-failed")
            await asyncio.to_thread(server.start)
            assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
            await wait_until(rig.count_stored)
            await asyncio.to_thread(server.pause)
            assert (await rig.request(link("v/1.m4s"))).body == SEGMENT  # a hit needs no origin
            await asyncio.to_thread(server.resume)


async def test_unresponsive_store_is_a_504(tmp_path: Path, store: str) -> None:
    async with slow_proxy(store) as proxy, edge(tmp_path, proxy.url, timeout_s=1) as rig:
        proxy.delay_s = 30
        answer = await rig.request(link("v/1.m4s"))
        assert (answer.status, problem_type(answer.body)) == (504, "/problems/origin-too-slow")
        proxy.disconnect()
        proxy.restore()
        proxy.delay_s = 0
        assert (await rig.request(link("v/1.m4s"))).body == SEGMENT


async def test_readers_share_the_fill_of_a_slow_store(tmp_path: Path, store: str) -> None:
    async with slow_proxy(store) as proxy, edge(tmp_path, proxy.url) as rig:
        proxy.delay_s = 0.05
        answers = await asyncio.gather(*(rig.request(link("v/1.m4s")) for _ in range(5)))
        assert {a.body for a in answers} == {SEGMENT}
        assert rig.total(Metric.FILLS) == 1


async def disconnect_during_fill(rig: Rig, proxy: SlowProxy) -> None:
    """Break the connection to the store when a part of the film has arrived."""
    await wait_until(lambda: rig.total(Metric.FILLED_BYTES) > 1 << 20)
    proxy.disconnect()


async def test_interrupted_fill_resumes(tmp_path: Path, store: str) -> None:
    async with slow_proxy(store) as proxy, edge(tmp_path, proxy.url) as rig:
        proxy.delay_s = 0.01
        asked = [asyncio.create_task(rig.request(link("film.mp4"))) for _ in range(3)]
        await disconnect_during_fill(rig, proxy)
        proxy.restore()
        assert {a.body for a in await asyncio.gather(*asked)} == {FILM}
        assert rig.total(Metric.FILLS) == 1


async def test_fill_from_a_lost_store_is_never_a_complete_response(tmp_path: Path, store: str) -> None:
    async with slow_proxy(store) as proxy, edge(tmp_path, proxy.url, timeout_s=1) as rig:
        proxy.delay_s = 0.01
        asked = [asyncio.create_task(rig.request(link("film.mp4"))) for _ in range(3)]
        await disconnect_during_fill(rig, proxy)
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(r, asyncio.IncompleteReadError | ConnectionResetError) for r in results), results
        assert rig.count_stored() == 0
        proxy.restore()
        assert (await rig.request(link("film.mp4"))).body == FILM
