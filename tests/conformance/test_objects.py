"""Object stores, in a directory and in S3: what is put is there, whole or not at all, and troubles have names."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.error
import urllib.request
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
from matinee.drivers.s3 import BadStoreUrl, BucketMissing, S3Bucket, S3Location, StoreRefused
from matinee.encoding.adapters.objects import ObjectBlobs
from matinee.encoding.api import INCOMING
from matinee.lab.engines import Running

Opener = Callable[..., ObjectStore]
ENGINES = ("file", "s3")
FILM = os.urandom(1 << 20) * 20


def place(engine_id: str, folder: Path) -> str:
    """The URL of a fresh store."""
    return f"file://{folder}/objects" if engine_id == "file" else shared_engine(engine_id).url("objects")


@pytest.fixture(params=ENGINES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same store again."""
    url = place(request.param, tmp_path)
    return lambda **more: ObjectStore(url, **more)


@pytest.fixture
def in_s3() -> str:
    """The URL of a fresh store in S3."""
    return shared_engine("s3").url("objects")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mov"
    path.write_bytes(FILM)
    return path


async def test_only_the_first_of_many_makes_an_object(opened: Opener) -> None:
    made = await asyncio.gather(*(opened().put_if_absent("a/lock", str(n).encode()) for n in range(8)))
    assert sum(tag is not None for tag in made) == 1
    winner = next(n for n, tag in enumerate(made) if tag is not None)
    assert await opened().get_with_etag("a/lock") == (str(winner).encode(), made[winner])


async def test_only_one_of_many_replaces_what_all_have_read(opened: Opener) -> None:
    await opened().put_if_absent("count", b"0")

    async def count() -> None:
        while True:
            data, etag = await opened().get_with_etag("count")
            if await opened().put_if_match("count", str(int(data) + 1).encode(), etag) is not None:
                return

    await asyncio.gather(*(count() for _ in range(12)))
    assert await opened().get("count") == b"12"
    assert await opened().put_if_match("count", b"x", "another") is None
    assert await opened().put_if_match("none", b"x", "any") is None


async def test_a_large_file_is_read_from_anywhere(opened: Opener, film: Path) -> None:
    await opened().put_file("sources/film.mov", film)
    head = await opened().head("sources/film.mov")
    assert (head.key, head.size_bytes) == ("sources/film.mov", len(FILM))
    for start in (0, 1, 8 << 20, len(FILM) - 1):
        pieces = opened().stream("sources/film.mov", start=start, etag=head.etag)
        assert b"".join([piece async for piece in pieces]) == FILM[start:]
    with pytest.raises(ObjectNotFound):
        await opened().open("sources/film.mov", etag="another")


async def test_a_copy_is_the_same_whether_in_one_piece_or_in_many(opened: Opener, film: Path) -> None:
    await opened().put_file("sources/a film é.mov", film)
    for copy_bytes in (1 << 30, 6 << 20):
        await opened(copy_bytes=copy_bytes).copy("sources/a film é.mov", f"copies/{copy_bytes}")
        assert await opened().get(f"copies/{copy_bytes}") == FILM
    with pytest.raises(ObjectNotFound):
        await opened().copy("none", "copies/none")


async def test_what_is_not_there_is_not_found_and_dropped_all_the_same(opened: Opener) -> None:
    for ask in (opened().get, opened().head, opened().get_with_etag, opened().open):
        with pytest.raises(ObjectNotFound):
            await ask("a/none")
    await opened().delete_prefix("a/none")
    await opened().delete_prefix("a/")
    await opened().delete([])
    assert await opened().list_objects("a") == []
    await opened().check()


async def test_a_key_that_is_none_is_refused(opened: Opener) -> None:
    for key in ("a//b", "../a", "a/../b"):
        with pytest.raises(StoreRefused):
            await opened().put(key, b"x")


