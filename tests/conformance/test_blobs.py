"""Every `Blobs`: whole objects or none, the same again after a reopen, and a full disk said as such."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.drivers.objects import Objects
from matinee.encoding.adapters.objects import ObjectBlobs

Opener = Callable[[], ObjectBlobs]


@pytest.fixture
def open_blobs(tmp_path: Path) -> Opener:
    """Opens the same store again."""
    return lambda: ObjectBlobs(Objects(f"file://{tmp_path}/objects"))


async def test_what_is_put_is_there_after_a_reopen(open_blobs: Opener) -> None:
    await open_blobs().put(key="a/b.bin", data=b"one")
    assert await open_blobs().get(key="a/b.bin") == b"one"
    assert await open_blobs().size(key="a/b.bin") == 3
    await open_blobs().put(key="a/b.bin", data=b"three")
    assert await open_blobs().get(key="a/b.bin") == b"three"


async def test_what_is_not_there_is_told_so(open_blobs: Opener, tmp_path: Path) -> None:
    blobs = open_blobs()
    assert await blobs.get(key="none") is None
    assert await blobs.size(key="none") is None
    assert await blobs.local(key="none", into=tmp_path) is None
    await blobs.delete(prefix="none")


@pytest.mark.parametrize("move", [False, True])
async def test_a_file_is_taken_in_whole(open_blobs: Opener, tmp_path: Path, move: bool) -> None:
    film = tmp_path / "it's a film 🎬.mov"
    film.write_bytes(b"x" * 100_000)
    await open_blobs().put_file(key="sources/film.mov", path=film, move=move)
    local = await open_blobs().local(key="sources/film.mov", into=tmp_path)
    assert local is not None
    assert local.read_bytes() == b"x" * 100_000
    assert film.exists() is not move


async def test_a_prefix_is_deleted_and_nothing_else(open_blobs: Opener) -> None:
    blobs = open_blobs()
    for key in ("assets/a/1", "assets/a/2", "assets/b/1"):
        await blobs.put(key=key, data=b"x")
    await blobs.delete(prefix="assets/a/")
    assert [await blobs.size(key=key) for key in ("assets/a/1", "assets/a/2", "assets/b/1")] == [None, None, 1]


async def test_the_room_that_is_left_is_told(open_blobs: Opener) -> None:
    free = await open_blobs().free_bytes()
    assert free is None or free > 0


@settings(max_examples=25, deadline=None)
@given(
    actions=st.lists(
        st.tuples(st.sampled_from(["put", "delete"]), st.sampled_from(["a/x", "a/y", "b/x"]), st.binary(max_size=20))
    )
)
async def test_it_does_what_a_plain_dict_does(
    actions: list[tuple[str, str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    blobs, plain = ObjectBlobs(Objects(f"file://{tmp_path_factory.mktemp('blobs')}/objects")), dict[str, bytes]()
    for what, key, data in actions:
        if what == "put":
            await blobs.put(key=key, data=data)
            plain[key] = data
        else:
            await blobs.delete(prefix=key.partition("/")[0])
            plain = {name: kept for name, kept in plain.items() if not name.startswith(key.partition("/")[0] + "/")}
    for key in ("a/x", "a/y", "b/x"):
        assert await blobs.get(key=key) == plain.get(key)
