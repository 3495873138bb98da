"""The background jobs of search; each runs until cancelled."""

from __future__ import annotations

from collections.abc import Sequence

from matinee.events.api import FactRecord, Follower, PlaybackStarted, ProfileRemoved, SearchEnded
from matinee.kit import log
from matinee.search.api import IndexBeingBuilt
from matinee.search.service.affinities import Affinities
from matinee.search.service.indexing import TITLE_FACTS, Indexer
from matinee.search.service.recording import Recorder

CONSUMER, VIEWERS_CONSUMER = "search.index", "search.viewers"
_GATHER_MS = 500
# How soon an index that was lost is noticed.
_CHECK_S = 10.0
_log = log.get()


async def follow_facts(indexer: Indexer, follower: Follower) -> None:
    """Keep the index as the catalogue is, and count plays."""
    types = (*TITLE_FACTS, PlaybackStarted)
    await follower.follow(consumer=CONSUMER, types=types, handle=indexer.handle, max_wait_ms=_GATHER_MS)


async def build_index(indexer: Indexer) -> None:
    """Build the index where there is none that can be read, and whenever that is requested."""
    requested = False
    while True:
        if requested or await indexer.is_missing():
            try:
                await indexer.rebuild()
            except IndexBeingBuilt:
                _log.info("search.built_elsewhere")
        requested = await indexer.wait_for_request(_CHECK_S)


async def rebuild_index(indexer: Indexer) -> None:
    """Ask for a new index, in which all popularities are those of now."""
    indexer.request_rebuild()


async def follow_viewers(recorder: Recorder, affinities: Affinities, follower: Follower) -> None:
    """Count what viewers search for, and which genres they watch."""

    async def handle(records: Sequence[FactRecord]) -> None:
        await recorder.handle(records)
        await affinities.handle(records)

    types = (SearchEnded, PlaybackStarted, ProfileRemoved)
    await follower.follow(consumer=VIEWERS_CONSUMER, types=types, handle=handle, max_wait_ms=_GATHER_MS)


async def remove_old_queries(recorder: Recorder) -> None:
    """Delete the counts of queries that are older than they are kept."""
    await recorder.remove_old()
