"""Every upload store: pieces in order, nothing lost that was acknowledged, nothing kept that was refused."""

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
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines import engine, private, slow

from matinee.drivers.engine import EngineAway
from matinee.drivers.objects import Objects
from matinee.drivers.s3 import BadStoreUrl, Bucket
from matinee.gateway.adapters.disk import DiskUploadStore
from matinee.gateway.adapters.s3 import LEASE_MS, S3UploadStore
from matinee.gateway.api.problems import (
    ChecksumMismatch,
    NoRoom,
    OffsetMismatch,
    UploadBusy,
    UploadNotFound,
    UploadUnfinished,
)
from matinee.gateway.ports import UploadStore
from matinee.kit import ids
from matinee.kit.ids import AccountId, UploadId
from matinee.kit.problem import TooLarge

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WHO = ids.new(AccountId, NOW)
PART_BYTES = 5 << 20


class Disk:
    """Uploads in a folder."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder)

    def __call__(self) -> UploadStore:
        return DiskUploadStore(Path(self.url), spare_bytes=0)

    async def content(self, path: str) -> bytes:
        return await asyncio.to_thread(Path(path).read_bytes)

    async def take(self, path: str) -> None:
        await asyncio.to_thread(Path(path).unlink)


class S3:
    """Uploads in a bucket; what is opened twice shares nothing but the connections."""

    def __init__(self, url: str, bucket: Bucket) -> None:
        self.url = url
        self.bucket = bucket
        self.objects = Objects(url)

    def __call__(self) -> UploadStore:
        return S3UploadStore(Objects(self.url), self.bucket, "uploads", part_bytes=PART_BYTES)

    async def content(self, path: str) -> bytes:
        return await self.objects.get(path)

    async def take(self, path: str) -> None:
        await self.objects.drop([path])

    async def lying(self) -> int:
        """How much lies there that is no finished file."""
        return len(await self.objects.keys("")) + len(await self.bucket.unfinished(""))


Open: TypeAlias = Disk | S3


@contextlib.asynccontextmanager
async def place(engine_id: str, folder: Path) -> AsyncIterator[Open]:
    if engine_id == "disk":
        yield Disk(folder)
        return
    objects = Objects(engine("s3").url("uploads"))
    assert objects.address
    async with Bucket(objects.address) as bucket:
        yield S3(objects.url, bucket)


@pytest.fixture(params=["disk", "s3"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    async with place(request.param, tmp_path / "uploads") as opens:
        yield opens


@pytest.fixture
async def in_s3(tmp_path: Path) -> AsyncIterator[S3]:
    async with place("s3", tmp_path) as opens:
        assert isinstance(opens, S3)
        yield opens


async def sent(*pieces: bytes, broken: bool = False) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if broken:
        raise ConnectionResetError


async def begun(store: UploadStore, size_bytes: int, name: str = "film.mp4") -> UploadId:
    upload_id = ids.new(UploadId, NOW)
    await store.create(upload_id=upload_id, account_id=WHO, file_name=name, size_bytes=size_bytes, now=NOW)
    return upload_id


async def test_pieces_make_the_file_over_restarts(opened: Open) -> None:
    upload_id = await begun(opened(), 6)
    for offset, piece in ((0, b"ab"), (2, b"cd"), (4, b"ef")):
        store = opened()
        assert (await store.find(upload_id=upload_id)).offset_bytes == offset
        upload = await store.append(upload_id=upload_id, offset_bytes=offset, pieces=sent(piece), now=NOW)
        assert upload.offset_bytes == offset + 2
    assert upload.complete
    assert await opened.content(await opened().path(upload_id=upload_id)) == b"abcdef"


async def test_a_broken_connection_keeps_what_arrived(opened: Open) -> None:
    store = opened()
    upload_id = await begun(store, 10)
    with pytest.raises(ConnectionResetError):
        await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(b"abc", broken=True), now=NOW)
    assert (await opened().find(upload_id=upload_id)).offset_bytes == 3


async def test_another_offset_is_refused_and_told(opened: Open) -> None:
    store = opened()
    upload_id = await begun(store, 10)
    await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(b"abc"), now=NOW)
    for wrong in (0, 2, 4, 99):
        with pytest.raises(OffsetMismatch) as caught:
            await store.append(upload_id=upload_id, offset_bytes=wrong, pieces=sent(b"x"), now=NOW)
        assert caught.value.offset_bytes == 3


async def test_more_than_was_announced_is_refused(opened: Open) -> None:
    store = opened()
    upload_id = await begun(store, 4)
    with pytest.raises(TooLarge):
        await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(b"abcd", b"e"), now=NOW)
    assert (await store.find(upload_id=upload_id)).offset_bytes <= 4


async def test_a_checksum_that_disagrees_keeps_nothing(opened: Open) -> None:
    store = opened()
    upload_id = await begun(store, 6)
    with pytest.raises(ChecksumMismatch):
        await store.append(
            upload_id=upload_id, offset_bytes=0, pieces=sent(b"abc"), now=NOW, checksum=("sha1", b"0" * 20)
        )
    assert (await store.find(upload_id=upload_id)).offset_bytes == 0
    digest = hashlib.sha256(b"abcdef").digest()
    upload = await store.append(
        upload_id=upload_id, offset_bytes=0, pieces=sent(b"abc", b"def"), now=NOW, checksum=("sha256", digest)
    )
    assert upload.complete


async def test_two_writers_never_mix(opened: Open) -> None:
    first, second = opened(), opened()
    upload_id = await begun(first, 6)

    async def interrupted() -> AsyncIterator[bytes]:
        yield b"abc"
        with pytest.raises(UploadBusy):
            await second.append(upload_id=upload_id, offset_bytes=0, pieces=sent(b"xyz"), now=NOW)
        yield b"def"

    assert (await first.append(upload_id=upload_id, offset_bytes=0, pieces=interrupted(), now=NOW)).complete
    assert await opened.content(await first.path(upload_id=upload_id)) == b"abcdef"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("film.mp4", "film.mp4"),
        ('Été à l\'ombre "finale" 🎬.mkv', 'Été à l\'ombre "finale" 🎬.mkv'),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        (".upload.json", "upload.json"),
        ("a\x00b\nc.mp4", "abc.mp4"),
        ("", "upload"),
        ("..", "upload"),
        ("é" * 300 + ".mp4", "é" * 98 + ".mp4"),
    ],
)
async def test_names_stay_names(opened: Open, said: str, kept: str) -> None:
    store = opened()
    upload_id = await begun(store, 0, said)
    path = Path(await store.path(upload_id=upload_id))
    assert path.name == kept
    assert path.parent.name == upload_id


async def test_what_is_not_there(opened: Open) -> None:
    store = opened()
    for wrong in (ids.new(UploadId, NOW), UploadId("../x"), UploadId(""), UploadId("upl_é")):
        with pytest.raises(UploadNotFound):
            await store.find(upload_id=wrong)
    upload_id = await begun(store, 3)
    with pytest.raises(UploadUnfinished):
        await store.path(upload_id=upload_id)
    await store.remove(upload_id=upload_id)
    await store.remove(upload_id=upload_id)
    with pytest.raises(UploadNotFound):
        await store.find(upload_id=upload_id)


async def test_a_file_that_went_on_to_encoding_is_gone(opened: Open) -> None:
    store = opened()
    upload_id = await begun(store, 0)
    await opened.take(await store.path(upload_id=upload_id))
    with pytest.raises(UploadNotFound):
        await store.path(upload_id=upload_id)
    with pytest.raises(UploadNotFound):
        await store.find(upload_id=upload_id)


async def test_no_room(tmp_path: Path) -> None:
    with pytest.raises(NoRoom) as caught:
        await begun(DiskUploadStore(tmp_path), 1 << 60)
    assert caught.value.needed_bytes == 1 << 60
    full = DiskUploadStore(tmp_path, spare_bytes=1 << 60)
    upload_id = await begun(DiskUploadStore(tmp_path, spare_bytes=0), 4)
    with pytest.raises(NoRoom):
        await full.append(upload_id=upload_id, offset_bytes=0, pieces=sent(b"abcd"), now=NOW)


async def test_only_the_abandoned_expire(opened: Open) -> None:
    store = opened()
    old, kept = await begun(store, 3), await begun(store, 3)
    later = NOW + timedelta(days=3)
    await store.append(upload_id=kept, offset_bytes=0, pieces=sent(b"a"), now=later)
    assert await store.expire(before=later - timedelta(days=2)) == 1
    with pytest.raises(UploadNotFound):
        await store.find(upload_id=old)
    assert (await store.find(upload_id=kept)).offset_bytes == 1


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from matinee.gateway.adapters.disk import DiskUploadStore
from matinee.gateway.adapters.s3 import S3UploadStore
async def endless():
    while True:
        yield b"0123456789abcdef" * 4096
        print("piece", flush=True)
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


def pattern(size_bytes: int) -> bytes:
    return (b"0123456789abcdef" * (size_bytes // 16 + 1))[:size_bytes]


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
    async with asyncio.timeout(20):
        while (await opened().find(upload_id=upload_id)).offset_bytes < 11 << 20:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for _ in range(100):
            with contextlib.suppress(UploadBusy):
                rest = sent(pattern(20 << 20)[11 << 20 :])
                await opened().append(upload_id=upload_id, offset_bytes=11 << 20, pieces=rest, now=datetime.now(UTC))
                break
            await asyncio.sleep(0.02)
    assert await opened.content(await opened().path(upload_id=upload_id)) == pattern(20 << 20)


async def test_nothing_is_left_of_what_was_removed_or_expired(in_s3: S3) -> None:
    store = in_s3()
    for _ in range(3):
        upload_id = await begun(store, 20 << 20)
        await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(pattern(7 << 20)), now=NOW)
    await store.remove(upload_id=upload_id)
    await in_s3.bucket.begin("uploads/upl_0000000000000000000000000z/film.mp4")  # killed before its record was written
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
    with private("s3", tmp_path) as own:
        url = own.url("uploads")
        async with S3UploadStore.open(url.replace("?", "/uploads?"), store=url) as store:
            upload_id = await begun(store, len(film))
            await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(film[: 9 << 20]), now=NOW)

            async def killed() -> AsyncIterator[bytes]:
                yield film[9 << 20 : 10 << 20]
                await asyncio.to_thread(own.kill)

            with pytest.raises(EngineAway):
                await store.append(upload_id=upload_id, offset_bytes=9 << 20, pieces=killed(), now=NOW)
            with pytest.raises(EngineAway):
                await store.find(upload_id=upload_id)
            await asyncio.to_thread(own.start)
            upload = await store.find(upload_id=upload_id)
            assert upload.offset_bytes == 9 << 20
            later = NOW + timedelta(milliseconds=LEASE_MS + 60_000)
            rest = sent(film[9 << 20 :])
            await store.append(upload_id=upload_id, offset_bytes=9 << 20, pieces=rest, now=later)
            assert await Objects(url).get(await store.path(upload_id=upload_id)) == film


async def test_a_slow_store_is_waited_for(in_s3: S3) -> None:
    async with slow(in_s3.url) as road:
        road.delay_s = 0.3
        address = Objects(road.url).address
        assert address
        async with Bucket(address) as bucket:
            store = S3UploadStore(Objects(road.url), bucket, "uploads")
            upload_id = await begun(store, 6)
            await store.append(upload_id=upload_id, offset_bytes=0, pieces=sent(b"abcdef"), now=NOW)
            assert await in_s3.content(await store.path(upload_id=upload_id)) == b"abcdef"


@pytest.mark.parametrize("url", ["s3://a:b@other/uploads", "s3://a:b@bucket", "s3://a:b@bucket/elsewhere"])
async def test_uploads_lie_below_the_store_that_encoding_takes_them_from(url: str) -> None:
    with pytest.raises(BadStoreUrl, match="below the object store"):
        async with S3UploadStore.open(url, store="s3://a:b@bucket/house"):
            pass


@pytest.mark.parametrize("engine_id", ["disk", "s3"])
@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=6), st.booleans()), max_size=8),
    size_bytes=st.integers(0, 12),
)
async def test_like_a_dict(
    tmp_path_factory: pytest.TempPathFactory, engine_id: str, steps: list[tuple[int, bytes, bool]], size_bytes: int
) -> None:
    async with place(engine_id, tmp_path_factory.mktemp("uploads")) as opened:
        upload_id = await begun(opened(), size_bytes)
        model = b""
        for offset, piece, broken in steps:
            store = opened()
            try:
                await store.append(upload_id=upload_id, offset_bytes=offset, pieces=sent(piece, broken=broken), now=NOW)
            except OffsetMismatch:
                assert offset != len(model)
                continue
            except TooLarge:
                assert len(model) + len(piece) > size_bytes
                continue
            except ConnectionResetError:
                pass
            model += piece
            assert (await store.find(upload_id=upload_id)).offset_bytes == len(model)
        if len(model) == size_bytes:
            assert await opened.content(await opened().path(upload_id=upload_id)) == model
        else:
            with pytest.raises(UploadUnfinished):
                await opened().path(upload_id=upload_id)
