"""An edge before an object store in S3: fills, ranges, what is not there, an origin slow, cut off or gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import uvloop
from tests.conformance.edge_rig import Origin, Rig, an_edge, link, until
from tests.engines import SlowProxy, private_engine, shared_engine, slow_proxy

from matinee.drivers.objects import ObjectStore
from matinee.edge.adapters.objects import ObjectsUpstream
from matinee.edge.ports import Metric, ObjectMissing
from matinee.lab.engines import Running

SEGMENT = os.urandom(600_000)
FILM = os.urandom(1 << 20) * 12
KEY = "assets/ast_1/v/1.m4s"
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy.")


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


@pytest.fixture
async def store() -> str:
    """The URL of a store that has a segment, a film and a picture."""
    url = shared_engine("s3").url("edge")
    objects = ObjectStore(url)
    await objects.put(KEY, SEGMENT)
    await objects.put("assets/ast_1/film.mp4", FILM)
    await objects.put("public/art/a.jpg", b"art")
    return url


@asynccontextmanager
async def edge(place: Path, url: str, *, timeout_s: float = 5, limit_bytes: int = 1 << 28) -> AsyncIterator[Rig]:
    """A running edge whose origin is the store at a URL."""
    above = ObjectsUpstream(url, timeout_s=timeout_s)
    async with an_edge(place, Origin(), above=above, limit_bytes=limit_bytes, upstream_timeout_s=timeout_s) as rig:
        yield rig


def kind(body: bytes) -> str:
    return str(msgspec.json.decode(body)["type"])


async def test_one_fill_serves_many_and_a_restart(tmp_path: Path, store: str) -> None:
    async with edge(tmp_path, store) as rig:
        answers = await asyncio.gather(*(rig.ask(link("v/1.m4s")) for _ in range(30)))
        assert {(a.status, a.body) for a in answers} == {(200, SEGMENT)}
        assert rig.count(Metric.FILLS) == 1
        assert (await rig.ask("/art/a.jpg")).body == b"art"
        assert (await rig.ask(link("film.mp4"), "Range: bytes=1000-1999")).body == FILM[1000:2000]
        await until(lambda: rig.stored() == 3)
        tag = answers[0].headers["etag"]
        assert (await rig.ask(link("v/1.m4s"), f"If-None-Match: {tag}")).status == 304
    async with edge(tmp_path, "s3://a:b@nowhere?endpoint=http://127.0.0.1:1") as rig:
        answer = await rig.ask(link("v/1.m4s"))
        assert (answer.body, answer.headers["etag"]) == (SEGMENT, tag)


async def test_what_is_not_there(tmp_path: Path, store: str) -> None:
    upstream = ObjectsUpstream(store)
    with pytest.raises(ObjectMissing):
        await upstream.open("assets/ast_1/none")
    async with edge(tmp_path, store) as rig:
        answer = await rig.ask(link("v/none.m4s"))
        assert (answer.status, kind(answer.body)) == (404, "/problems/no-such-file")


async def test_a_range_far_ahead_is_asked_of_the_store_by_itself(tmp_path: Path, store: str) -> None:
    meta, pieces = await ObjectsUpstream(store).open("assets/ast_1/film.mp4", start=len(FILM) - 100)
    assert (meta.size_bytes, b"".join([piece async for piece in pieces])) == (len(FILM), FILM[-100:])
    async with edge(
        tmp_path, store, limit_bytes=500_000
    ) as rig:  # larger than the cache: from memory or passed through
        assert (await rig.ask(link("film.mp4"), "Range: bytes=-1000")).body == FILM[-1000:]


async def test_an_origin_that_is_away_is_a_bad_gateway_until_it_is_back(tmp_path: Path) -> None:
    with private_engine("s3", tmp_path) as own:
        assert isinstance(own, Running)
        url = own.url("edge")
        await ObjectStore(url).put(KEY, SEGMENT)
        async with edge(tmp_path, url) as rig:
            await asyncio.to_thread(own.kill)
            answer = await rig.ask(link("v/1.m4s"))
            assert (answer.status, kind(answer.body)) == (502, "/problems/origin-failed")
            await asyncio.to_thread(own.start)
            assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
            await until(rig.stored)
            await asyncio.to_thread(own.pause)
            assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT  # what is here needs no origin
            await asyncio.to_thread(own.resume)


async def test_an_origin_that_says_nothing_is_a_gateway_timeout(tmp_path: Path, store: str) -> None:
    async with slow_proxy(store) as road, edge(tmp_path, road.url, timeout_s=1) as rig:
        road.delay_s = 30
        answer = await rig.ask(link("v/1.m4s"))
        assert (answer.status, kind(answer.body)) == (504, "/problems/origin-too-slow")
        road.disconnect()
        road.restore()
        road.delay_s = 0
        assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT


async def test_a_slow_origin_is_read_along(tmp_path: Path, store: str) -> None:
    async with slow_proxy(store) as road, edge(tmp_path, road.url) as rig:
        road.delay_s = 0.05
        answers = await asyncio.gather(*(rig.ask(link("v/1.m4s")) for _ in range(5)))
        assert {a.body for a in answers} == {SEGMENT}
        assert rig.count(Metric.FILLS) == 1


async def cut_in_the_middle(rig: Rig, road: SlowProxy) -> None:
    """Break the road to the origin when some of the film has come."""
    await until(lambda: rig.count(Metric.FILLED_BYTES) > 1 << 20)
    road.disconnect()


async def test_a_fill_that_is_cut_off_goes_on_where_it_was(tmp_path: Path, store: str) -> None:
    async with slow_proxy(store) as road, edge(tmp_path, road.url) as rig:
        road.delay_s = 0.01
        asked = [asyncio.create_task(rig.ask(link("film.mp4"))) for _ in range(3)]
        await cut_in_the_middle(rig, road)
        road.restore()
        assert {a.body for a in await asyncio.gather(*asked)} == {FILM}
        assert rig.count(Metric.FILLS) == 1


async def test_a_fill_whose_origin_stays_away_is_never_a_short_answer(tmp_path: Path, store: str) -> None:
    async with slow_proxy(store) as road, edge(tmp_path, road.url, timeout_s=1) as rig:
        road.delay_s = 0.01
        asked = [asyncio.create_task(rig.ask(link("film.mp4"))) for _ in range(3)]
        await cut_in_the_middle(rig, road)
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(r, asyncio.IncompleteReadError | ConnectionResetError) for r in results), results
        assert rig.stored() == 0
        road.restore()
        assert (await rig.ask(link("film.mp4"))).body == FILM
