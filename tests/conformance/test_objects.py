"""Object stores in a directory and in S3: atomic and conditional puts, copies, listings, and failures of the store."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines import private_engine, shared_engine, slow_proxy, unique_name

from matinee.drivers.engine import EngineUnavailable, StoreEmpty
from matinee.drivers.objects import ObjectNotFound, ObjectStore
from matinee.drivers.s3 import BucketMissing, S3Bucket, S3Location, StoreRefused
from matinee.encoding.adapters.objects import ObjectBlobs
from matinee.encoding.api import INCOMING
from matinee.lab.engines import EngineProcess

Open = Callable[..., ObjectStore]
ENGINES = ("file", "s3")
FILM = os.urandom(1 << 20) * 20


def new_url(engine_id: str, folder: Path) -> str:
    """Return the URL of an empty store."""
    return f"file://{folder}/objects" if engine_id == "file" else shared_engine(engine_id).url("objects")


@pytest.fixture(params=ENGINES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Return a function that opens the same store again."""
    url = new_url(request.param, tmp_path)
    return lambda **options: ObjectStore(url, **options)


@pytest.fixture
def s3_url() -> str:
    """Return the URL of an empty store in S3."""
    return shared_engine("s3").url("objects")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mov"
    path.write_bytes(FILM)
    return path


async def test_one_of_many_concurrent_writers_creates_an_object(open_store: Open) -> None:
    etags = await asyncio.gather(*(open_store().put_if_absent("a/lock", str(n).encode()) for n in range(8)))
    assert sum(etag is not None for etag in etags) == 1
    winner = next(n for n, etag in enumerate(etags) if etag is not None)
    assert await open_store().get_with_etag("a/lock") == (str(winner).encode(), etags[winner])


async def test_conditional_put_loses_no_update(open_store: Open) -> None:
    await open_store().put_if_absent("count", b"0")

    async def increment() -> None:
        while True:
            data, etag = await open_store().get_with_etag("count")
            if await open_store().put_if_match("count", str(int(data) + 1).encode(), etag) is not None:
                return

    await asyncio.gather(*(increment() for _ in range(12)))
    assert await open_store().get("count") == b"12"
    assert await open_store().put_if_match("count", b"x", "another") is None
    assert await open_store().put_if_match("none", b"x", "any") is None


async def test_large_file_is_read_from_any_offset(open_store: Open, film: Path) -> None:
    await open_store().put_file("sources/film.mov", film)
    head = await open_store().head("sources/film.mov")
    assert (head.key, head.size_bytes) == ("sources/film.mov", len(FILM))
    for start in (0, 1, 8 << 20, len(FILM) - 1):
        pieces = open_store().stream("sources/film.mov", start=start, etag=head.etag)
        assert b"".join([piece async for piece in pieces]) == FILM[start:]
    with pytest.raises(ObjectNotFound):
        await open_store().open("sources/film.mov", etag="another")


async def test_copy_in_one_request_or_in_parts_has_the_same_content(open_store: Open, film: Path) -> None:
    await open_store().put_file("sources/a film é.mov", film)
    for copy_bytes in (1 << 30, 6 << 20):
        await open_store(copy_bytes=copy_bytes).copy("sources/a film é.mov", f"copies/{copy_bytes}")
        assert await open_store().get(f"copies/{copy_bytes}") == FILM
    with pytest.raises(ObjectNotFound):
        await open_store().copy("none", "copies/none")


async def test_missing_object_is_not_found_and_may_be_deleted(open_store: Open) -> None:
    for read in (open_store().get, open_store().head, open_store().get_with_etag, open_store().open):
        with pytest.raises(ObjectNotFound):
            await read("a/none")
    await open_store().delete_prefix("a/none")
    await open_store().delete_prefix("a/")
    await open_store().delete([])
    assert await open_store().list_objects("a") == []
    await open_store().check()


async def test_invalid_key_is_refused(open_store: Open) -> None:
    for key in ("a//b", "../a", "a/../b"):
        with pytest.raises(StoreRefused):
            await open_store().put(key, b"x")


