"""Affinities: follow what profiles play, and give their searches what they need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from matinee.events.api import FactRecord, PlaybackStarted, ProfileRemoved
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.ids import ProfileId
from matinee.kit.lru import LruCache
from matinee.search.api import IndexNotReady
from matinee.search.model.affinity import Affinity
from matinee.search.ports import AffinityStore, TextIndex

_log = log.get()
_KEPT = 10_000
_KEPT_FOR = timedelta(minutes=1)
# A search waits no longer for an affinity: without one it is a little less personal.
_LOAD_LIMIT_S = 0.05


class Affinities:
    """The affinities of profiles; those of the last searches are in memory, for a minute."""

    def __init__(self, *, store: AffinityStore, index: TextIndex, clock: Clock) -> None:
        self._store = store
        self._index = index
        self._clock = clock
        self._kept = LruCache[ProfileId, tuple[datetime, Affinity]](_KEPT)

    async def get(self, profile_id: ProfileId | None) -> Affinity:
        """Return the affinity of a profile; an empty one if it cannot be read at once."""
        if profile_id is None:
            return {}
        now = self._clock.now()
        kept = self._kept.get(profile_id)
        if kept is not None and timedelta() <= now - kept[0] < _KEPT_FOR:
            return kept[1]
        try:
            async with asyncio.timeout(_LOAD_LIMIT_S):
                affinity = await self._store.load(profile_id, now=now)
        except Exception as error:
            _log.warning("search.affinity_not_read", error=repr(error))
            affinity = {} if kept is None else kept[1]
        self._kept.put(profile_id, (now, affinity))
        return affinity

    async def handle(self, records: Sequence[FactRecord]) -> None:
        """Count what profiles play, and forget the profiles that were removed.

        Not idempotent: a repeated fact counts twice, which an order of results tolerates.
        """
        removed = [record.fact.profile_id for record in records if isinstance(record.fact, ProfileRemoved)]
        played = [record.fact for record in records if isinstance(record.fact, PlaybackStarted)]
        await self._count([play for play in played if play.profile_id not in removed])
        await self._store.remove(removed)
        for profile_id in {*removed, *(play.profile_id for play in played)}:
            self._kept.drop(profile_id)

    async def _count(self, played: Sequence[PlaybackStarted]) -> None:
        try:
            about = await self._index.load_about(list({play.title_id for play in played}))
        except IndexNotReady:
            return  # these few plays are not worth a wait
        plays: dict[ProfileId, list[Sequence[str]]] = {}
        for play in played:
            if (document := about.get(play.title_id)) and document.genres:
                plays.setdefault(play.profile_id, []).append(document.genres)
        await self._store.add(plays, now=self._clock.now())
