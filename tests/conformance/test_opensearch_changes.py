"""Changes of the indexes in OpenSearch from outside: by other tools, and by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.engines import shared_engine

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.opensearch import OpenSearch
from matinee.kit.clock import ManualClock
from matinee.search.adapters.opensearch import OpenSearchIndex
from matinee.search.model.documents import NameDocument
from matinee.search.model.fields import VERSION
from matinee.search.ports import NameQuery

NOW = ManualClock().now()
QUERY = NameQuery(forms=("dark",), territory="DE", maturity=18, now=NOW, limit=10)
DARK = NameDocument("tit_1", "title", "Dark", "dark", "en")


class Indexes:
    """The indexes of a namespace, as a tool outside Matinee changes them."""

    def __init__(self, opensearch: OpenSearch) -> None:
        self._opensearch = opensearch
        self.alias = f"{opensearch.namespace}-search-{VERSION}"
        self.other = f"{opensearch.namespace}-other"

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        return await self._opensearch.request(method, path, body=b"" if body is None else msgspec.json.encode(body))

    async def list(self) -> list[str]:
        return sorted(await self.send("GET", f"/{self.alias}-*/_alias"))

    async def block(self, kind: str) -> None:
        (name,) = await self.list()
        await self.send("PUT", f"/{name}/_settings", {f"index.blocks.{kind}": True})

    async def close(self) -> None:
        (name,) = await self.list()
        await self.send("POST", f"/{name}/_close")

    async def name_another_one_too(self) -> None:
        await self.send("PUT", f"/{self.other}", {"aliases": {self.alias: {}}})

    async def name_another_one(self) -> None:
        (name,) = await self.list()
        await self.name_another_one_too()
        await self.send("DELETE", f"/{name}/_alias/{self.alias}")

    async def replace_the_alias_by_an_index(self) -> None:
        (name,) = await self.list()
        await self.send("DELETE", f"/{name}")
        await self.send("PUT", f"/{self.alias}", {})


@pytest.fixture
async def opensearch() -> AsyncIterator[OpenSearch]:
    async with OpenSearch(shared_engine("opensearch").url("search")) as opensearch:
        yield opensearch


@pytest.fixture
async def index(opensearch: OpenSearch) -> OpenSearchIndex:
    index = OpenSearchIndex(opensearch, ManualClock())
    await build(index)
    return index


@pytest.fixture
def indexes(opensearch: OpenSearch) -> Indexes:
    return Indexes(opensearch)


async def build(index: OpenSearchIndex) -> None:
    new = await index.begin(now=NOW)
    await new.put({"tit_1": [DARK]})
    await new.finish()


Change = Callable[[Indexes], Awaitable[None]]
CHANGES: tuple[Change, ...] = (
    Indexes.close,
    Indexes.name_another_one,
    Indexes.name_another_one_too,
    Indexes.replace_the_alias_by_an_index,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_an_index_that_cannot_be_used_counts_as_none_and_a_new_one_takes_its_place(
    index: OpenSearchIndex, indexes: Indexes, change: Change
) -> None:
    await change(indexes)
    assert (await index.describe()).version == 0
    await build(index)
    assert await index.find(QUERY) == [DARK]
    await index.put({"tit_1": []})
    assert await index.find(QUERY) == []
    status = await index.describe()
    assert (status.version, status.documents, status.created_at) == (VERSION, 0, NOW)
    assert len(await indexes.list()) == 1


async def test_a_new_index_stays_where_the_former_one_cannot_be_deleted(
    index: OpenSearchIndex, indexes: Indexes
) -> None:
    await indexes.block("read_only")
    for _ in range(3):
        await build(index)
        assert await index.find(QUERY) == [DARK]
        assert len(await indexes.list()) == 2


async def test_writes_wait_while_an_index_is_blocked_and_searches_answer(
    index: OpenSearchIndex, indexes: Indexes
) -> None:
    await indexes.block("write")
    with pytest.raises(EngineUnavailable, match="is blocked"):
        await index.put({"tit_1": []})
    assert await index.find(QUERY) == [DARK]