async def test_more_than_a_thousand_are_listed_and_dropped(in_s3: str) -> None:
    objects = ObjectStore(in_s3)
    for start in range(0, 1100, 100):
        await asyncio.gather(*(objects.put(f"many/{n}", b"x") for n in range(start, start + 100)))
    await objects.put("many-others/1", b"x")
    assert len(await objects.list_objects("many")) == 1100
    await objects.delete_prefix("many/")
    assert [head.key for head in await objects.list_objects("")] == ["many-others/1"]


async def test_a_link_lets_anybody_do_one_thing_for_a_while(in_s3: str, tmp_path: Path) -> None:
    objects = ObjectStore(in_s3)
    await objects.put("a/b c.bin", b"film")
    link = await objects.sign_url("GET", "a/b c.bin", expires_s=60)
    put = await objects.sign_url("PUT", "a/new", expires_s=60)
    assert await asyncio.to_thread(asked, link) == (200, b"film")
    assert (await asyncio.to_thread(asked, put, "PUT", b"handed over"))[0] == 200
    assert await objects.get("a/new") == b"handed over"
    assert (await asyncio.to_thread(asked, link, "PUT", b"x"))[0] == 403
    assert (await asyncio.to_thread(asked, link.replace("a/b", "a/n")))[0] == 403
    with pytest.raises(BadStoreUrl):
        await ObjectStore(f"file://{tmp_path}").sign_url("GET", "a", expires_s=60)


