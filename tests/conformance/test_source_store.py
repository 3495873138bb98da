"""The suite of `SourceStore`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.stores import SQL, database_url, store_opener

from matinee.drivers.sql import Database
from matinee.encoding.adapters.sources import SqlSourceStore
from matinee.encoding.adapters.sql import SqlJobStore
from matinee.encoding.ports import IngestedSource
from matinee.kit.ids import EpisodeId, JobId, TitleId

Opener = Callable[[], Awaitable[SqlSourceStore]]


class MigratedStore(SqlSourceStore):
    """The store, after the migration by the store of jobs."""

    @classmethod
    async def open(cls, database: Database) -> "MigratedStore":
        await SqlJobStore.open(database)
        return cls(database)


@pytest.fixture(params=SQL)
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    async with store_opener(MigratedStore, database_url(request.param, tmp_path, "sources")) as opened:
        yield opened


async def test_last_saved_source_is_found_after_a_reopen(open_store: Opener) -> None:
    film = IngestedSource(title_id=TitleId("tit_a"), job_id=JobId("job_a"))
    part = IngestedSource(title_id=TitleId("tit_b"), episode_id=EpisodeId("epi_b"), job_id=JobId("job_b"))
    store = await open_store()
    for fingerprint, source in (("1", film), ("2", film), ("1", part)):
        await store.save(fingerprint=fingerprint, source=source)
    again = await open_store()
    assert [await again.find(fingerprint=each) for each in "123"] == [part, film, None]
