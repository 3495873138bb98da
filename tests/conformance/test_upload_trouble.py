"""Uploads whose writers are killed, leave or are taken over, and whose store is slow or lost."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.conformance.upload_rig import NOW, S3, Open, begun, pattern, place, sent
from tests.deployment import eventually
from tests.engines import private_engine, slow_proxy

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.objects import ObjectStore
from matinee.drivers.s3 import S3Bucket
from matinee.gateway.adapters.s3 import LEASE_MS, S3UploadStore
from matinee.gateway.api.problems import ChecksumMismatch, UploadBusy
from matinee.kit.ids import UploadId


@pytest.fixture(params=["disk", "s3"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    async with place(request.param, tmp_path / "uploads") as opens:
        yield opens


@pytest.fixture
async def in_s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with place("s3", tmp_path) as opens:
        assert isinstance(opens, S3)
        yield opens


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from matinee.gateway.adapters.disk import DiskUploadStore
from matinee.gateway.adapters.s3 import S3UploadStore
async def endless():
    for _ in range(400):  # less than the whole, however late the kill comes
        yield b"0123456789abcdef" * 4096
        print("piece", flush=True)
    await asyncio.sleep(600)
async def write(store):
    await store.append(upload_id=sys.argv[2], offset_bytes=0, pieces=endless(), now=datetime.now(UTC))
async def main(place):
    if not place.startswith("s3:"):
        return await write(DiskUploadStore(Path(place), spare_bytes=0))
    inside = place.replace("?", "/uploads?")
    async with S3UploadStore.open(inside, store=place) as store:
        await write(store)
asyncio.run(main(sys.argv[1]))
"""


def kill_in_the_middle(url: str, upload_id: UploadId) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url, upload_id], stdout=subprocess.PIPE)
    assert writer.stdout
    for _ in range(300):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.wait()


async def test_a_kill_in_the_middle_leaves_a_file_one_goes_on_with(opened: Open) -> None:
    store, size_bytes = opened(), 40 << 20
    upload_id = await begun(store, size_bytes)
    await asyncio.to_thread(kill_in_the_middle, opened.url, upload_id)
    upload = await store.find(upload_id=upload_id)
    assert 0 < upload.offset_bytes < size_bytes
    later = datetime.now(UTC) + timedelta(milliseconds=LEASE_MS)
    rest = pattern(size_bytes)[upload.offset_bytes :]
    after = await store.append(upload_id=upload_id, offset_bytes=upload.offset_bytes, pieces=sent(rest), now=later)
    assert after.complete
    assert await opened.content(await store.path(upload_id=upload_id)) == pattern(size_bytes)


async def test_many_parts_and_a_broken_connection_make_the_file(opened: Open) -> None:
    film = os.urandom(1 << 20) * 23 + b"end"
    upload_id = await begun(opened(), len(film))
    pieces = [film[start : start + 700_001] for start in range(0, len(film), 700_001)]
    with pytest.raises(ConnectionResetError):
        await opened().append(upload_id=upload_id, offset_bytes=0, pieces=sent(*pieces[:20], broken=True), now=NOW)
    upload = await opened().find(upload_id=upload_id)
    assert upload.offset_bytes == 20 * 700_001
    digest = ("sha1", hashlib.sha1(b"".join(pieces[20:30])).digest())
    for wrong in (("sha1", b"0" * 20), digest):
        with contextlib.suppress(ChecksumMismatch):
            upload = await opened().append(
                upload_id=upload_id,
                offset_bytes=upload.offset_bytes,
                pieces=sent(*pieces[20:30]),
                now=NOW,
                checksum=wrong,
            )
    assert upload.offset_bytes == 30 * 700_001
    last = opened().append(upload_id=upload_id, offset_bytes=30 * 700_001, pieces=sent(*pieces[30:]), now=NOW)
    assert (await last).complete
    assert await opened.content(await opened().path(upload_id=upload_id)) == film
    assert await opened.content(await opened().path(upload_id=upload_id)) == film