async def test_more_than_a_thousand_objects_are_listed_and_deleted(s3_url: str) -> None:
    objects = ObjectStore(s3_url)
    for start in range(0, 1100, 100):
        await asyncio.gather(*(objects.put(f"many/{n}", b"x") for n in range(start, start + 100)))
    await objects.put("many-others/1", b"x")
    assert len(await objects.list_objects("many")) == 1100
    await objects.delete_prefix("many/")
    assert [head.key for head in await objects.list_objects("")] == ["many-others/1"]


# Failures.


def all_requests(objects: ObjectStore) -> list[Callable[[], Awaitable[Any]]]:
    """Return requests of every kind; the last one creates a missing bucket."""
    return [
        lambda: objects.put("a", b"x"),
        lambda: objects.put_if_absent("b", b"x"),
        lambda: objects.put_if_match("a", b"x", "tag"),
        lambda: objects.get("a"),
        lambda: objects.list_objects(""),
        lambda: objects.delete(["a"]),
        lambda: objects.ensure_bucket(),
    ]


async def test_error_for_a_wrong_secret_names_bucket_and_operation(s3_url: str) -> None:
    location = S3Location.parse(s3_url)
    objects = ObjectStore(s3_url.replace(location.secret, "wrong"))
    for send in all_requests(objects):
        with pytest.raises(StoreRefused, match=r"(?s)secret") as refused:
            await send()
        assert refused.value.bucket == location.bucket
        assert refused.value.operation in str(refused.value)
        assert "wrong" not in str(refused.value)
    with pytest.raises(EngineUnavailable, match="SignatureDoesNotMatch"):
        await objects.check()


async def test_unknown_access_key_is_refused(s3_url: str) -> None:
    objects = ObjectStore(s3_url.replace(S3Location.parse(s3_url).key_id, "unknown"))
    for send in all_requests(objects):
        with pytest.raises(StoreRefused):
            await send()


async def test_missing_bucket_is_reported_and_created(s3_url: str) -> None:
    bucket = S3Location.parse(s3_url).bucket
    objects = ObjectStore(s3_url.replace(bucket, unique_name("created").replace("_", "-")))
    for send in all_requests(objects)[:-1]:
        with pytest.raises(BucketMissing, match="There is no bucket"):
            await send()
    with pytest.raises(StoreEmpty):
        await objects.check()
    await asyncio.gather(objects.ensure_bucket(), objects.ensure_bucket())
    await objects.put("a", b"x")
    await objects.ensure_bucket()
    await objects.check()
    assert await objects.get("a") == b"x"


async def test_restarted_store_has_every_completed_put(tmp_path: Path, film: Path) -> None:
    with private_engine("s3", tmp_path) as server:
        assert isinstance(server, EngineProcess)
        url = server.url("objects")
        objects = ObjectStore(url, idle_timeout_s=20, attempts=2)
        await objects.put("a", b"x")
        async with slow_proxy(url) as proxy:
            proxy.delay_s = 0.05
            putting = asyncio.create_task(ObjectStore(proxy.url, idle_timeout_s=20, attempts=2).put_file("film", film))
            while not await count_uploads(url):  # noqa: ASYNC110  # another process uploads
                await asyncio.sleep(0.01)
            await asyncio.to_thread(server.kill)
            with pytest.raises(EngineUnavailable):
                await putting
        for send in all_requests(objects):
            with pytest.raises(EngineUnavailable, match=r"s3 at 127\.0\.0\.1"):
                await send()
        await asyncio.to_thread(server.start)
        assert await objects.get("a") == b"x"
        with pytest.raises(ObjectNotFound):
            await objects.head("film")
        await objects.put_file("film", film)
        assert await objects.get("film") == FILM


async def count_uploads(url: str) -> int:
    async with S3Bucket(S3Location.parse(url)) as bucket:
        return len(await bucket.list_uploads(""))


async def test_unresponsive_store_is_reported_in_time(s3_url: str) -> None:
    async with slow_proxy(s3_url) as proxy:
        proxy.delay_s = 600  # longer than the test
        for send in all_requests(ObjectStore(proxy.url, idle_timeout_s=0.2, attempts=2))[:-1]:
            with pytest.raises(EngineUnavailable):
                await send()


