"""Damage to the folder of tantivy's indexes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from matinee.kit.clock import ManualClock
from matinee.search.adapters.tantivy import TantivyIndex
from matinee.search.api import IndexNotReady
from matinee.search.model.documents import NameDocument
from matinee.search.model.fields import VERSION
from matinee.search.ports import NameQuery

NOW = ManualClock().now()
QUERY = NameQuery(forms=("dark",), territory="DE", maturity=18, now=NOW, limit=10)
DARK = NameDocument("tit_1", "title", "Dark", "dark", "en")


async def build(folder: Path) -> TantivyIndex:
    index = TantivyIndex(folder)
    new = await index.begin(now=NOW)
    await new.put({"tit_1": [DARK]})
    await new.finish()
    return index


def find_current(folder: Path) -> Path:
    (found,) = folder.glob("current-*.json")
    return found


def find_index(folder: Path) -> Path:
    (found,) = folder.glob("index-*")
    return found


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: find_current(folder).write_bytes(b""),
        lambda folder: find_current(folder).unlink(),
        lambda folder: find_current(folder).write_text('{"folder":"index-0","created_at":"2026-01-01T00:00:00Z"}'),
        lambda folder: (find_index(folder) / "meta.json").write_bytes(b"{"),
        lambda folder: shutil.rmtree(find_index(folder)),
        lambda folder: shutil.rmtree(folder),
    ],
)
async def test_a_damaged_index_is_missing_and_can_be_built_again(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    folder = tmp_path / "search"
    index = await build(folder)
    assert await index.find(QUERY) == [DARK]
    damage(folder)
    for each in (index, TantivyIndex(folder)):
        assert (await each.describe()).version == 0
        with pytest.raises(IndexNotReady):
            await each.find(QUERY)
    await build(folder)
    assert await index.find(QUERY) == [DARK]


async def test_damaged_files_are_noticed_by_the_first_search(tmp_path: Path) -> None:
    index = await build(tmp_path)
    assert await index.find(QUERY) == [DARK]
    for file in find_index(tmp_path).glob("*.term"):
        file.write_bytes(bytes(byte ^ 0xFF for byte in file.read_bytes()))
    again = TantivyIndex(tmp_path)
    with pytest.raises(IndexNotReady):
        await again.find(QUERY)
    assert (await again.describe()).version == 0
    await build(tmp_path)
    assert await again.find(QUERY) == [DARK]


async def test_what_a_killed_build_and_an_earlier_version_left_is_removed(tmp_path: Path) -> None:
    earlier = [tmp_path / name for name in (f"index-{VERSION}-1", "index-1-7", "index-")]
    for folder in earlier:
        folder.mkdir()
    later = tmp_path / f"index-{VERSION + 1}-1"
    later.mkdir()
    index = await build(tmp_path)
    assert [folder.exists() for folder in (*earlier, later)] == [False, False, False, True]
    assert await index.find(QUERY) == [DARK]
