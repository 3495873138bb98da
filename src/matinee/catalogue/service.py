"""The catalogue service: applies rules to the title store and reads from the read model."""

from __future__ import annotations

from datetime import datetime

import msgspec

from matinee.catalogue.api import (
    Artwork,
    Asset,
    AssetNotFound,
    Genre,
    Kind,
    NotPlayable,
    Playable,
    Title,
    TitleDraft,
    TitleNotFound,
    find_next_episode,
)
from matinee.catalogue.model import rules
from matinee.catalogue.model.playing import check_available, choose_episode
from matinee.catalogue.model.validation import check_artwork, check_asset, check_draft, check_limit, check_territory
from matinee.catalogue.ports import Change, ListEntry, ReadModel, Rule, TitleFilter, TitleStore
from matinee.events.api import TitleChanged, TitlePublished, TitleWithdrawn, new_record
from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, EpisodeId, TitleId
from matinee.kit.page import Page, make_cursor, parse_cursor
from matinee.kit.structs import build_from

BROWSE_LIMIT = 200
OPERATOR_LIMIT = 500


class CatalogueService:
    """Implements `catalogue.api.Catalogue`."""

    def __init__(self, *, store: TitleStore, read_model: ReadModel, clock: Clock) -> None:
        self._store = store
        self._read_model = read_model
        self._clock = clock

    async def put_title(self, *, draft: TitleDraft) -> Title:
        check_draft(draft)

        def rule(current: Title | None, _: list[Asset]) -> Change | None:
            return self._edit(current, rules.apply_draft(draft, current))

        return await self._change(draft.title_id, rule)

    async def title(self, *, title_id: TitleId) -> Title:
        found = await self._read_model.titles([title_id])
        if title_id not in found:
            raise TitleNotFound(title_id=title_id)
        return found[title_id]

    async def titles(self, *, title_ids: list[TitleId]) -> list[Title]:
        found = await self._read_model.titles(title_ids)
        return [found[title_id] for title_id in title_ids if title_id in found and found[title_id].state == "published"]

    async def browse(
        self,
        *,
        territory: str,
        maturity: int = 18,
        genre_id: str | None = None,
        kind: Kind | None = None,
        cursor: str | None = None,
        limit: int = 40,
    ) -> Page[Title]:
        check_territory(territory)
        check_limit(limit, BROWSE_LIMIT)
        now = self._clock.now()
        wanted = TitleFilter(territory=territory, maturity=maturity, now=now, genre_id=genre_id, kind=kind)
        return await self._load_page(await self._read_model.browse(wanted, _parse_position(cursor), limit + 1), limit)

    async def everything(self, *, cursor: str | None = None, limit: int = 100) -> Page[Title]:
        check_limit(limit, OPERATOR_LIMIT)
        return await self._load_page(await self._store.everything(_parse_position(cursor), limit + 1), limit)

    async def genres(self) -> list[Genre]:
        return await self._read_model.genres()

    async def add_artwork(
        self, *, title_id: TitleId, artwork: list[Artwork], episode_id: EpisodeId | None = None
    ) -> Title:
        check_artwork(artwork)

        def rule(current: Title | None, _: list[Asset]) -> Change | None:
            title = _require(current, title_id)
            return self._edit(title, rules.add_artwork(title, artwork, episode_id))

        return await self._change(title_id, rule)

    async def attach_asset(self, *, asset: Asset) -> None:
        check_asset(asset)

        def rule(current: Title | None, assets: list[Asset]) -> Change | None:
            title = _require(current, asset.title_id)
            if asset in assets:
                return None
            facts: list[TitleChanged | TitlePublished] = [TitleChanged(title_id=title.title_id, aspects=("assets",))]
            if title.state == "published":
                facts.append(TitlePublished(title_id=title.title_id, asset_id=asset.asset_id))
            changed = rules.attach_asset(title, asset, assets)
            return Change(title=changed, asset=asset, records=[self._record(fact) for fact in facts])

        await self._change(asset.title_id, rule)

    async def asset(self, *, asset_id: AssetId) -> Asset:
        asset = await self._read_model.asset(asset_id)
        if asset is None:
            raise AssetNotFound(asset_id=asset_id)
        return asset

    async def publish(self, *, title_id: TitleId) -> Title:
        def rule(current: Title | None, _: list[Asset]) -> Change | None:
            title = _require(current, title_id)
            published = rules.publish(title, self._clock.now())
            if title.state == "published":
                return None
            fact = TitlePublished(title_id=title_id, asset_id=title.asset_id)
            return Change(title=published, records=[self._record(fact)])

        return await self._change(title_id, rule)

    async def withdraw(self, *, title_id: TitleId) -> Title:
        def rule(current: Title | None, _: list[Asset]) -> Change | None:
            title = _require(current, title_id)
            if title.state == "withdrawn":
                return None
            # A draft was never published, so its withdrawal is of no interest to others.
            records = [self._record(TitleWithdrawn(title_id=title_id))] if title.state == "published" else []
            return Change(title=rules.withdraw(title), records=records)

        return await self._change(title_id, rule)

    async def playable(
        self,
        *,
        title_id: TitleId,
        territory: str,
        episode_id: EpisodeId | None = None,
        last_episode_id: EpisodeId | None = None,
        last_finished: bool = False,
    ) -> Playable:
        title = await self.title(title_id=title_id)
        check_available(title, territory, self._clock.now())
        episode = choose_episode(title, episode_id, last_episode_id, last_finished=last_finished)
        asset_id = title.asset_id if episode is None else episode.asset_id
        if asset_id is None or (asset := await self._read_model.asset(asset_id)) is None:
            raise NotPlayable(title_id=title_id)
        next_episode = None if episode is None else find_next_episode(title, episode.episode_id)
        return build_from(title, Playable, asset=asset, episode=episode, next_episode=next_episode)

    async def _change(self, title_id: TitleId, rule: Rule) -> Title:
        title = await self._store.change(title_id, rule, self._clock.now())
        await self._read_model.catch_up()
        return title

    async def _load_page(self, entries: list[ListEntry], limit: int) -> Page[Title]:
        page = entries[:limit]
        cursor = make_cursor(page[-1].at, page[-1].title_id) if len(entries) > limit else None
        return Page(items=await self._read_model.load_entries(page), next_cursor=cursor)

    def _edit(self, current: Title | None, title: Title) -> Change | None:
        """Return a change with the fact that lists what was edited; None if the title is unchanged."""
        if title == current:
            return None
        fact = TitleChanged(title_id=title.title_id, aspects=rules.list_changed_aspects(current, title))
        return Change(title=title, records=[self._record(fact)])

    def _record(self, fact: TitleChanged | TitlePublished | TitleWithdrawn) -> bytes:
        return msgspec.json.encode(new_record(fact, key=fact.title_id, now=self._clock.now()))


def _parse_position(cursor: str | None) -> tuple[datetime, TitleId] | None:
    if cursor is None:
        return None
    at, (title_id,) = parse_cursor(cursor, 1)
    return at, TitleId(title_id)


def _require(title: Title | None, title_id: TitleId) -> Title:
    if title is None:
        raise TitleNotFound(title_id=title_id)
    return title