async def test_slow_responses_and_a_broken_connection_are_tolerated(s3_url: str, film: Path) -> None:
    async with slow_proxy(s3_url) as proxy:
        objects = ObjectStore(proxy.url)
        proxy.delay_s = 0.2
        await objects.put("a", b"x")
        assert await objects.get("a") == b"x"
        await objects.put_file("film", film)
        proxy.delay_s = 0.01
        _, pieces = await objects.open("film")
        first = await anext(pieces)
        proxy.disconnect()
        proxy.restore()
        assert first + b"".join([piece async for piece in pieces]) == FILM


UPLOADER = """
import asyncio, sys
from pathlib import Path
from matinee.drivers.objects import ObjectStore
asyncio.run(ObjectStore(sys.argv[1]).put_file("assets/film.mov", Path(sys.argv[2])))
"""


async def test_parts_of_a_killed_client_are_aborted(s3_url: str, film: Path) -> None:
    objects = ObjectStore(s3_url)
    async with slow_proxy(s3_url) as proxy:
        proxy.delay_s = 0.1
        uploader = await asyncio.create_subprocess_exec(sys.executable, "-c", UPLOADER, proxy.url, str(film))
        while not await count_uploads(s3_url):  # noqa: ASYNC110  # another process uploads
            await asyncio.sleep(0.02)
        uploader.send_signal(signal.SIGKILL)
        await uploader.wait()
    assert await objects.list_objects("") == []
    assert await count_uploads(s3_url) == 1
    now = datetime.now(UTC)
    assert await objects.abort_stale_uploads(before=now - timedelta(minutes=1)) == 0
    assert await objects.abort_stale_uploads(before=now + timedelta(minutes=1), prefix="other/") == 0
    await objects.put(f"{INCOMING}upl_1/0/film.mov", b"without a job")
    assert await ObjectBlobs(objects).remove_unfinished(now - timedelta(days=14)) == 0
    assert await ObjectBlobs(objects).remove_unfinished(now + timedelta(minutes=1)) == 2
    assert (await count_uploads(s3_url), await objects.list_objects("")) == (0, [])


async def test_key_of_the_url_is_used_without_a_token_of_the_environment(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another key")
    await ObjectStore(s3_url).put("a", b"x")


KEYS = ("a/x", "a/y", "b/x", "b/z z", "c")


@pytest.mark.parametrize("engine_id", ENGINES)
@settings(max_examples=25)
@given(
    actions=st.lists(
        st.tuples(
            st.sampled_from(["put", "new", "replace", "stale", "copy", "drop", "delete"]),
            st.sampled_from(KEYS),
            st.sampled_from(KEYS),
            st.binary(max_size=20),
        ),
        max_size=14,
    )
)
async def test_store_equals_a_dict(
    actions: list[tuple[str, str, str, bytes]], tmp_path_factory: pytest.TempPathFactory, engine_id: str
) -> None:
    objects, plain = ObjectStore(new_url(engine_id, tmp_path_factory.mktemp("objects"))), dict[str, bytes]()
    for what, key, other, data in actions:
        match what:
            case "put":
                await objects.put(key, data)
                plain[key] = data
            case "new":
                assert (await objects.put_if_absent(key, data) is None) == (key in plain)
                plain.setdefault(key, data)
            case "replace" if key in plain:
                assert await objects.put_if_match(key, data, (await objects.get_with_etag(key))[1])
                plain[key] = data
            case "stale":
                assert await objects.put_if_match(key, data, "stale") is None
            case "copy" if key in plain:
                await objects.copy(key, other)
                plain[other] = plain[key]
            case "drop":
                await objects.delete([key])
                plain.pop(key, None)
            case "delete":
                prefix = key.partition("/")[0]
                await objects.delete_prefix(prefix)
                plain = {k: v for k, v in plain.items() if k != prefix and not k.startswith(f"{prefix}/")}
    assert {head.key: head.size_bytes for head in await objects.list_objects("")} == {
        k: len(v) for k, v in plain.items()
    }
    for key, data in plain.items():
        assert await objects.get(key) == data
