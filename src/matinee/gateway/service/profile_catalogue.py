"""The catalogue as one profile may see it, and the parts of screens made from it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import TypeVar

import msgspec

from matinee.catalogue.api import Catalogue, Genre, Title, choose_text
from matinee.gateway.api import Billboard, Card, Progress, Row
from matinee.gateway.model import presentation
from matinee.gateway.service.cards import Cards
from matinee.identity.api import Profile
from matinee.kit import log
from matinee.kit.context import current
from matinee.kit.ids import TitleId
from matinee.kit.page import Page
from matinee.kit.problem import DeadlineExceeded, Overloaded
from matinee.viewing.api import Position, Viewing

T = TypeVar("T")
_log = log.get()
ROW_LENGTH, PAGE_LENGTH = 20, 40
# Of a part that an overloaded service refuses.
TRIES = 6
SIMILAR = 12


async def within_deadline(work: Awaitable[T], share: float = 1.0) -> T:
    """Await work until the deadline, or for a share of the remaining time. Raises DeadlineExceeded."""
    remaining_ms = current().remaining_ms()
    try:
        async with asyncio.timeout(None if remaining_ms is None else remaining_ms * share / 1000):
            return await work
    except TimeoutError as error:
        raise DeadlineExceeded(service="gateway") from error


async def fetch_part(name: str, work: Callable[[], Awaitable[T]], missing: list[str], share: float = 1.0) -> T | None:
    """Fetch a part of a screen; if that fails, append its name to `missing` and return None.

    `share` is the share of the remaining time that it may take, so that others have time after it. A part that an
    overloaded service refuses is requested again.
    """
    for attempt in count(1):
        try:
            return await within_deadline(work(), share)
        except Exception as error:  # the rest of the screen is useful without this part
            if not isinstance(error, Overloaded) or attempt == TRIES:
                _log.warning("screen.part_missing", part=name, error=repr(error))
                missing.append(name)
                return None
            await asyncio.sleep(error.retry_after_ms / 1000 * attempt * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
    raise AssertionError("unreachable")


class ProfileCatalogue:
    """What one profile may see, in its language."""

    def __init__(
        self, *, catalogue: Catalogue, viewing: Viewing, cards: Cards, profile: Profile, territory: str, now: datetime
    ) -> None:
        self._catalogue = catalogue
        self._cards = cards
        self._viewing = viewing
        self._territory = territory
        self._now = now
        self.profile = profile
        self._newest: Sequence[Title] = ()
        self._shown: dict[TitleId, Title] = {}

    async def continue_watching(self, positions: Sequence[Position]) -> Row:
        """Return the row of titles in progress; after a finished episode it has the next one."""
        titles = await self.visible_titles([position.title_id for position in positions])
        found = [(titles[position.title_id], position) for position in positions if position.title_id in titles]
        progress = [(title, presentation.resume_progress(title, position)) for title, position in found]
        cards = [self.to_card(title, resumed) for title, resumed in progress if resumed is not None]
        return Row(row_id="continue-watching", kind="continue-watching", cards=cards)

    async def new(self) -> Row:
        """Return the row of the newest titles; the billboard is chosen from them."""
        page = await self.browse()
        self._newest = page.items
        return Row(row_id="new", kind="new", cards=[self.to_card(title) for title in page.items])

    async def by_genre(self, genre: Genre) -> Row:
        """Return the row of a genre."""
        page = await self.browse(genre_id=genre.genre_id)
        view = presentation.to_genre_view(genre, self.profile.language)
        cards = [self.to_card(title) for title in page.items]
        return Row(row_id=f"genre-{genre.genre_id}", kind="genre", genre=view, cards=cards)

    async def similar(self, title: Title) -> list[Card]:
        """Return other titles with a common genre, those with most in common first."""
        pages = await asyncio.gather(*(self.browse(genre_id=genre.genre_id) for genre in title.genres[:3]))
        own = {genre.genre_id for genre in title.genres}
        found = {other.title_id: other for page in pages for other in page.items if other.title_id != title.title_id}
        ranked = sorted(found.values(), key=lambda other: -len(own & {genre.genre_id for genre in other.genres}))
        return [self.to_card(other) for other in ranked[:SIMILAR]]

    async def browse(
        self, *, genre_id: str | None = None, cursor: str | None = None, limit: int = ROW_LENGTH
    ) -> Page[Title]:
        """Return published titles that the profile may see, newest first."""
        return await self._catalogue.browse(
            territory=self._territory,
            maturity=self.profile.maturity,
            genre_id=genre_id,
            cursor=cursor,
            limit=limit,
        )

    async def visible_titles(self, title_ids: Sequence[TitleId]) -> dict[TitleId, Title]:
        """Return those of the titles that the profile may see."""
        if not title_ids:
            return {}
        found = await self._catalogue.titles(title_ids=list(dict.fromkeys(title_ids)))
        return {title.title_id: title for title in found if self.is_visible(title)}

    def is_visible(self, title: Title) -> bool:
        """Return whether the profile may see a title."""
        return presentation.is_visible(title, self.profile, self._territory, self._now)

    def to_card(self, title: Title, progress: Progress | None = None) -> Card:
        """Convert a title to a card."""
        self._shown[title.title_id] = title
        card = self._cards.get(title, self.profile.language)
        return presentation.personalise(card, title, self.profile, self._now, progress)

    def add_progress(self, cards: Sequence[Card], last: Mapping[TitleId, Position]) -> list[Card]:
        """Return cards that were made here with the profile's progress; those that have one keep it."""
        return [
            msgspec.structs.replace(card, progress=self._find_progress(last[card.title_id]))
            if card.progress is None and card.title_id in last
            else card
            for card in cards
        ]

    async def fetch_last_positions(self, cards: Sequence[Card]) -> dict[TitleId, Position]:
        """Return the profile's newest position in each title of the cards."""
        title_ids = list(dict.fromkeys(card.title_id for card in cards))
        if not title_ids:
            return {}
        positions = await self._viewing.list_positions(
            account_id=self.profile.account_id, profile_id=self.profile.profile_id, title_ids=title_ids
        )
        return {position.title_id: position for position in reversed(positions)}

    def _find_progress(self, last: Position) -> Progress | None:
        """Return the progress of a card: for a series, in the episode that it goes on with."""
        title = self._shown[last.title_id]
        return (
            presentation.to_progress(last, title) if title.kind == "film" else presentation.resume_progress(title, last)
        )

    def choose_billboard(self, last: Mapping[TitleId, Position]) -> Billboard | None:
        """Choose the billboard from the newest titles; `last` has the profile's positions."""
        title = presentation.select_billboard(self._newest, self._now.date(), last)
        if title is None:
            return None
        synopsis = choose_text(title.synopses, [self.profile.language], title.original_language)
        return Billboard(card=self.to_card(title), synopsis=synopsis)
