"""One profile's look at the catalogue, here and now: every card of a screen is made by it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from matinee.catalogue.api import Catalogue, Genre, Title
from matinee.gateway.api import Billboard, Card, Progress, Row
from matinee.gateway.model import presentation
from matinee.identity.api import Profile
from matinee.kit import log
from matinee.kit.context import current
from matinee.kit.ids import TitleId
from matinee.kit.page import Page
from matinee.kit.problem import DeadlineExceeded
from matinee.viewing.api import Position, Viewing

T = TypeVar("T")
_log = log.get()
ROW_LENGTH = 20
SIMILAR = 12


async def in_time(work: Awaitable[T], share: float = 1.0) -> T:
    """The work, given up at the deadline, or after a share of the time until then. Raises DeadlineExceeded."""
    remaining_ms = current().remaining_ms()
    try:
        async with asyncio.timeout(None if remaining_ms is None else remaining_ms * share / 1000):
            return await work
    except TimeoutError as error:
        raise DeadlineExceeded(service="gateway") from error


async def part(name: str, work: Awaitable[T], missing: list[str], share: float = 1.0) -> T | None:
    """A part of a screen; one that fails is named in `missing` and the screen goes on without it.

    `share`: how much of the time it may take, so that one that hangs leaves time for those that come after it.
    """
    try:
        return await in_time(work, share)
    except Exception as error:  # whatever broke it, the rest of the screen is worth having
        _log.warning("screen.part_missing", part=name, error=repr(error))
        missing.append(name)
        return None


class ProfileCatalogue:
    """What one profile may see, in its language. `missing` gathers the parts that failed."""

    def __init__(
        self, *, catalogue: Catalogue, viewing: Viewing, profile: Profile, territory: str, now: datetime
    ) -> None:
        self._catalogue = catalogue
        self._viewing = viewing
        self._territory = territory
        self._now = now
        self._billboard: Billboard | None = None
        self.profile = profile

    async def continue_watching(self, positions: Sequence[Position]) -> Row:
        """The row of what was begun; a finished episode offers the next one."""
        titles = await self.titles([position.title_id for position in positions])
        offers = [
            (titles[position.title_id], presentation.going_on(titles[position.title_id], position))
            for position in positions
            if position.title_id in titles
        ]
        cards = [self.card(title, after) for title, after in offers if after is not None]
        return Row(row_id="continue-watching", kind="continue-watching", cards=cards)

    async def new(self) -> Row:
        """The row of what came last; the billboard is one of its titles."""
        page = await self.browse()
        self._billboard = self._chosen(page.items)
        return Row(row_id="new", kind="new", cards=[self.card(title) for title in page.items])

    async def by_genre(self, genre: Genre) -> Row:
        """The row of a genre."""
        page = await self.browse(genre_id=genre.genre_id)
        view = presentation.genre_view(genre, self.profile.language)
        cards = [self.card(title) for title in page.items]
        return Row(row_id=f"genre-{genre.genre_id}", kind="genre", genre=view, cards=cards)

    async def similar(self, title: Title) -> list[Card]:
        """Other titles that share a genre, those that share most first."""
        pages = await asyncio.gather(*(self.browse(genre_id=genre.genre_id) for genre in title.genres[:3]))
        own = {genre.genre_id for genre in title.genres}
        found = {other.title_id: other for page in pages for other in page.items if other.title_id != title.title_id}
        ranked = sorted(found.values(), key=lambda other: -len(own & {genre.genre_id for genre in other.genres}))
        return [self.card(other) for other in ranked[:SIMILAR]]

    async def browse(self, *, genre_id: str | None = None, cursor: str | None = None) -> Page[Title]:
        """Published titles fit for the profile, newest first."""
        return await self._catalogue.browse(
            territory=self._territory,
            maturity=self.profile.maturity,
            genre_id=genre_id,
            cursor=cursor,
            limit=ROW_LENGTH if cursor is None and genre_id is None else 2 * ROW_LENGTH,
        )

    async def titles(self, title_ids: Sequence[TitleId]) -> dict[TitleId, Title]:
        """Those of the titles that the profile may see."""
        if not title_ids:
            return {}
        found = await self._catalogue.titles(title_ids=list(dict.fromkeys(title_ids)))
        return {title.title_id: title for title in found if self.visible(title)}

    def visible(self, title: Title) -> bool:
        """Whether the profile may see a title."""
        return presentation.visible(title, self.profile, self._territory, self._now)

    def card(self, title: Title, progress: Progress | None = None) -> Card:
        """A title's card."""
        return presentation.card(title, self.profile.language, self._now, progress)

    def billboard(self) -> Billboard | None:
        """The title on top of the home page, where one has a backdrop."""
        return self._billboard

    async def seen(self, cards: Sequence[Card]) -> dict[TitleId, Progress]:
        """How far the profile is in the titles of these cards."""
        title_ids = list(dict.fromkeys(card.title_id for card in cards if card.progress is None))
        if not title_ids:
            return {}
        positions = await self._viewing.list_positions(
            account_id=self.profile.account_id, profile_id=self.profile.profile_id, title_ids=title_ids
        )
        newest: dict[TitleId, Progress] = {}
        for position in positions:
            newest.setdefault(position.title_id, presentation.progress(position, ()))
        return newest

    def _chosen(self, titles: Sequence[Title]) -> Billboard | None:
        title = presentation.billboard(titles, self._now.date())
        if title is None:
            return None
        synopsis = presentation.localised(title.synopses, self.profile.language, title.original_language)
        return Billboard(card=self.card(title), synopsis=synopsis)


def with_progress(cards: Sequence[Card], seen: dict[TitleId, Progress]) -> list[Card]:
    """The cards, each with how far the profile is; what a card says already stays."""
    return [
        msgspec.structs.replace(card, progress=seen[card.title_id])
        if card.progress is None and card.title_id in seen
        else card
        for card in cards
    ]