async def test_a_client_that_leaves_loses_nothing_that_arrived(opened: Open) -> None:
    upload_id, arrived = await begun(opened(), 20 << 20), asyncio.Event()

    async def hanging() -> AsyncIterator[bytes]:
        yield pattern(11 << 20)
        arrived.set()
        await asyncio.sleep(60)

    writing = asyncio.create_task(
        opened().append(upload_id=upload_id, offset_bytes=0, pieces=hanging(), now=datetime.now(UTC))
    )
    await arrived.wait()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)

    async def kept() -> bool:
        return (await opened().find(upload_id=upload_id)).offset_bytes == 11 << 20

    async def completed() -> bool:
        rest = sent(pattern(20 << 20)[11 << 20 :])
        with contextlib.suppress(UploadBusy):
            await opened().append(upload_id=upload_id, offset_bytes=11 << 20, pieces=rest, now=datetime.now(UTC))
            return True
        return False

    await eventually(kept)
    await eventually(completed)
    assert await opened.content(await opened().path(upload_id=upload_id)) == pattern(20 << 20)


async def test_nothing_is_left_of_what_was_removed_or_expired(in_s3: S3) -> None:
    store = in_s3()
    for _ in range(3):
        upload_id = await begun(store, 20 << 20)
        await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(pattern(7 << 20)), now=NOW)
    await store.remove(upload_id=upload_id)
    await in_s3.bucket.create_upload(
        "uploads/upl_0000000000000000000000000z/film.mp4"
    )  # killed before its record was written
    assert await store.expire(before=datetime.now(UTC) + timedelta(seconds=2)) == 2
    assert await in_s3.lying() == 0


async def test_a_writer_that_was_taken_over_stops_and_mixes_nothing(in_s3: S3) -> None:
    first, second = in_s3(), in_s3()
    film = pattern(16 << 20)
    upload_id = await begun(first, len(film))

    async def stopped() -> AsyncIterator[bytes]:
        yield film[: 6 << 20]
        later = NOW + timedelta(milliseconds=LEASE_MS + 1000)
        stands = (await second.find(upload_id=upload_id)).offset_bytes
        rest = sent(film[stands:])
        await second.append(upload_id=upload_id, offset_bytes=stands, pieces=rest, now=later)
        yield b"x" * (10 << 20)

    with pytest.raises(UploadBusy):
        await first.append(upload_id=upload_id, offset_bytes=0, pieces=stopped(), now=NOW)
    assert await in_s3.content(await second.path(upload_id=upload_id)) == film


async def test_a_store_that_is_lost_and_comes_back_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    film = pattern(14 << 20)
    with private_engine("s3", tmp_path) as own:
        url = own.url("uploads")
        async with S3UploadStore.open(url.replace("?", "/uploads?"), store=url) as store:
            upload_id = await begun(store, len(film))
            await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(film[: 9 << 20]), now=NOW)

            async def killed() -> AsyncIterator[bytes]:
                yield film[9 << 20 : 10 << 20]
                await asyncio.to_thread(own.kill)

            with pytest.raises(EngineUnavailable):
                await store.append(upload_id=upload_id, offset_bytes=9 << 20, pieces=killed(), now=NOW)
            with pytest.raises(EngineUnavailable):
                await store.find(upload_id=upload_id)
            await asyncio.to_thread(own.start)
            upload = await store.find(upload_id=upload_id)
            assert upload.offset_bytes == 9 << 20
            later = NOW + timedelta(milliseconds=LEASE_MS + 60_000)
            rest = sent(film[9 << 20 :])
            await store.append(upload_id=upload_id, offset_bytes=9 << 20, pieces=rest, now=later)
            assert await ObjectStore(url).get(await store.path(upload_id=upload_id)) == film


async def test_a_slow_store_is_waited_for(in_s3: S3) -> None:
    async with slow_proxy(in_s3.url) as road:
        road.delay_s = 0.3
        address = ObjectStore(road.url).location
        assert address
        async with S3Bucket(address) as bucket:
            store = S3UploadStore(ObjectStore(road.url), bucket, "uploads")
            upload_id = await begun(store, 6)
            await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(b"abcdef"), now=NOW)
            assert await in_s3.content(await store.path(upload_id=upload_id)) == b"abcdef"
