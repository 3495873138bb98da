"""The conformance suite of `Blobs`: atomic writes, durability, resumable downloads."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines import shared_engine, slow_proxy

from matinee.drivers.objects import ObjectStore
from matinee.encoding.adapters.objects import ObjectBlobs

Opener = Callable[[], ObjectBlobs]
ENGINES = ("file", "s3")


def make_url(engine_id: str, folder: Path) -> str:
    """Return the URL of an empty store."""
    return f"file://{folder}/objects" if engine_id == "file" else shared_engine(engine_id).url("blobs")


@pytest.fixture(params=ENGINES)
def open_blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Return a function that opens the same store again."""
    url = make_url(request.param, tmp_path)
    return lambda: ObjectBlobs(ObjectStore(url))


async def test_object_survives_reopening(open_blobs: Opener) -> None:
    await open_blobs().put(key="a/b.bin", data=b"one")
    assert await open_blobs().get(key="a/b.bin") == b"one"
    assert await open_blobs().get_size(key="a/b.bin") == 3
    await open_blobs().put(key="a/b.bin", data=b"three")
    assert await open_blobs().get(key="a/b.bin") == b"three"


async def test_missing_object_is_none(open_blobs: Opener, tmp_path: Path) -> None:
    blobs = open_blobs()
    assert await blobs.get(key="none") is None
    assert await blobs.get_size(key="none") is None
    assert await blobs.fetch(key="none", into=tmp_path) is None
    await blobs.delete(prefix="none")


@pytest.mark.parametrize("move", [False, True])
async def test_file_is_stored_and_moved_on_request(open_blobs: Opener, tmp_path: Path, move: bool) -> None:
    film = tmp_path / "it's a film 🎬.mov"
    film.write_bytes(b"x" * 100_000)
    await open_blobs().put_file(key="sources/film.mov", path=film, move=move)
    local = await open_blobs().fetch(key="sources/film.mov", into=tmp_path)
    assert local is not None
    assert local.read_bytes() == b"x" * 100_000
    assert film.exists() is not move


@pytest.mark.parametrize("name", ['Été à l\'ombre "finale" 🎬 100%.mkv', "a+b&c=d?e#f~{g}.mov", "é" * 98 + ".mp4"])
async def test_key_may_contain_any_file_name(open_blobs: Opener, tmp_path: Path, name: str) -> None:
    blobs = open_blobs()
    film = tmp_path / "film"
    film.write_bytes(b"film")
    await blobs.put_file(key=f"uploads/upl_1/{name}", path=film)
    local = await blobs.fetch(key=f"uploads/upl_1/{name}", into=tmp_path)
    assert local is not None
    assert (local.read_bytes(), local.suffix) == (b"film", Path(name).suffix)
    await blobs.put_file(key="sources/2", path=local, copy_of=f"uploads/upl_1/{name}")
    assert await blobs.get(key="sources/2") == b"film"


async def test_object_is_copied_to_a_new_key(open_blobs: Opener, tmp_path: Path) -> None:
    blobs = open_blobs()
    await blobs.put(key="uploads/film.mov", data=b"film")
    local = await blobs.fetch(key="uploads/film.mov", into=tmp_path)
    assert local is not None
    await blobs.put_file(key="sources/film.mov", path=local, copy_of="uploads/film.mov", move=True)
    await blobs.delete(prefix="uploads/film.mov")
    assert await blobs.get_size(key="uploads/film.mov") is None
    again = await blobs.fetch(key="sources/film.mov", into=tmp_path)
    assert again is not None
    assert again.read_bytes() == b"film"


async def test_file_is_uploaded_where_the_object_to_copy_is_gone(open_blobs: Opener, tmp_path: Path) -> None:
    film = tmp_path / "film.mov"
    film.write_bytes(b"film")
    await open_blobs().put_file(key="sources/film.mov", path=film, copy_of="uploads/gone.mov")
    assert await open_blobs().get(key="sources/film.mov") == b"film"


async def test_only_objects_below_the_prefix_are_deleted(open_blobs: Opener) -> None:
    blobs = open_blobs()
    for key in ("assets/a/1", "assets/a/2", "assets/b/1", "assets/ab/1"):
        await blobs.put(key=key, data=b"x")
    await blobs.delete(prefix="assets/a/")
    assert [await blobs.get_size(key=key) for key in ("assets/a/1", "assets/a/2")] == [None, None]
    await blobs.delete(prefix="assets/b")
    assert [await blobs.get_size(key=key) for key in ("assets/b/1", "assets/ab/1")] == [None, 1]


async def test_free_space_is_positive_or_unlimited(open_blobs: Opener) -> None:
    free = await open_blobs().get_free_bytes()
    assert free is None or free > 0


async def test_large_file_is_downloaded_concurrently(open_blobs: Opener, tmp_path: Path) -> None:
    film, content = tmp_path / "film.mov", os.urandom(1 << 20) * 30
    film.write_bytes(content)
    blobs = open_blobs()
    await blobs.put_file(key="sources/film.mov", path=film)
    found = await asyncio.gather(*(blobs.fetch(key="sources/film.mov", into=tmp_path) for _ in range(4)))
    assert len(set(found)) == 1
    assert found[0] is not None
    assert found[0].read_bytes() == content


def count_partial_bytes(folder: Path) -> int:
    """Count the bytes of unfinished downloads."""
    return sum(path.stat().st_size for path in folder.glob("*.part"))


async def test_interrupted_download_resumes(tmp_path: Path) -> None:
    url, content = shared_engine("s3").url("blobs"), os.urandom(1 << 20) * 20
    blobs = ObjectBlobs(ObjectStore(url))
    await blobs.put(key="sources/film.mov", data=content)
    whole = await blobs.fetch(key="sources/film.mov", into=tmp_path)
    assert whole is not None
    whole.unlink()
    async with slow_proxy(url) as proxy:
        proxy.delay_s = 0.02
        remote = ObjectBlobs(ObjectStore(proxy.url, idle_timeout_s=20, attempts=1))
        fetching = asyncio.create_task(remote.fetch(key="sources/film.mov", into=tmp_path))
        while not count_partial_bytes(tmp_path):  # noqa: ASYNC110  # written by the download task
            await asyncio.sleep(0.01)
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        assert 0 < count_partial_bytes(tmp_path) < len(content)
        proxy.delay_s = 0
        again = await remote.fetch(key="sources/film.mov", into=tmp_path)
    assert again is not None
    assert again.read_bytes() == content
    assert count_partial_bytes(tmp_path) == 0


@pytest.mark.parametrize("engine_id", ENGINES)
@settings(max_examples=25)
@given(
    actions=st.lists(
        st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from(["a/x", "a/y", "b/x"]), st.binary(max_size=20))
    )
)
async def test_it_behaves_like_a_plain_dict(
    actions: list[tuple[str, str, bytes]], tmp_path_factory: pytest.TempPathFactory, engine_id: str
) -> None:
    url = make_url(engine_id, tmp_path_factory.mktemp("blobs"))
    blobs, plain = ObjectBlobs(ObjectStore(url)), dict[str, bytes]()
    for what, key, data in actions:
        if what == "put":
            await blobs.put(key=key, data=data)
            plain[key] = data
        else:
            await blobs.delete(prefix=key.partition("/")[0])
            plain = {name: kept for name, kept in plain.items() if not name.startswith(key.partition("/")[0] + "/")}
    for key in ("a/x", "a/y", "b/x"):
        assert await blobs.get(key=key) == plain.get(key)
