"""Documents kept for short queries: how late a change may be found, and what is found while the index fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.search_rig import STRANGER, Rig, make_title

from matinee.kit.context import with_timeout
from matinee.search.adapters.tantivy import TantivyIndex
from matinee.search.api import IndexNotReady
from matinee.search.model.documents import NameDocument
from matinee.search.ports import NameQuery


class Index(TantivyIndex):
    """An index that fails, or answers late, and counts the searches."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.error: Exception | None = None
        self.delay_s = 0.0
        self.searches = 0

    async def find(self, query: NameQuery) -> list[NameDocument]:
        self.searches += 1
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return await super().find(query)


@pytest.fixture
async def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "search")


@pytest.fixture
async def rig(index: Index) -> Rig:
    rig = Rig(index, STRANGER)
    await rig.indexer.rebuild()
    return rig


async def test_a_short_query_is_looked_up_once_in_two_seconds(rig: Rig, index: Index) -> None:
    for _ in range(3):
        assert await rig.find_names("str") == ["Stranger Things"]
    assert index.searches == 1
    await rig.find_names("str", maturity=12)
    await rig.find_names("str", territory="FR")
    assert index.searches == 3
    for _ in range(2):
        await rig.find_names("stranger")
    assert index.searches == 5


async def test_a_new_title_is_found_after_two_seconds(rig: Rig) -> None:
    await rig.find("str")
    straits = make_title("Straits")
    rig.catalogue.stored[straits.title_id] = straits
    await rig.indexer.rebuild()
    rig.clock.advance(seconds=2.1)
    assert set(await rig.find_names("str")) == {"Stranger Things", "Straits"}


@pytest.mark.parametrize("error", [IndexNotReady(detail="gone"), OSError("gone"), None])
async def test_a_short_query_is_answered_while_the_index_fails(rig: Rig, index: Index, error: Exception | None) -> None:
    assert not (await rig.find("str")).partial
    index.error, index.delay_s = error, 0.0 if error else 30.0
    rig.clock.advance(minutes=59)
    with with_timeout(100):
        result = await rig.find("str")
    assert ([hit.name for hit in result.titles], result.partial) == (["Stranger Things"], True)
    index.error, index.delay_s = None, 0.0
    assert not (await rig.find("str")).partial


async def test_old_documents_are_used_for_an_hour(rig: Rig, index: Index) -> None:
    await rig.find("str")
    index.error = IndexNotReady(detail="gone")
    rig.clock.advance(minutes=61)
    with pytest.raises(IndexNotReady):
        await rig.find("str")
