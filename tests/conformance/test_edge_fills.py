"""Fills: concurrent readers, failing origins, full disks, shared cache directories."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.conformance.edge_rig import HttpResponse, Origin, Rig, link, run_edge, run_origin, send_request, wait_until
from tests.deployment import eventually

from matinee.edge.adapters.disk import DiskCacheStore, DiskFillWriter
from matinee.edge.adapters.evictor import DiskEvictor
from matinee.edge.adapters.objects import ObjectStoreUpstream
from matinee.edge.ports import Metric, ObjectMeta, ObjectMissing

SEGMENT = os.urandom(600_000)
KEY = "assets/ast_1/v/1.m4s"


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with run_origin() as origin:
        origin.objects[KEY] = SEGMENT
        yield origin


@pytest.fixture(params=["reactor", "nginx"])
async def rig(tmp_path: Path, origin: Origin, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with run_edge(tmp_path, origin, data_plane=request.param, upstream_timeout_s=2) as rig:
        yield rig


async def test_concurrent_misses_make_one_origin_request(rig: Rig) -> None:
    rig.origin.pause_at = 100_000
    asked = [asyncio.create_task(rig.request(link("v/1.m4s"))) for _ in range(200)]
    await wait_until(lambda: rig.total(Metric.MISSES) == (200 if rig.shares_fills else 1))
    rig.origin.resume.set()
    assert {(a.status, a.body) for a in await asyncio.gather(*asked)} == {(200, SEGMENT)}
    assert rig.origin.requests == {KEY: 1}
    assert rig.total(Metric.FILLS) == 1


async def test_bytes_are_sent_as_they_arrive(rig: Rig) -> None:
    rig.origin.pause_at = 200_000
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(f"GET {link('v/1.m4s')} HTTP/1.1\r\nHost: e\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    arrived = await reader.readexactly(65_536)  # the origin has not sent the rest yet
    rig.origin.resume.set()
    assert arrived + await reader.readexactly(len(SEGMENT) - 65_536) == SEGMENT
    writer.close()


async def test_head_and_ranges_are_answered_during_a_fill(rig: Rig) -> None:
    rig.origin.pause_at = 300_000
    whole = asyncio.create_task(rig.request(link("v/1.m4s")))
    await wait_until(lambda: rig.total(Metric.FILLED_BYTES) > 0)
    head = asyncio.create_task(rig.request(link("v/1.m4s"), method="HEAD"))
    early = asyncio.create_task(rig.request(link("v/1.m4s"), "Range: bytes=10-19"))
    late = asyncio.create_task(rig.request(link("v/1.m4s"), "Range: bytes=-10"))
    if rig.shares_fills:
        await asyncio.wait_for(asyncio.gather(head, early), 20)
        assert (await rig.request(link("v/1.m4s"), "Range: bytes=600000-")).status == 416
        assert not late.done()
    rig.origin.resume.set()
    assert (await head).headers["content-length"] == "600000"
    assert (await early).body == SEGMENT[10:20]
    assert (await late).body == SEGMENT[-10:]
    assert (await whole).body == SEGMENT
    assert (await rig.request(link("v/1.m4s"), "Range: bytes=600000-")).status == 416
    assert rig.origin.requests == {KEY: 1}


async def test_fill_continues_when_its_first_client_disconnects(rig: Rig) -> None:
    rig.origin.pause_at = 100_000
    first = asyncio.create_task(rig.request(link("v/1.m4s")))
    await wait_until(lambda: rig.total(Metric.MISSES) == 1)
    second = asyncio.create_task(rig.request(link("v/1.m4s")))
    await wait_until(lambda: rig.total(Metric.MISSES) == (2 if rig.shares_fills else 1))
    first.cancel()
    rig.origin.resume.set()
    assert (await second).body == SEGMENT
    assert rig.origin.requests == {KEY: 1}


async def test_missing_object_is_remembered_for_a_while(rig: Rig) -> None:
    answers = [await rig.request(link("v/none.m4s")) for _ in range(5)]
    assert {a.status for a in answers} == {404}
    assert rig.origin.requests.total() == 1
    rig.origin.objects["assets/ast_1/v/none.m4s"] = b"published"

    async def is_published() -> bool:
        return (await rig.request(link("v/none.m4s"))).body == b"published"

    await eventually(is_published)


async def test_failed_origin_request_is_retried(rig: Rig) -> None:
    rig.origin.statuses = [500, 503]
    assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
    assert rig.origin.requests == {KEY: 3}


async def test_failing_origin_is_a_502_that_is_not_remembered(rig: Rig) -> None:
    rig.origin.statuses = [500] * 3
    answer = await rig.request(link("v/1.m4s"))
    assert (answer.status, msgspec.json.decode(answer.body)["type"]) == (502, "/problems/origin-failed")
    assert (await rig.request(link("v/1.m4s"))).body == SEGMENT


async def test_unresponsive_origin_is_a_504(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    origin = Origin()
    origin.port = server.sockets[0].getsockname()[1]
    async with run_edge(tmp_path, origin, upstream_timeout_s=0.3) as rig:
        assert (await rig.request(link("v/1.m4s"))).status == 504
        server.close()
        assert (await rig.request(link("v/1.m4s"))).status == 502


@pytest.mark.parametrize("kind", ["disconnects", "stops sending"])
async def test_interrupted_fill_is_never_a_complete_response(tmp_path: Path, origin: Origin, kind: str) -> None:
    async with run_edge(tmp_path, origin, upstream_timeout_s=0.5) as rig:
        if kind == "disconnects":
            origin.break_at = 100_000
        else:
            origin.pause_at = 100_000
        asked = [asyncio.create_task(rig.request(link("v/1.m4s"))) for _ in range(3)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(r, asyncio.IncompleteReadError | ConnectionResetError) for r in results), results
        assert (rig.count_stored(), list((tmp_path / "cache/fills").iterdir())) == (0, [])
        origin.break_at = origin.pause_at = None
        assert (await rig.request(link("v/1.m4s"))).body == SEGMENT


async def test_cache_survives_a_restart(tmp_path: Path, origin: Origin) -> None:
    for _ in range(2):
        async with run_edge(tmp_path, origin) as rig:
            assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
            await wait_until(rig.count_stored)
            await wait_until(lambda: rig.total(Metric.DISK_USED_BYTES) > len(SEGMENT))
    assert origin.requests == {KEY: 1}


async def test_cache_stays_within_its_limit(tmp_path: Path, origin: Origin) -> None:
    objects = {f"assets/ast_1/v/{n}.m4s": os.urandom(100_000) for n in range(40)}
    origin.objects.update(objects)
    async with run_edge(tmp_path, origin, limit_bytes=1_000_000) as rig:
        for key, body in objects.items():
            assert (await rig.request(link(key.split("/", 2)[2]))).body == body
        await wait_until(lambda: rig.total(Metric.EVICTIONS) >= 31)
        assert 3 < rig.count_stored() <= 9
        again = [await rig.request(link(key.split("/", 2)[2])) for key in objects]
        assert [a.body for a in again] == list(objects.values())


async def test_eviction_does_not_interrupt_readers(tmp_path: Path, origin: Origin) -> None:
    big = os.urandom(20_000_000)
    origin.objects["assets/ast_1/big.mp4"] = big
    async with run_edge(tmp_path, origin, limit_bytes=41_000_000) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
        writer.write(f"GET {link('big.mp4')} HTTP/1.1\r\nHost: e\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await wait_until(rig.count_stored)
        for path in (tmp_path / "cache/objects").glob("*/*"):
            path.unlink()
        await asyncio.sleep(1.2)  # the edge closes the evicted files
        assert await reader.readexactly(len(big)) == big
        writer.close()
        assert (await rig.request(link("big.mp4"))).body == big


async def test_object_larger_than_the_cache_is_served(tmp_path: Path, origin: Origin) -> None:
    async with run_edge(tmp_path, origin, limit_bytes=500_000) as rig:
        for _ in range(2):
            assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
            assert (await rig.request(link("v/1.m4s"), "Range: bytes=5-9")).body == SEGMENT[5:10]
        assert rig.count_stored() == 0


async def test_object_larger_than_cache_and_memory_is_streamed(tmp_path: Path, origin: Origin) -> None:
    huge = os.urandom(1 << 20) * 66
    origin.objects["assets/ast_1/huge.mp4"] = huge
    async with run_edge(tmp_path, origin, limit_bytes=500_000) as rig:
        assert (await rig.request(link("huge.mp4"))).body == huge
        assert (await rig.request(link("huge.mp4"), "Range: bytes=1000-1999999")).body == huge[1000:2_000_000]
        assert (await rig.request(link("huge.mp4"), "Range: bytes=-5")).body == huge[-5:]
        origin.statuses = [200, 500, 500, 500]  # fails after the response has begun
        with pytest.raises(asyncio.IncompleteReadError):
            await rig.request(link("huge.mp4"))


async def test_range_far_ahead_of_a_fill_is_fetched_separately(tmp_path: Path, origin: Origin) -> None:
    film = os.urandom(1 << 20) * 40
    origin.objects["assets/ast_1/film.mp4"] = film
    async with run_edge(tmp_path, origin) as rig:
        origin.pause_at = 1000
        whole = asyncio.create_task(rig.request(link("film.mp4")))
        await wait_until(lambda: rig.total(Metric.FILLED_BYTES) > 0)
        origin.pause_at = None
        assert (await rig.request(link("film.mp4"), "Range: bytes=-1000")).body == film[-1000:]
        origin.resume.set()
        assert (await whole).body == film


async def test_objects_are_served_when_the_disk_refuses_writes(tmp_path: Path, origin: Origin) -> None:
    async with run_edge(tmp_path, origin) as rig:
        (tmp_path / "cache/fills").rmdir()  # like a full disk: no fill can begin
        assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
        rig.origin.pause_at = 100_000
        asked = [asyncio.create_task(rig.request(link("v/1.m4s"))) for _ in range(20)]
        await wait_until(lambda: rig.total(Metric.MISSES) == 21)
        rig.origin.resume.set()
        assert {a.body for a in await asyncio.gather(*asked)} == {SEGMENT}
        assert rig.origin.requests == {KEY: 2}


async def test_damaged_file_is_fetched_again(tmp_path: Path, origin: Origin) -> None:
    for damage in (b"", b"junk" * 1000, None):
        async with run_edge(tmp_path, origin) as rig:
            assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
            await wait_until(rig.count_stored)
        (path,) = (tmp_path / "cache/objects").glob("*/*")
        if damage is None:
            path.unlink()
            path.symlink_to("/etc/passwd")
        else:
            path.write_bytes(damage)
    async with run_edge(tmp_path, origin) as rig:
        assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
    assert origin.requests == {KEY: 4}


async def test_workers_sharing_a_directory_share_fills(tmp_path: Path, origin: Origin) -> None:
    async with run_edge(tmp_path, origin) as one, run_edge(tmp_path, origin) as other:
        origin.pause_at = 200_000
        asked = [asyncio.create_task(rig.request(link("v/1.m4s"))) for rig in (one, other) * 10]
        await wait_until(lambda: one.total(Metric.MISSES) == 20)
        await wait_until(lambda: one.total(Metric.FILLED_BYTES) > 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", other.server.port)
        assert (await send_request(reader, writer, link("v/1.m4s"), "Range: bytes=100-199")).body == SEGMENT[100:200]
        writer.close()
        origin.resume.set()
        assert {(a.status, a.body) for a in await asyncio.gather(*asked)} == {(200, SEGMENT)}
        assert origin.requests == {KEY: 1}
        assert one.evictor.elect() != other.evictor.elect()
        assert one.metrics.count_workers() == 2


async def test_edge_can_be_the_upstream_of_an_edge(tmp_path: Path, origin: Origin) -> None:
    origin.objects["art/tit_1/a.jpg"] = b"art"
    async with run_edge(tmp_path / "far", origin) as far:
        parent = Origin()
        parent.port = far.server.port
        async with run_edge(tmp_path / "near", parent) as near:
            answer: HttpResponse = await near.request(link("v/1.m4s"))
            assert answer.body == SEGMENT
            assert answer.headers["etag"] == (await far.request(link("v/1.m4s"))).headers["etag"]
            assert (await near.request("/art/tit_1/a.jpg")).body == b"art"
            assert (await near.request(link("none"))).status == 404


async def test_symbolic_links_of_a_file_store_are_not_followed(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "assets/ast_1").mkdir(parents=True)
    (store / KEY).parent.mkdir()
    (store / KEY).write_bytes(SEGMENT)
    (store / "assets/ast_1/out").symlink_to("/etc")
    (store / "assets/ast_1/v/2.m4s").symlink_to("/etc/passwd")
    upstream = ObjectStoreUpstream(store.as_uri())
    meta, pieces = await upstream.open(KEY, start=100)
    assert (meta.key, meta.size_bytes) == (KEY, 600_000)
    assert b"".join([piece async for piece in pieces]) == SEGMENT[100:]
    for key in ("assets/ast_1/none", "assets/ast_1/out/passwd", "assets/ast_1/v/2.m4s"):
        with pytest.raises(ObjectMissing):
            await upstream.open(key)


# The cache directory.


async def test_object_larger_than_half_the_cache_is_refused(tmp_path: Path) -> None:
    disk = DiskCacheStore(tmp_path, 1000)
    part = disk.begin_fill(KEY)
    assert isinstance(part, DiskFillWriter)
    with pytest.raises(OSError, match="half the cache") as refused:
        part.allocate(msgspec.structs.replace(part.meta, size_bytes=10_000))
    assert refused.value.errno == errno.EFBIG
    part.discard()
    assert disk.begin_fill(KEY) is not None
    disk.close()


async def store(disk: DiskCacheStore, key: str, size: int) -> None:
    part = disk.begin_fill(key)
    assert part is not None
    part.allocate(ObjectMeta(key, size, '"e"', 0))
    part.write(bytes(size))
    await part.commit()


def evict_all(evictor: DiskEvictor) -> int:
    evicted = evictor.evict()
    while evictor.is_behind:
        evicted += evictor.evict()
    return evicted


async def test_evictor_scans_for_objects_missing_in_the_arrivals(tmp_path: Path) -> None:
    disk, evictor = DiskCacheStore(tmp_path, 10_000), DiskEvictor(tmp_path, 10_000)
    for number in range(3):
        await store(disk, f"art/{number}", 1000)
    arrivals = tmp_path / "state/arrivals"
    arrivals.write_bytes(arrivals.read_bytes()[:-7])  # a record cut short by a full disk
    assert evictor.elect()
    evict_all(evictor)
    assert evictor.used_bytes() == 3 * 2024
    for number in range(3, 9):
        await store(disk, f"art/{number}", 1000)
    assert evict_all(evictor) == 5
    assert evictor.used_bytes() == 4 * 2024 == sum(p.stat().st_size for p in (tmp_path / "objects").glob("*/*"))
    rival = DiskEvictor(tmp_path, 10_000)
    assert not rival.elect()
    assert rival.evict() == 0
    evictor.close()
    assert rival.elect()
    assert evict_all(rival) == 0
    assert rival.used_bytes() == 4 * 2024
    rival.close()
    disk.close()


def test_a_disk_cache_leaves_the_reserve_free(tmp_path: Path) -> None:
    free_bytes = shutil.disk_usage(tmp_path).free
    disk = DiskCacheStore(tmp_path, 1 << 40, spare_bytes=2 * free_bytes)
    writer = disk.begin_fill("assets/a/1.m4s")
    assert writer is not None
    with pytest.raises(OSError, match="reserved"):
        writer.allocate(ObjectMeta("assets/a/1.m4s", 10, '"x"', 0))
    writer.discard()
    assert disk.begin_memory_fill(ObjectMeta("assets/a/1.m4s", 10, '"x"', 0)) is not None
    disk.close()
