"""The catalogue: rules, above a store of titles and a read model."""

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
)
from matinee.catalogue.model import rules
from matinee.catalogue.model.cursors import cursor_after, place_of
from matinee.catalogue.model.playing import check_offered, chosen_episode, episode_after
from matinee.catalogue.model.validation import check_artwork, check_asset, check_draft, check_limit, check_territory
from matinee.catalogue.ports import Change, Filter, Listed, ReadModel, Rule, TitleStore
from matinee.events.api import TitlePublished, TitleWithdrawn, new_record
from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, EpisodeId, TitleId
from matinee.kit.page import Page

BROWSE_LIMIT = 200
OPERATOR_LIMIT = 500


class CatalogueService:
    """Fulfils `catalogue.api.Catalogue`."""

    def __init__(self, *, store: TitleStore, read_model: ReadModel, clock: Clock) -> None:
        self._store = store
        self._read_model = read_model
        self._clock = clock

    async def put_title(self, *, draft: TitleDraft) -> Title:
        check_draft(draft)
        return await self._change(
            draft.title_id, lambda standing, _: _step(standing, rules.from_draft(draft, standing))
        )

    async def title(self, *, title_id: TitleId) -> Title:
        found = await self._read_model.titles([title_id])
        if title_id not in found:
            raise TitleNotFound(title_id=title_id)
        return found[title_id]

    async def titles(self, *, title_ids: list[TitleId]) -> list[Title]:
        found = await self._read_model.titles(title_ids)
        return [found[id_] for id_ in title_ids if id_ in found and found[id_].state == "published"]

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
        shown = Filter(territory=territory, maturity=maturity, now=self._clock.now(), genre_id=genre_id, kind=kind)
        return await self._page(await self._store.browse(shown, place_of(cursor), limit + 1), limit)

    async def everything(self, *, cursor: str | None = None, limit: int = 100) -> Page[Title]:
        check_limit(limit, OPERATOR_LIMIT)
        return await self._page(await self._store.everything(place_of(cursor), limit + 1), limit)

    async def genres(self) -> list[Genre]:
        return await self._store.genres()

    async def add_artwork(
        self, *, title_id: TitleId, artwork: list[Artwork], episode_id: EpisodeId | None = None
    ) -> Title:
        check_artwork(artwork)

        def rule(standing: Title | None, _: list[Asset]) -> Change | None:
            title = _there(standing, title_id)
            return _step(title, rules.with_artwork(title, artwork, episode_id))

        return await self._change(title_id, rule)

    async def attach_asset(self, *, asset: Asset) -> None:
        check_asset(asset)
        now = self._clock.now()

        def rule(standing: Title | None, current: list[Asset]) -> Change | None:
            title = _there(standing, asset.title_id)
            if asset in current:
                return None
            fact = TitlePublished(title_id=title.title_id, asset_id=asset.asset_id)
            records = [_record(fact, now)] if title.state == "published" else []
            return Change(title=rules.with_asset(title, asset, current), asset=asset, records=records)

        await self._change(asset.title_id, rule)

    async def asset(self, *, asset_id: AssetId) -> Asset:
        asset = await self._read_model.asset(asset_id)
        if asset is None:
            raise AssetNotFound(asset_id=asset_id)
        return asset

    async def publish(self, *, title_id: TitleId) -> Title:
        now = self._clock.now()

        def rule(standing: Title | None, _: list[Asset]) -> Change | None:
            title = _there(standing, title_id)
            fact = TitlePublished(title_id=title_id, asset_id=title.asset_id)
            return _turn(title, rules.published(title, now), fact, now)

        return await self._change(title_id, rule)

    async def withdraw(self, *, title_id: TitleId) -> Title:
        now = self._clock.now()

        def rule(standing: Title | None, _: list[Asset]) -> Change | None:
            title = _there(standing, title_id)
            return _turn(title, rules.withdrawn(title), TitleWithdrawn(title_id=title_id), now)

        return await self._change(title_id, rule)

    async def playable(self, *, title_id: TitleId, territory: str, episode_id: EpisodeId | None = None) -> Playable:
        title = await self.title(title_id=title_id)
        check_offered(title, territory, self._clock.now())
        episode = chosen_episode(title, episode_id)
        asset_id = title.asset_id if episode is None else episode.asset_id
        if asset_id is None or (asset := await self._read_model.asset(asset_id)) is None:
            raise NotPlayable(title_id=title_id)
        return Playable(
            title_id=title_id,
            names=title.names,
            original_language=title.original_language,
            maturity=title.maturity,
            asset=asset,
            episode=episode,
            next_episode=None if episode is None else episode_after(title, episode),
        )

    async def _change(self, title_id: TitleId, rule: Rule) -> Title:
        title = await self._store.change(title_id, rule, self._clock.now())
        await self._read_model.catch_up()
        return title

    async def _page(self, places: list[Listed], limit: int) -> Page[Title]:
        shown = places[:limit]
        cursor = cursor_after(shown[-1].at, shown[-1].title_id) if len(places) > limit else None
        return Page(items=await self._read_model.listed(shown), next_cursor=cursor)


def _there(standing: Title | None, title_id: TitleId) -> Title:
    if standing is None:
        raise TitleNotFound(title_id=title_id)
    return standing


def _step(standing: Title | None, title: Title) -> Change | None:
    return None if title == standing else Change(title=title)


def _turn(standing: Title, title: Title, fact: TitlePublished | TitleWithdrawn, now: datetime) -> Change | None:
    """A change of state, and the fact that tells of it; nothing where the state is as it was."""
    if title.state == standing.state:
        return None
    told = "published" in {title.state, standing.state}  # a draft that is withdrawn was never on offer
    return Change(title=title, records=[_record(fact, now)] if told else [])


def _record(fact: TitlePublished | TitleWithdrawn, now: datetime) -> bytes:
    return msgspec.json.encode(new_record(fact, key=fact.title_id, now=now))