def asked(url: str, method: str = "GET", data: bytes | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


# Troubles.


def everything(objects: ObjectStore) -> list[Callable[[], Awaitable[Any]]]:
    """Requests of every kind; the last makes the bucket where it is missing."""
    return [
        lambda: objects.put("a", b"x"),
        lambda: objects.put_if_absent("b", b"x"),
        lambda: objects.put_if_match("a", b"x", "tag"),
        lambda: objects.get("a"),
        lambda: objects.list_objects(""),
        lambda: objects.delete(["a"]),
        lambda: objects.ensure_bucket(),
    ]


async def test_a_wrong_secret_is_said_with_bucket_and_operation(in_s3: str) -> None:
    address = S3Location.parse(in_s3)
    objects = ObjectStore(in_s3.replace(address.secret, "wrong"))
    for ask in everything(objects):
        with pytest.raises(StoreRefused, match=r"(?s)secret") as refused:
            await ask()
        assert refused.value.bucket == address.bucket
        assert refused.value.operation in str(refused.value)
        assert "wrong" not in str(refused.value)
    with pytest.raises(EngineUnavailable, match="SignatureDoesNotMatch"):
        await objects.check()


async def test_a_key_that_nobody_has_is_refused_too(in_s3: str) -> None:
    objects = ObjectStore(in_s3.replace(S3Location.parse(in_s3).key_id, "nobody"))
    for ask in everything(objects):
        with pytest.raises(StoreRefused):
            await ask()


async def test_a_bucket_that_is_missing_is_said_and_made_at_the_first_start(in_s3: str) -> None:
    bucket = S3Location.parse(in_s3).bucket
    objects = ObjectStore(in_s3.replace(bucket, unique_name("made").replace("_", "-")))
    for ask in everything(objects)[:-1]:
        with pytest.raises(BucketMissing, match="There is no bucket"):
            await ask()
    with pytest.raises(StoreEmpty):
        await objects.check()
    await asyncio.gather(objects.ensure_bucket(), objects.ensure_bucket())
    await objects.put("a", b"x")
    await objects.ensure_bucket()
    await objects.check()
    assert await objects.get("a") == b"x"


async def test_a_store_that_is_killed_is_away_and_then_back_with_all_it_took(tmp_path: Path, film: Path) -> None:
    with private_engine("s3", tmp_path) as own:
        assert isinstance(own, Running)
        url = own.url("objects")
        objects = ObjectStore(url, idle_timeout_s=20, attempts=2)
        await objects.put("a", b"x")
        async with slow_proxy(url) as road:
            road.delay_s = 0.05
            putting = asyncio.create_task(ObjectStore(road.url, idle_timeout_s=20, attempts=2).put_file("film", film))
            while not await unfinished(url):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
            await asyncio.to_thread(own.kill)
            with pytest.raises(EngineUnavailable):
                await putting
        for ask in everything(objects):
            with pytest.raises(EngineUnavailable, match=r"s3 at 127\.0\.0\.1"):
                await ask()
        await asyncio.to_thread(own.start)
        assert await objects.get("a") == b"x"
        with pytest.raises(ObjectNotFound):
            await objects.head("film")
        await objects.put_file("film", film)
        assert await objects.get("film") == FILM


async def unfinished(url: str) -> int:
    async with S3Bucket(S3Location.parse(url)) as bucket:
        return len(await bucket.list_uploads(""))


async def test_a_store_that_says_nothing_is_given_up_in_time(in_s3: str) -> None:
    async with slow_proxy(in_s3) as road:
        road.delay_s = 600  # no answer comes while this test runs
        for ask in everything(ObjectStore(road.url, idle_timeout_s=0.2, attempts=2))[:-1]:
            with pytest.raises(EngineUnavailable):
                await ask()


async def test_a_slow_store_and_one_that_is_cut_off_are_borne(in_s3: str, film: Path) -> None:
    async with slow_proxy(in_s3) as road:
        objects = ObjectStore(road.url)
        road.delay_s = 0.2
        await objects.put("a", b"x")
        assert await objects.get("a") == b"x"
        await objects.put_file("film", film)
        road.delay_s = 0.01
        _, pieces = await objects.open("film")
        first = await anext(pieces)
        road.disconnect()
        road.restore()
        assert first + b"".join([piece async for piece in pieces]) == FILM


PUTTER = """
import asyncio, sys
from pathlib import Path
from matinee.drivers.objects import ObjectStore
asyncio.run(ObjectStore(sys.argv[1]).put_file("assets/film.mov", Path(sys.argv[2])))
"""


async def test_a_client_that_is_killed_leaves_nothing_half_and_the_sweep_frees_the_rest(in_s3: str, film: Path) -> None:
    objects = ObjectStore(in_s3)
    async with slow_proxy(in_s3) as road:
        road.delay_s = 0.1
        putter = await asyncio.create_subprocess_exec(sys.executable, "-c", PUTTER, road.url, str(film))
        while not await unfinished(in_s3):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)
        putter.send_signal(signal.SIGKILL)
        await putter.wait()
    assert await objects.list_objects("") == []
    assert await unfinished(in_s3) == 1
    now = datetime.now(UTC)
    assert await objects.abort_stale_uploads(before=now - timedelta(minutes=1)) == 0
    assert await objects.abort_stale_uploads(before=now + timedelta(minutes=1), prefix="other/") == 0
    await objects.put(f"{INCOMING}upl_1/0/film.mov", b"handed in for no job")
    assert await ObjectBlobs(objects).remove_unfinished(now - timedelta(days=14)) == 0
    assert await ObjectBlobs(objects).remove_unfinished(now + timedelta(minutes=1)) == 2
    assert (await unfinished(in_s3), await objects.list_objects("")) == (0, [])


async def test_a_key_in_the_url_is_not_mixed_with_a_token_of_the_environment(
    in_s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another key")
    await ObjectStore(in_s3).put("a", b"x")


KEYS = ("a/x", "a/y", "b/x", "b/z z", "c")


@pytest.mark.parametrize("engine_id", ENGINES)
@settings(max_examples=25, deadline=None)
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
async def test_it_does_what_a_plain_dict_does(
    actions: list[tuple[str, str, str, bytes]], tmp_path_factory: pytest.TempPathFactory, engine_id: str
) -> None:
    objects, plain = ObjectStore(place(engine_id, tmp_path_factory.mktemp("objects"))), dict[str, bytes]()
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
