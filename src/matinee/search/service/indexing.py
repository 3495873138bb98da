"""Indexing: keep the index as the catalogue is, and build it anew beside the present one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TypeAlias

from matinee.catalogue.api import Catalogue, Genre, Title
from matinee.events.api import Events, FactRecord, PlaybackStarted, TitleChanged, TitlePublished, TitleWithdrawn
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.ids import PersonId, ProfileId, TitleId
from matinee.kit.lru import LruCache
from matinee.mesh.executor.ports import Executor
from matinee.search.model.documents import (
    Credited,
    Group,
    NameDocument,
    add_credits,
    build_documents,
    is_over,
    list_groups,
    list_people,
)
from matinee.search.model.popularity import to_shares
from matinee.search.ports import NewIndex, PopularityStore, TextIndex

_log = log.get()
TITLE_FACTS = (TitlePublished, TitleWithdrawn, TitleChanged)
# Another instance of the catalogue may answer with a title as it was this long ago.
_STALE = timedelta(seconds=1)
_PAGE, _PEOPLE = 100, 1_000
_BUILD_LIMIT_S = 300.0
_POPULARITY_EVERY = timedelta(minutes=1)
# The profile that played a title, and when. So many are remembered.
_Play: TypeAlias = tuple[date, ProfileId, TitleId]
_REMEMBERED = 10_000


class Indexer:
    """Puts titles and people into the index."""

    def __init__(
        self,
        *,
        index: TextIndex,
        popularity: PopularityStore,
        catalogue: Catalogue,
        events: Events,
        clock: Clock,
        executor: Executor,
    ) -> None:
        self._index = index
        self._store = popularity
        self._catalogue = catalogue
        self._events = events
        self._clock = clock
        self._executor = executor
        self._requested = asyncio.Event()
        self._loaded_at: datetime | None = None
        self._reading: asyncio.Task[None] | None = None
        self._played = LruCache[_Play, bool](_REMEMBERED)
        self.popularity: Mapping[TitleId, float] = {}
        self.progress: float | None = None

    def request_rebuild(self) -> None:
        """Ask for a new index."""
        self._requested.set()

    async def wait_for_request(self, limit_s: float) -> bool:
        """Return True when a new index is requested, False after a time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._requested.wait()
        requested = self._requested.is_set()
        self._requested.clear()
        return requested

    async def is_missing(self) -> bool:
        """Return whether there is no index that can answer."""
        return (await self._index.describe()).version == 0

    async def handle(self, records: Sequence[FactRecord]) -> None:
        """Apply facts: changes of titles to the index, plays to their popularity.

        As far as it is remembered here, a profile counts once a day for a title: no viewer can make it popular.
        """
        changed: dict[TitleId, None] = {}
        played: dict[_Play, None] = {}
        for record in records:
            if isinstance(record.fact, PlaybackStarted):
                play = (record.at.date(), record.fact.profile_id, record.fact.title_id)
                if not self._played.get(play):
                    played[play] = None
            elif isinstance(record.fact, TITLE_FACTS):
                changed[record.fact.title_id] = None
        if changed:
            newest = max(record.at for record in records)
            await asyncio.sleep(max(0.0, min(1.0, (newest + _STALE - self._clock.now()).total_seconds())))
            await self.index_titles(list(changed))
        await self._store.add(Counter(title_id for _, _, title_id in played), now=self._clock.now())
        for play in played:
            self._played.put(play, True)

    def get_popularity(self) -> Mapping[TitleId, float]:
        """Return the popularity of titles, and read it again for later callers where it is older than a minute."""
        if self._is_popularity_old() and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._try_to_refresh())
        return self.popularity

    async def refresh_popularity(self) -> None:
        """Read the popularity of titles again, unless that was done less than a minute ago."""
        if self._is_popularity_old():
            now = self._loaded_at = self._clock.now()
            self.popularity = to_shares(await self._store.load(now=now))

    async def _try_to_refresh(self) -> None:
        try:
            await self.refresh_popularity()
        except Exception as error:  # the older values are as good as none
            _log.warning("search.popularity_not_read", error=repr(error))

    def _is_popularity_old(self) -> bool:
        age = None if self._loaded_at is None else self._clock.now() - self._loaded_at
        return age is None or not timedelta(0) <= age < _POPULARITY_EVERY

    async def index_titles(self, title_ids: list[TitleId]) -> None:
        """Index titles as they are now, and the people whom they credit or credited."""
        if await self.is_missing():
            return  # the new index reads all titles
        await self.refresh_popularity()
        for start in range(0, len(title_ids), _PAGE):
            await self._index_page(title_ids[start : start + _PAGE])

    async def _index_page(self, title_ids: list[TitleId]) -> None:
        before = await self._index.load_about(title_ids)
        titles = await self._catalogue.titles(title_ids=title_ids)
        documents: dict[str, list[NameDocument]] = {title_id: [] for title_id in title_ids}
        await self._index.put(documents | await self._build(titles=titles))
        people = {person_id for about in before.values() for person_id in about.people}
        people |= {person_id for title in titles for person_id in list_people(title)}
        await self._index_people(people)
        groups = _list_all_groups(titles)
        await self._index.put(await self._build(genres=await self._catalogue.genres(), groups=[*groups.values()]))

    async def _index_people(self, people: Iterable[PersonId]) -> None:
        titles_of: dict[PersonId, list[TitleId]] = {}
        for person_id in people:
            about = await self._index.list_about("people", person_id)
            titles_of[person_id] = [TitleId(document.owner) for document in about]
        needed = list(dict.fromkeys(title_id for ids in titles_of.values() for title_id in ids))
        found: dict[PersonId, Credited] = {}
        for start in range(0, len(needed), _PAGE):
            for title in await self._catalogue.titles(title_ids=needed[start : start + _PAGE]):
                add_credits(found, title, self._get_popularity(title))
        documents: dict[str, list[NameDocument]] = {person_id: [] for person_id in titles_of}
        credited = [found[person_id] for person_id in titles_of if person_id in found]
        await self._index.put(documents | await self._build(people=credited))

    async def rebuild(self) -> None:
        """Build a new index of every published title, which answers as soon as it is complete."""
        self.progress = 0.0
        try:
            self._loaded_at = None
            await self.refresh_popularity()
            cursor = await self._events.get_head()
            new = await self._index.begin(now=self._clock.now())
            try:
                await self._fill(new)
                await new.finish()
            except BaseException:
                await new.give_up()
                raise
            # Titles that changed meanwhile: those that were read before, and those put into the index before this one.
            await self._catch_up(cursor)
        finally:
            self.progress = None

    async def _fill(self, new: NewIndex) -> None:
        people: dict[PersonId, Credited] = {}
        groups: dict[str, Group] = {}
        await new.put(await self._build(genres=await self._catalogue.genres()))
        cursor: str | None = None
        count = 0
        while True:
            page = await self._catalogue.everything(cursor=cursor, limit=_PAGE)
            titles = [title for title in page.items if title.state == "published"]
            for title in titles:
                add_credits(people, title, self._get_popularity(title))
            groups |= _list_all_groups(titles)
            await new.put(await self._build(titles=titles))
            count += len(titles)
            # The number of titles is not known before the end.
            self.progress = count / (count + 1_000)
            cursor = page.next_cursor
            if cursor is None:
                break
        credited = list(people.values())
        for start in range(0, len(credited), _PEOPLE):
            await new.put(await self._build(people=credited[start : start + _PEOPLE]))
        named = list(groups.values())
        for start in range(0, len(named), _PEOPLE):
            await new.put(await self._build(groups=named[start : start + _PEOPLE]))
        _log.info("search.indexed", titles=count, people=len(people))

    async def _catch_up(self, cursor: str) -> None:
        types = tuple(kind.__name__ for kind in TITLE_FACTS)
        while True:
            batch = await self._events.read(after=cursor, types=types, limit=1_000)
            if not batch.entries:
                return
            await self.handle([entry.record for entry in batch.entries])
            cursor = batch.cursor

    async def _build(
        self,
        *,
        titles: Sequence[Title] = (),
        people: Sequence[Credited] = (),
        genres: Sequence[Genre] = (),
        groups: Sequence[Group] = (),
    ) -> dict[str, list[NameDocument]]:
        """Build documents in a worker process: it takes long, and the dictionaries take much memory."""
        now = self._clock.now()
        popular = [(title, self._get_popularity(title)) for title in titles if not is_over(title, now)]
        if not popular and not people and not genres and not groups:
            return {}
        entities = popular, [*people], [*genres], [*groups]
        return await self._executor.run(build_documents, *entities, limit_s=_BUILD_LIMIT_S)

    def _get_popularity(self, title: Title) -> float:
        return self.popularity.get(title.title_id, 0.0)


def _list_all_groups(titles: Iterable[Title]) -> dict[str, Group]:
    """Return the studios and franchises of titles by the owner of their documents.

    Their documents stay in the index until it is built anew: without titles that may be found they find nothing.
    """
    return {group.make_owner(): group for title in titles for group in list_groups(title)}
