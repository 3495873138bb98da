"""Search over titles in memory, on a real index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from matinee.catalogue.api import Credit, Genre, Person, RightsWindow, Title
from matinee.events.api import (
    AnyFact,
    Batch,
    Entry,
    PlaybackStarted,
    new_record,
)
from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.ids import AccountId, AssetId, DeviceId, PersonId, PlaySessionId, ProfileId, TitleId
from matinee.kit.page import Page
from matinee.search.adapters.tantivy import TantivyIndex
from matinee.search.api import RuleKind, SearchResult, SearchRule
from matinee.search.model.affinity import Affinity, add_plays
from matinee.search.service import Affinities, Browser, Editor, Indexer, SearchService

THRILLER = Genre(genre_id="thriller", names={"en": "Thriller", "de": "Krimi"})
ANA = Person(person_id=ids.derive(PersonId, "ana"), names={"en": "Ana Torres"})


def make_title(name: str, **more: Any) -> Title:
    fields = {"names": {"en": name}, "rights": [RightsWindow()], "state": "published", "genres": [THRILLER], **more}
    return Title(title_id=ids.derive(TitleId, name), kind="film", original_language="en", **fields)


class FakeCatalogue:
    """Titles by id; `on_page` runs whenever a page of all titles was read."""

    def __init__(self, *titles: Title) -> None:
        self.stored = {title.title_id: title for title in titles}
        self.on_page: Callable[[], None] = lambda: None

    async def titles(self, *, title_ids: list[TitleId]) -> list[Title]:
        found = [self.stored[title_id] for title_id in title_ids if title_id in self.stored]
        return [title for title in found if title.state == "published"]

    async def everything(self, *, cursor: str | None = None, limit: int = 100) -> Page[Title]:
        titles = list(self.stored.values())
        start = int(cursor or 0)
        page = Page(
            items=titles[start : start + limit], next_cursor=str(start + limit) if start + limit < len(titles) else None
        )
        self.on_page()
        return page

    async def genres(self) -> list[Genre]:
        return list({genre.genre_id: genre for title in self.stored.values() for genre in title.genres}.values())


class FakeEvents:
    """A log whose cursors are numbers."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, clock: ManualClock, fact: AnyFact) -> None:
        record = new_record(fact, key="k", now=clock.now())
        self.entries.append(Entry(offset=str(len(self.entries)), record=record))

    async def get_head(self) -> str:
        return str(len(self.entries))

    async def read(self, *, after: str, limit: int = 500, types: tuple[str, ...] = ()) -> Batch:
        found = [e for e in self.entries[int(after) :] if type(e.record.fact).__name__ in types][:limit]
        return Batch(entries=found, cursor=str(len(self.entries)))


class FakePopularity:
    """Plays by title."""

    def __init__(self) -> None:
        self.plays: dict[TitleId, float] = {}

    async def add(self, plays: dict[TitleId, int], *, now: object) -> None:
        for title_id, count in plays.items():
            self.plays[title_id] = self.plays.get(title_id, 0) + count

    async def load(self, *, now: object) -> dict[TitleId, float]:
        return dict(self.plays)


class FakeAffinityStore:
    """Affinities by profile; older plays count as newer ones do."""

    def __init__(self) -> None:
        self.affinities: dict[ProfileId, Affinity] = {}

    async def add(self, plays: dict[ProfileId, list[list[str]]], *, now: object) -> None:
        for profile_id, genres in plays.items():
            self.affinities[profile_id] = add_plays(self.affinities.get(profile_id, {}), genres)

    async def load(self, profile_id: ProfileId, *, now: object) -> Affinity:
        return self.affinities.get(profile_id, {})

    async def remove(self, profile_ids: list[ProfileId]) -> None:
        for profile_id in profile_ids:
            self.affinities.pop(profile_id, None)


class FakeRuleStore:
    """Rules in memory."""

    def __init__(self) -> None:
        self.rules: dict[tuple[str, str], SearchRule] = {}

    async def put(self, folded: str, rule: SearchRule, *, limit: int) -> bool:
        key = (type(rule).__name__.lower(), folded)
        if key not in self.rules and len(self.rules) >= limit:
            return False
        self.rules[key] = rule
        return True

    async def remove(self, folded: str, kind: RuleKind) -> bool:
        return self.rules.pop((kind, folded), None) is not None

    async def load(self) -> list[SearchRule]:
        return [self.rules[key] for key in sorted(self.rules)]


class ThisProcess:
    """Runs functions in this process."""

    async def run(self, function: Callable[..., Any], *args: Any, limit_s: float | None = None) -> Any:
        return function(*args)


class Rig:
    """Search over titles in memory."""

    def __init__(self, folder: Path | TantivyIndex, *titles: Title) -> None:
        self.clock = ManualClock()
        self.catalogue = FakeCatalogue(*titles)
        self.events = FakeEvents()
        self.popularity = FakePopularity()
        index = TantivyIndex(folder) if isinstance(folder, Path) else folder
        self.indexer = Indexer(
            index=index,
            popularity=cast(Any, self.popularity),
            catalogue=cast(Any, self.catalogue),
            events=cast(Any, self.events),
            clock=self.clock,
            executor=ThisProcess(),
        )
        self.affinities = Affinities(store=cast(Any, FakeAffinityStore()), index=index, clock=self.clock)
        self.browser = Browser(index=index, clock=self.clock)
        self.rules = FakeRuleStore()
        self.editor = Editor(store=self.rules, clock=self.clock, max_rules=3)
        self.search = SearchService(
            index=index, indexer=self.indexer, affinities=self.affinities, editor=self.editor, clock=self.clock
        )

    async def find(self, query: str, **more: Any) -> SearchResult:
        return await self.search.find(**{"query": query, "territory": "DE", **more})

    async def find_names(self, query: str, **more: Any) -> list[str]:
        return [hit.name for hit in (await self.find(query, **more)).titles]

    async def handle(self, *facts: AnyFact) -> None:
        records = [new_record(fact, key="k", now=self.clock.now()) for fact in facts]
        self.clock.advance(seconds=2)
        await self.indexer.handle(records)
        await self.affinities.handle(records)

    def play(self, title: Title, profile_id: ProfileId | None = None) -> PlaybackStarted:
        now = self.clock.now()
        return PlaybackStarted(
            session_id=ids.generate(PlaySessionId, now),
            account_id=ids.generate(AccountId, now),
            profile_id=profile_id or ids.generate(ProfileId, now),
            device_id=ids.generate(DeviceId, now),
            title_id=title.title_id,
            asset_id=ids.generate(AssetId, now),
        )


STRANGER = make_title("Stranger Things", credits=[Credit(person=ANA, role="cast", character="Nancy")], year=2016)
STRAYS = make_title("Strays", maturity=18, genres=[])
GERMAN = make_title("Strand", rights=[RightsWindow(territory="FR")])
HIDDEN = make_title("Strange Draft", state="draft")
