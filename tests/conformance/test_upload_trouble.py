"""Uploads with killed, disconnected or replaced writers, and with slow or lost stores."""

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
from tests.conformance.upload_rig import NOW, S3Uploads, Uploads, begin_upload, open_stores, pattern, stream
from tests.deployment import eventually
from tests.engines import private_engine, slow_proxy

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.objects import ObjectStore
from matinee.drivers.s3 import S3Bucket
from matinee.gateway.adapters.s3 import LEASE_MS, S3UploadStore
from matinee.gateway.api.problems import ChecksumMismatch, UploadBusy
from matinee.kit.ids import UploadId


@pytest.fixture(params=["disk", "s3"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Uploads]:
    async with open_stores(request.param, tmp_path / "uploads") as opens:
        yield opens


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Uploads]:
    async with open_stores("s3", tmp_path) as opens:
        assert isinstance(opens, S3Uploads)
        yield opens


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from matinee.gateway.adapters.disk import DiskUploadStore
from matinee.gateway.adapters.s3 import S3UploadStore
async def endless():
    for _ in range(400):  # less than the size, even if the kill is late
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


def kill_writer(url: str, upload_id: UploadId) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url, upload_id], stdout=subprocess.PIPE)
    assert writer.stdout
    for _ in range(300):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.wait()


async def test_upload_continues_after_its_writer_was_killed(opened: Uploads) -> None:
    store, size_bytes = opened(), 40 << 20
    upload_id = await begin_upload(store, size_bytes)
    await asyncio.to_thread(kill_writer, opened.url, upload_id)
    upload = await store.find(upload_id=upload_id)
    assert 0 < upload.offset_bytes < size_bytes
    later = datetime.now(UTC) + timedelta(milliseconds=LEASE_MS)
    rest = pattern(size_bytes)[upload.offset_bytes :]
    after = await store.append(upload_id=upload_id, offset_bytes=upload.offset_bytes, pieces=stream(rest), now=later)
    assert after.is_complete
    assert await opened.content(await store.path(upload_id=upload_id)) == pattern(size_bytes)


async def test_many_parts_and_a_broken_connection(opened: Uploads) -> None:
    film = os.urandom(1 << 20) * 23 + b"end"
    upload_id = await begin_upload(opened(), len(film))
    pieces = [film[start : start + 700_001] for start in range(0, len(film), 700_001)]
    with pytest.raises(ConnectionResetError):
        await opened().append(upload_id=upload_id, offset_bytes=0, pieces=stream(*pieces[:20], broken=True), now=NOW)
    upload = await opened().find(upload_id=upload_id)
    assert upload.offset_bytes == 20 * 700_001
    digest = ("sha1", hashlib.sha1(b"".join(pieces[20:30])).digest())
    for wrong in (("sha1", b"0" * 20), digest):
        with contextlib.suppress(ChecksumMismatch):
            upload = await opened().append(
                upload_id=upload_id,
                offset_bytes=upload.offset_bytes,
                pieces=stream(*pieces[20:30]),
                now=NOW,
                checksum=wrong,
            )
    assert upload.offset_bytes == 30 * 700_001
    last = opened().append(upload_id=upload_id, offset_bytes=30 * 700_001, pieces=stream(*pieces[30:]), now=NOW)
    assert (await last).is_complete
    assert await opened.content(await opened().path(upload_id=upload_id)) == film
    assert await opened.content(await opened().path(upload_id=upload_id)) == film


async def test_disconnected_client_loses_nothing(opened: Uploads) -> None:
    upload_id, arrived = await begin_upload(opened(), 20 << 20), asyncio.Event()

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

    async def is_kept() -> bool:
        return (await opened().find(upload_id=upload_id)).offset_bytes == 11 << 20

    async def complete() -> bool:
        rest = stream(pattern(20 << 20)[11 << 20 :])
        with contextlib.suppress(UploadBusy):
            await opened().append(upload_id=upload_id, offset_bytes=11 << 20, pieces=rest, now=datetime.now(UTC))
            return True
        return False

    await eventually(is_kept)
    await eventually(complete)
    assert await opened.content(await opened().path(upload_id=upload_id)) == pattern(20 << 20)


async def test_removed_and_expired_uploads_leave_nothing(s3: S3Uploads) -> None:
    store = s3()
    for _ in range(3):
        upload_id = await begin_upload(store, 20 << 20)
        await store.append(upload_id=upload_id, offset_bytes=0, pieces=stream(pattern(7 << 20)), now=NOW)
    await store.remove(upload_id=upload_id)
    await s3.bucket.create_upload(
        "uploads/upl_0000000000000000000000000z/film.mp4"
    )  # killed before it wrote its record
    assert await store.expire(before=datetime.now(UTC) + timedelta(seconds=2)) == 2
    assert await s3.count_leftovers() == 0


async def test_replaced_writer_stops(s3: S3Uploads) -> None:
    first, second = s3(), s3()
    film = pattern(16 << 20)
    upload_id = await begin_upload(first, len(film))

    async def pause() -> AsyncIterator[bytes]:
        yield film[: 6 << 20]
        later = NOW + timedelta(milliseconds=LEASE_MS + 1000)
        offset = (await second.find(upload_id=upload_id)).offset_bytes
        rest = stream(film[offset:])
        await second.append(upload_id=upload_id, offset_bytes=offset, pieces=rest, now=later)
        yield b"x" * (10 << 20)

    with pytest.raises(UploadBusy):
        await first.append(upload_id=upload_id, offset_bytes=0, pieces=pause(), now=NOW)
    assert await s3.content(await second.path(upload_id=upload_id)) == film


async def test_acknowledged_bytes_survive_the_loss_of_the_store(tmp_path: Path) -> None:
    film = pattern(14 << 20)
    with private_engine("s3", tmp_path) as server:
        url = server.url("uploads")
        async with S3UploadStore.open(url.replace("?", "/uploads?"), store=url) as store:
            upload_id = await begin_upload(store, len(film))
            await store.append(upload_id=upload_id, offset_bytes=0, pieces=stream(film[: 9 << 20]), now=NOW)

            async def kill() -> AsyncIterator[bytes]:
                yield film[9 << 20 : 10 << 20]
                await asyncio.to_thread(server.kill)

            with pytest.raises(EngineUnavailable):
                await store.append(upload_id=upload_id, offset_bytes=9 << 20, pieces=kill(), now=NOW)
            with pytest.raises(EngineUnavailable):
                await store.find(upload_id=upload_id)
            await asyncio.to_thread(server.start)
            upload = await store.find(upload_id=upload_id)
            assert upload.offset_bytes == 9 << 20
            later = NOW + timedelta(milliseconds=LEASE_MS + 60_000)
            rest = stream(film[9 << 20 :])
            await store.append(upload_id=upload_id, offset_bytes=9 << 20, pieces=rest, now=later)
            assert await ObjectStore(url).get(await store.path(upload_id=upload_id)) == film


async def test_slow_store(s3: S3Uploads) -> None:
    async with slow_proxy(s3.url) as proxy:
        proxy.delay_s = 0.3
        address = ObjectStore(proxy.url).location
        assert address
        async with S3Bucket(address) as bucket:
            store = S3UploadStore(ObjectStore(proxy.url), bucket, "uploads")
            upload_id = await begin_upload(store, 6)
            await store.append(upload_id=upload_id, offset_bytes=0, pieces=stream(b"abcdef"), now=NOW)
            assert await s3.content(await store.path(upload_id=upload_id)) == b"abcdef"
