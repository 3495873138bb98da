"""Upload stores: nothing acknowledged is lost, nothing refused is kept."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.upload_rig import NOW, Uploads, begin_upload, open_stores, stream

from matinee.drivers.s3 import BadStoreUrl
from matinee.gateway.adapters.disk import DiskUploadStore
from matinee.gateway.adapters.s3 import S3UploadStore
from matinee.gateway.api.problems import (
    ChecksumMismatch,
    InsufficientStorage,
    OffsetMismatch,
    UploadBusy,
    UploadNotFound,
    UploadUnfinished,
)
from matinee.kit import ids
from matinee.kit.ids import UploadId
from matinee.kit.problem import TooLarge


@pytest.fixture(params=["disk", "s3"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Uploads]:
    async with open_stores(request.param, tmp_path / "uploads") as opens:
        yield opens


async def test_pieces_are_joined_across_restarts(opened: Uploads) -> None:
    upload_id = await begin_upload(opened(), 6)
    for offset, piece in ((0, b"ab"), (2, b"cd"), (4, b"ef")):
        store = opened()
        assert (await store.find(upload_id=upload_id)).offset_bytes == offset
        upload = await store.append(upload_id=upload_id, offset_bytes=offset, pieces=stream(piece), now=NOW)
        assert upload.offset_bytes == offset + 2
    assert upload.is_complete
    assert await opened.content(await opened().path(upload_id=upload_id)) == b"abcdef"


async def test_bytes_before_a_broken_connection_are_kept(opened: Uploads) -> None:
    store = opened()
    upload_id = await begin_upload(store, 10)
    with pytest.raises(ConnectionResetError):
        await store.append(upload_id=upload_id, offset_bytes=0, pieces=stream(b"abc", broken=True), now=NOW)
    assert (await opened().find(upload_id=upload_id)).offset_bytes == 3


async def test_wrong_offset_is_refused(opened: Uploads) -> None:
    store = opened()
    upload_id = await begin_upload(store, 10)
    await store.append(upload_id=upload_id, offset_bytes=0, pieces=stream(b"abc"), now=NOW)
    for wrong in (0, 2, 4, 99):
        with pytest.raises(OffsetMismatch) as caught:
            await store.append(upload_id=upload_id, offset_bytes=wrong, pieces=stream(b"x"), now=NOW)
        assert caught.value.offset_bytes == 3


async def test_excess_bytes_are_refused(opened: Uploads) -> None:
    store = opened()
    upload_id = await begin_upload(store, 4)
    with pytest.raises(TooLarge):
        await store.append(upload_id=upload_id, offset_bytes=0, pieces=stream(b"abcd", b"e"), now=NOW)
    assert (await store.find(upload_id=upload_id)).offset_bytes <= 4


async def test_checksum_mismatch_keeps_nothing(opened: Uploads) -> None:
    store = opened()
    upload_id = await begin_upload(store, 6)
    with pytest.raises(ChecksumMismatch):
        await store.append(
            upload_id=upload_id, offset_bytes=0, pieces=stream(b"abc"), now=NOW, checksum=("sha1", b"0" * 20)
        )
    assert (await store.find(upload_id=upload_id)).offset_bytes == 0
    digest = hashlib.sha256(b"abcdef").digest()
    upload = await store.append(
        upload_id=upload_id, offset_bytes=0, pieces=stream(b"abc", b"def"), now=NOW, checksum=("sha256", digest)
    )
    assert upload.is_complete


async def test_second_writer_is_refused(opened: Uploads) -> None:
    first, second = opened(), opened()
    upload_id = await begin_upload(first, 6)

    async def interrupt() -> AsyncIterator[bytes]:
        yield b"abc"
        with pytest.raises(UploadBusy):
            await second.append(upload_id=upload_id, offset_bytes=0, pieces=stream(b"xyz"), now=NOW)
        yield b"def"

    assert (await first.append(upload_id=upload_id, offset_bytes=0, pieces=interrupt(), now=NOW)).is_complete
    assert await opened.content(await first.path(upload_id=upload_id)) == b"abcdef"


@pytest.mark.parametrize(
    ("name", "expected"),
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
async def test_file_names_are_sanitized(opened: Uploads, name: str, expected: str) -> None:
    store = opened()
    upload_id = await begin_upload(store, 0, name)
    path = Path(await store.path(upload_id=upload_id))
    assert path.name == expected
    assert path.parent.name == upload_id


async def test_unknown_and_unfinished_uploads(opened: Uploads) -> None:
    store = opened()
    for wrong in (ids.generate(UploadId, NOW), UploadId("../x"), UploadId(""), UploadId("upl_é")):
        with pytest.raises(UploadNotFound):
            await store.find(upload_id=wrong)
    upload_id = await begin_upload(store, 3)
    with pytest.raises(UploadUnfinished):
        await store.path(upload_id=upload_id)
    await store.remove(upload_id=upload_id)
    await store.remove(upload_id=upload_id)
    with pytest.raises(UploadNotFound):
        await store.find(upload_id=upload_id)


async def test_file_taken_by_encoding_is_not_found(opened: Uploads) -> None:
    store = opened()
    upload_id = await begin_upload(store, 0)
    await opened.take(await store.path(upload_id=upload_id))
    with pytest.raises(UploadNotFound):
        await store.path(upload_id=upload_id)
    with pytest.raises(UploadNotFound):
        await store.find(upload_id=upload_id)


async def test_insufficient_storage(tmp_path: Path) -> None:
    with pytest.raises(InsufficientStorage) as caught:
        await begin_upload(DiskUploadStore(tmp_path), 1 << 60)
    assert caught.value.needed_bytes == 1 << 60
    full = DiskUploadStore(tmp_path, spare_bytes=1 << 60)
    upload_id = await begin_upload(DiskUploadStore(tmp_path, spare_bytes=0), 4)
    with pytest.raises(InsufficientStorage):
        await full.append(upload_id=upload_id, offset_bytes=0, pieces=stream(b"abcd"), now=NOW)


async def test_only_abandoned_uploads_expire(opened: Uploads) -> None:
    store = opened()
    old, kept = await begin_upload(store, 3), await begin_upload(store, 3)
    later = NOW + timedelta(days=3)
    await store.append(upload_id=kept, offset_bytes=0, pieces=stream(b"a"), now=later)
    assert await store.expire(before=later - timedelta(days=2)) == 1
    with pytest.raises(UploadNotFound):
        await store.find(upload_id=old)
    assert (await store.find(upload_id=kept)).offset_bytes == 1


@pytest.mark.parametrize("url", ["s3://a:b@other/uploads", "s3://a:b@bucket", "s3://a:b@bucket/elsewhere"])
async def test_uploads_outside_the_object_store_are_refused(url: str) -> None:
    with pytest.raises(BadStoreUrl, match="below the object store"):
        async with S3UploadStore.open(url, store="s3://a:b@bucket/deployment"):
            pass


@pytest.mark.parametrize("engine_id", ["disk", "s3"])
@settings(max_examples=25)
@given(
    steps=st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=6), st.booleans()), max_size=8),
    size_bytes=st.integers(0, 12),
)
async def test_store_matches_a_plain_model(
    tmp_path_factory: pytest.TempPathFactory, engine_id: str, steps: list[tuple[int, bytes, bool]], size_bytes: int
) -> None:
    async with open_stores(engine_id, tmp_path_factory.mktemp("uploads")) as opened:
        upload_id = await begin_upload(opened(), size_bytes)
        model = b""
        for offset, piece, broken in steps:
            store = opened()
            try:
                await store.append(
                    upload_id=upload_id, offset_bytes=offset, pieces=stream(piece, broken=broken), now=NOW
                )
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
