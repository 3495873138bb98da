"""The registration of search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from matinee.catalogue.api import Catalogue
from matinee.events.api import Events, Follower
from matinee.mesh.hosting.domain import Domain, Wiring
from matinee.search.api import Search

if TYPE_CHECKING:
    from matinee.search.ports import TextIndex


class SearchSection(msgspec.Struct, frozen=True, kw_only=True):
    """Search. `index`: a folder of tantivy, which the instances of a machine share, or `opensearch://HOST:PORT`, which
    those of several machines share; `store` has the counts.

    It counts plays of titles, by genres those of profiles, and what viewers search for.
    """

    index: str = "tantivy://{data}/search"
    store: str = "sqlite:///{data}/search.db"


async def _build(wiring: Wiring[SearchSection]) -> Search:
    from matinee.search import jobs
    from matinee.search.adapters.sql_affinity import SqlAffinityStore
    from matinee.search.adapters.sql_popularity import SqlPopularityStore
    from matinee.search.adapters.sql_queries import SqlQueryLog
    from matinee.search.adapters.sql_rules import SqlRuleStore
    from matinee.search.service import Affinities, Browser, Editor, Indexer, Recorder, ReportingSearchService, Trending

    index = await _open_index(wiring)
    database = await wiring.database("store", has_short_rows=True)
    indexer = Indexer(
        index=index,
        popularity=await SqlPopularityStore.open(database),
        catalogue=wiring.client(Catalogue),
        events=wiring.client(Events),
        clock=wiring.clock,
        executor=wiring.executor,
    )
    affinities = Affinities(store=await SqlAffinityStore.open(database), index=index, clock=wiring.clock)
    editor = Editor(store=await SqlRuleStore.open(database), clock=wiring.clock)
    log = await SqlQueryLog.open(database)
    recorder = Recorder(log=log, index=index, events=wiring.client(Events), clock=wiring.clock)
    wiring.add_job(jobs.follow_facts, indexer, wiring.get_provided(Follower))
    wiring.add_job(jobs.build_index, indexer)
    wiring.add_job(jobs.follow_viewers, recorder, affinities, wiring.get_provided(Follower))
    wiring.add_schedule("@every 24h", jobs.rebuild_index, indexer)
    wiring.add_schedule("@every 24h", jobs.remove_old_queries, recorder)
    trending = Trending(log=log, index=index, clock=wiring.clock)
    return ReportingSearchService(
        index=index,
        indexer=indexer,
        affinities=affinities,
        editor=editor,
        clock=wiring.clock,
        recorder=recorder,
        trending=trending,
        browser=Browser(index=index, clock=wiring.clock),
    )


async def _open_index(wiring: Wiring[SearchSection]) -> TextIndex:
    if wiring.scheme("index") == "opensearch":
        from matinee.search.adapters.opensearch import OpenSearchIndex

        return OpenSearchIndex(await wiring.opensearch("index"), wiring.clock)
    if wiring.scheme("index") != "tantivy":
        raise wiring.make_unsupported("index", "tantivy or opensearch")
    from matinee.search.adapters.tantivy import TantivyIndex

    return TantivyIndex(Path(wiring.settings.index.removeprefix("tantivy://")))


DOMAIN = Domain(
    name="search", section=SearchSection, protocol=Search, needs=(Catalogue, Events), build=_build, store="store"
)
