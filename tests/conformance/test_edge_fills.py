"""What an edge does about an object that it does not have, and about a disk that is full."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import uvloop
from tests.conformance.edge_rig import Answer, Origin, Rig, an_edge, an_origin, asking, link, until
from tests.deployment import eventually

from matinee.edge.adapters.disk import DiskCacheStore, DiskFillWriter
from matinee.edge.adapters.evictor import DiskEvictor
from matinee.edge.adapters.objects import ObjectsUpstream
from matinee.edge.ports import Metric, ObjectMeta, ObjectMissing

SEGMENT = os.urandom(600_000)
KEY = "assets/ast_1/v/1.m4s"
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy.")


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    return uvloop.EventLoopPolicy()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with an_origin() as origin:
        origin.objects[KEY] = SEGMENT
        yield origin


@pytest.fixture(params=["reactor", "nginx"])
async def rig(tmp_path: Path, origin: Origin, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with an_edge(tmp_path, origin, plane=request.param, upstream_timeout_s=2) as rig:
        yield rig


async def test_two_hundred_cold_clients_are_one_request_to_the_origin(rig: Rig) -> None:
    rig.origin.pause_at = 100_000
    asked = [asyncio.create_task(rig.ask(link("v/1.m4s"))) for _ in range(200)]
    await until(lambda: rig.count(Metric.MISSES) == (200 if rig.reads_along else 1))
    rig.origin.go_on.set()
    assert {(a.status, a.body) for a in await asyncio.gather(*asked)} == {(200, SEGMENT)}
    assert rig.origin.requests == {KEY: 1}
    assert rig.count(Metric.FILLS) == 1


async def test_bytes_are_passed_on_as_they_arrive(rig: Rig) -> None:
    rig.origin.pause_at = 200_000
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(f"GET {link('v/1.m4s')} HTTP/1.1\r\nHost: e\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    arrived = await reader.readexactly(65_536)  # the origin has not sent the rest yet
    rig.origin.go_on.set()
    assert arrived + await reader.readexactly(len(SEGMENT) - 65_536) == SEGMENT
    writer.close()


async def test_head_and_ranges_during_a_fill(rig: Rig) -> None:
    rig.origin.pause_at = 300_000
    whole = asyncio.create_task(rig.ask(link("v/1.m4s")))
    await until(lambda: rig.count(Metric.FILLED_BYTES) > 0)
    head = asyncio.create_task(rig.ask(link("v/1.m4s"), method="HEAD"))
    early = asyncio.create_task(rig.ask(link("v/1.m4s"), "Range: bytes=10-19"))
    late = asyncio.create_task(rig.ask(link("v/1.m4s"), "Range: bytes=-10"))
    if rig.reads_along:
        await asyncio.wait_for(asyncio.gather(head, early), 20)
        assert (await rig.ask(link("v/1.m4s"), "Range: bytes=600000-")).status == 416
        assert not late.done()
    rig.origin.go_on.set()
    assert (await head).headers["content-length"] == "600000"
    assert (await early).body == SEGMENT[10:20]
    assert (await late).body == SEGMENT[-10:]
    assert (await whole).body == SEGMENT
    assert (await rig.ask(link("v/1.m4s"), "Range: bytes=600000-")).status == 416
    assert rig.origin.requests == {KEY: 1}


async def test_a_client_that_leaves_stops_nothing(rig: Rig) -> None:
    rig.origin.pause_at = 100_000
    first = asyncio.create_task(rig.ask(link("v/1.m4s")))
    await until(lambda: rig.count(Metric.MISSES) == 1)
    second = asyncio.create_task(rig.ask(link("v/1.m4s")))
    await until(lambda: rig.count(Metric.MISSES) == (2 if rig.reads_along else 1))
    first.cancel()
    rig.origin.go_on.set()
    assert (await second).body == SEGMENT
    assert rig.origin.requests == {KEY: 1}


async def test_what_is_not_there_is_asked_for_once_in_a_while(rig: Rig) -> None:
    answers = [await rig.ask(link("v/none.m4s")) for _ in range(5)]
    assert {a.status for a in answers} == {404}
    assert rig.origin.requests.total() == 1
    rig.origin.objects["assets/ast_1/v/none.m4s"] = b"it came"

    async def came() -> bool:
        return (await rig.ask(link("v/none.m4s"))).body == b"it came"

    await eventually(came)


async def test_an_origin_that_stumbles_is_asked_again(rig: Rig) -> None:
    rig.origin.statuses = [500, 503]
    assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
    assert rig.origin.requests == {KEY: 3}


async def test_an_origin_that_fails_is_a_bad_gateway_and_not_remembered(rig: Rig) -> None:
    rig.origin.statuses = [500] * 3
    answer = await rig.ask(link("v/1.m4s"))
    assert (answer.status, msgspec.json.decode(answer.body)["type"]) == (502, "/problems/origin-failed")
    assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT


async def test_an_origin_that_does_not_answer_is_a_gateway_timeout(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    origin = Origin()
    origin.port = server.sockets[0].getsockname()[1]
    async with an_edge(tmp_path, origin, upstream_timeout_s=0.3) as rig:
        assert (await rig.ask(link("v/1.m4s"))).status == 504
        server.close()
        assert (await rig.ask(link("v/1.m4s"))).status == 502


@pytest.mark.parametrize("kind", ["hangs up", "falls silent"])
async def test_a_fill_that_breaks_is_never_a_short_answer(tmp_path: Path, origin: Origin, kind: str) -> None:
    async with an_edge(tmp_path, origin, upstream_timeout_s=0.5) as rig:
        if kind == "hangs up":
            origin.break_at = 100_000
        else:
            origin.pause_at = 100_000
        asked = [asyncio.create_task(rig.ask(link("v/1.m4s"))) for _ in range(3)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(r, asyncio.IncompleteReadError | ConnectionResetError) for r in results), results
        assert (rig.stored(), list((tmp_path / "cache/fills").iterdir())) == (0, [])
        origin.break_at = origin.pause_at = None
        assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT


async def test_a_restart_finds_what_was_stored(tmp_path: Path, origin: Origin) -> None:
    for _ in range(2):
        async with an_edge(tmp_path, origin) as rig:
            assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
            await until(rig.stored)
            await until(lambda: rig.count(Metric.DISK_USED_BYTES) > len(SEGMENT))
    assert origin.requests == {KEY: 1}


async def test_the_cache_keeps_to_its_limit_and_goes_on_serving(tmp_path: Path, origin: Origin) -> None:
    objects = {f"assets/ast_1/v/{n}.m4s": os.urandom(100_000) for n in range(40)}
    origin.objects.update(objects)
    async with an_edge(tmp_path, origin, limit_bytes=1_000_000) as rig:
        for key, body in objects.items():
            assert (await rig.ask(link(key.split("/", 2)[2]))).body == body
        await until(lambda: rig.count(Metric.EVICTIONS) >= 31)
        assert 3 < rig.stored() <= 9
        again = [await rig.ask(link(key.split("/", 2)[2])) for key in objects]
        assert [a.body for a in again] == list(objects.values())


async def test_a_reader_is_not_cut_off_by_eviction(tmp_path: Path, origin: Origin) -> None:
    big = os.urandom(20_000_000)
    origin.objects["assets/ast_1/big.mp4"] = big
    async with an_edge(tmp_path, origin, limit_bytes=41_000_000) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
        writer.write(f"GET {link('big.mp4')} HTTP/1.1\r\nHost: e\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await until(rig.stored)
        for path in (tmp_path / "cache/objects").glob("*/*"):
            path.unlink()
        await asyncio.sleep(1.2)  # the edge lets go of what is gone
        assert await reader.readexactly(len(big)) == big
        writer.close()
        assert (await rig.ask(link("big.mp4"))).body == big


async def test_what_is_larger_than_the_cache_passes_through(tmp_path: Path, origin: Origin) -> None:
    async with an_edge(tmp_path, origin, limit_bytes=500_000) as rig:
        for _ in range(2):
            assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
            assert (await rig.ask(link("v/1.m4s"), "Range: bytes=5-9")).body == SEGMENT[5:10]
        assert rig.stored() == 0


async def test_what_fits_neither_the_cache_nor_memory_passes_through(tmp_path: Path, origin: Origin) -> None:
    huge = os.urandom(1 << 20) * 66
    origin.objects["assets/ast_1/huge.mp4"] = huge
    async with an_edge(tmp_path, origin, limit_bytes=500_000) as rig:
        assert (await rig.ask(link("huge.mp4"))).body == huge
        assert (await rig.ask(link("huge.mp4"), "Range: bytes=1000-1999999")).body == huge[1000:2_000_000]
        assert (await rig.ask(link("huge.mp4"), "Range: bytes=-5")).body == huge[-5:]
        origin.statuses = [200, 500, 500, 500]  # it fails when the answer has begun
        with pytest.raises(asyncio.IncompleteReadError):
            await rig.ask(link("huge.mp4"))


async def test_a_range_far_ahead_of_a_fill_does_not_wait_for_it(tmp_path: Path, origin: Origin) -> None:
    film = os.urandom(1 << 20) * 40
    origin.objects["assets/ast_1/film.mp4"] = film
    async with an_edge(tmp_path, origin) as rig:
        origin.pause_at = 1000
        whole = asyncio.create_task(rig.ask(link("film.mp4")))
        await until(lambda: rig.count(Metric.FILLED_BYTES) > 0)
        origin.pause_at = None
        assert (await rig.ask(link("film.mp4"), "Range: bytes=-1000")).body == film[-1000:]
        origin.go_on.set()
        assert (await whole).body == film


async def test_a_disk_that_takes_nothing_is_passed_by(tmp_path: Path, origin: Origin) -> None:
    async with an_edge(tmp_path, origin) as rig:
        (tmp_path / "cache/fills").rmdir()  # as good as full: nothing can be begun
        assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
        rig.origin.pause_at = 100_000
        asked = [asyncio.create_task(rig.ask(link("v/1.m4s"))) for _ in range(20)]
        await until(lambda: rig.count(Metric.MISSES) == 21)
        rig.origin.go_on.set()
        assert {a.body for a in await asyncio.gather(*asked)} == {SEGMENT}
        assert rig.origin.requests == {KEY: 2}


async def test_a_damaged_file_is_fetched_anew(tmp_path: Path, origin: Origin) -> None:
    for damage in (b"", b"junk" * 1000, None):
        async with an_edge(tmp_path, origin) as rig:
            assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
            await until(rig.stored)
        (path,) = (tmp_path / "cache/objects").glob("*/*")
        if damage is None:
            path.unlink()
            path.symlink_to("/etc/passwd")
        else:
            path.write_bytes(damage)
    async with an_edge(tmp_path, origin) as rig:
        assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
    assert origin.requests == {KEY: 4}


async def test_workers_who_share_a_directory_fill_once_and_read_along(tmp_path: Path, origin: Origin) -> None:
    async with an_edge(tmp_path, origin) as one, an_edge(tmp_path, origin) as other:
        origin.pause_at = 200_000
        asked = [asyncio.create_task(rig.ask(link("v/1.m4s"))) for rig in (one, other) * 10]
        await until(lambda: one.count(Metric.MISSES) == 20)
        await until(lambda: one.count(Metric.FILLED_BYTES) > 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", other.server.port)
        assert (await asking(reader, writer, link("v/1.m4s"), "Range: bytes=100-199")).body == SEGMENT[100:200]
        writer.close()
        origin.go_on.set()
        assert {(a.status, a.body) for a in await asyncio.gather(*asked)} == {(200, SEGMENT)}
        assert origin.requests == {KEY: 1}
        assert one.evictor.elect() != other.evictor.elect()
        assert one.metrics.workers() == 2


async def test_an_edge_behind_an_edge(tmp_path: Path, origin: Origin) -> None:
    origin.objects["art/tit_1/a.jpg"] = b"art"
    async with an_edge(tmp_path / "far", origin) as far:
        parent = Origin()
        parent.port = far.server.port
        async with an_edge(tmp_path / "near", parent) as near:
            answer: Answer = await near.ask(link("v/1.m4s"))
            assert answer.body == SEGMENT
            assert answer.headers["etag"] == (await far.ask(link("v/1.m4s"))).headers["etag"]
            assert (await near.ask("/art/tit_1/a.jpg")).body == b"art"
            assert (await near.ask(link("none"))).status == 404


async def test_a_store_as_origin_and_no_link_out_of_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "assets/ast_1").mkdir(parents=True)
    (store / KEY).parent.mkdir()
    (store / KEY).write_bytes(SEGMENT)
    (store / "assets/ast_1/out").symlink_to("/etc")
    (store / "assets/ast_1/v/2.m4s").symlink_to("/etc/passwd")
    upstream = ObjectsUpstream(store.as_uri())
    meta, pieces = await upstream.open(KEY, start=100)
    assert (meta.key, meta.size_bytes) == (KEY, 600_000)
    assert b"".join([piece async for piece in pieces]) == SEGMENT[100:]
    for key in ("assets/ast_1/none", "assets/ast_1/out/passwd", "assets/ast_1/v/2.m4s"):
        with pytest.raises(ObjectMissing):
            await upstream.open(key)


# The directory itself.


async def test_a_full_disk_refuses_at_the_beginning(tmp_path: Path) -> None:
    disk = DiskCacheStore(tmp_path, 1000)
    part = disk.begin(KEY)
    assert isinstance(part, DiskFillWriter)
    with pytest.raises(OSError, match="half the cache") as refused:
        part.describe(msgspec.structs.replace(part.meta, size_bytes=10_000))
    assert refused.value.errno == errno.EFBIG
    part.discard()
    assert disk.begin(KEY) is not None
    disk.close()


async def store(disk: DiskCacheStore, key: str, size: int) -> None:
    part = disk.begin(key)
    assert part is not None
    part.describe(ObjectMeta(key, size, '"e"', 0))
    part.write(bytes(size))
    await part.commit()


async def test_the_keeper_finds_what_it_was_never_told_of(tmp_path: Path) -> None:
    disk, evictor = DiskCacheStore(tmp_path, 10_000), DiskEvictor(tmp_path, 10_000)
    for number in range(3):
        await store(disk, f"art/{number}", 1000)
    arrivals = tmp_path / "state/arrivals"
    arrivals.write_bytes(arrivals.read_bytes()[:-7])  # a disk that was full in the middle of a record
    assert evictor.elect()
    evictor.keep()
    assert evictor.used_bytes() == 3 * 2024
    for number in range(3, 9):
        await store(disk, f"art/{number}", 1000)
    assert evictor.keep() == 5
    assert evictor.used_bytes() == 4 * 2024 == sum(p.stat().st_size for p in (tmp_path / "objects").glob("*/*"))
    rival = DiskEvictor(tmp_path, 10_000)
    assert not rival.elect()
    assert rival.keep() == 0
    evictor.close()
    assert rival.elect()
    assert rival.keep() == 0
    assert rival.used_bytes() == 4 * 2024
    rival.close()
    disk.close()
