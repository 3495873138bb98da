"""Composes each screen: its parts are fetched concurrently under one deadline, failed parts are left out and named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from matinee.catalogue.api import Catalogue, Genre, NotAvailable, Title, TitleNotFound, choose_text
from matinee.gateway.api import Billboard, Card, GenreScreen, HistoryEntry, HistoryScreen, HomeScreen, Row, TitleScreen
from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.api.search import BrowseScreen, SearchScreen
from matinee.gateway.model import presentation
from matinee.gateway.service.cards import Cards
from matinee.gateway.service.last_homes import LastHomes
from matinee.gateway.service.profile_catalogue import PAGE_LENGTH, ProfileCatalogue, fetch_part, within_deadline
from matinee.gateway.service.search_screen import SearchPages
from matinee.identity.api import Identity
from matinee.kit.clock import Clock
from matinee.kit.context import with_timeout
from matinee.kit.ids import AccountId, ProfileId, TitleId
from matinee.playback.api import TooMature
from matinee.search.api import EndedSearch, Search
from matinee.viewing.api import Position, Viewing

# A child's home page has fewer rows.
GENRE_ROWS, CHILD_GENRE_ROWS = 8, 3
# How long an earlier page waits for the catalogue.
CHECK_MS = 500
# The share of the remaining time for optional parts, so that the screen can be completed without them.
_PART_SHARE, _ROWS_SHARE = 0.4, 0.7


class Screens:
    """Home, title page, genre, history and search, in the profile's language and within its maturity level."""

    def __init__(
        self,
        *,
        identity: Identity,
        catalogue: Catalogue,
        viewing: Viewing,
        search: Search,
        last_homes: LastHomes,
        clock: Clock,
        territory: str = "ZZ",
        deadline_ms: int = 2_000,
    ) -> None:
        self._identity = identity
        self._catalogue = catalogue
        self._viewing = viewing
        self._clock = clock
        self._territory = territory
        self._deadline_ms = deadline_ms
        self._last_homes = last_homes
        self._cards = Cards()
        self._search_pages = SearchPages(search=search, catalogue=catalogue, territory=territory)

    async def home(self, *, account_id: AccountId, profile_id: ProfileId) -> HomeScreen:
        """Return billboard, continue watching, new titles and the largest genres. Raises ProfileNotFound.

        Where parts cannot be fetched, return the last whole page, or what there is of it.
        """
        with with_timeout(self._deadline_ms):
            catalogue, screen = await self._compose_home(account_id, profile_id)
        now = self._clock.now()
        if not screen.missing:
            await self._last_homes.keep(catalogue.profile, screen, now)
            return screen
        earlier = await self._last_homes.find(catalogue.profile, now)
        return screen if earlier is None else await self._remove_hidden(earlier, screen.billboard, catalogue)

    async def _compose_home(self, account_id: AccountId, profile_id: ProfileId) -> tuple[ProfileCatalogue, HomeScreen]:
        missing: list[str] = []
        positions = partial(self._viewing.continue_watching, account_id=account_id, profile_id=profile_id)
        catalogue, started, genres = await asyncio.gather(
            self._open_catalogue(account_id, profile_id),
            fetch_part("continue-watching", positions, missing, _PART_SHARE),
            fetch_part("genres", self._catalogue.genres, missing, _PART_SHARE),
        )
        rows = await _fetch_rows(catalogue, started or [], genres or [], missing)
        cards = [card for row in rows for card in row.cards]
        last = await fetch_part("progress", partial(catalogue.fetch_last_positions, cards), missing) or {}
        rows = [msgspec.structs.replace(row, cards=catalogue.add_progress(row.cards, last)) for row in rows]
        return catalogue, HomeScreen(rows=rows, billboard=catalogue.choose_billboard(last), missing=missing)

    async def _remove_hidden(
        self, screen: HomeScreen, other: Billboard | None, catalogue: ProfileCatalogue
    ) -> HomeScreen:
        """Return an earlier page without what the profile may not see now, as far as the catalogue answers.

        The `other` billboard takes the place of one that may not be shown.
        """
        title_ids = [card.title_id for row in screen.rows for card in row.cards]
        if screen.billboard is not None:
            title_ids.append(screen.billboard.card.title_id)
        with with_timeout(CHECK_MS):
            visible = await fetch_part("check", partial(catalogue.visible_titles, title_ids), [])
        if visible is None:
            return screen
        rows = [
            msgspec.structs.replace(row, cards=[card for card in row.cards if card.title_id in visible])
            for row in screen.rows
        ]
        billboard = screen.billboard
        if billboard is not None and billboard.card.title_id not in visible:
            billboard = other
        return msgspec.structs.replace(screen, rows=[row for row in rows if row.cards], billboard=billboard)

    async def genre(
        self, *, account_id: AccountId, profile_id: ProfileId, genre_id: str, cursor: str | None = None
    ) -> GenreScreen:
        """Return the titles of a genre that the profile may see. Raises NoSuchPage, ProfileNotFound."""
        with with_timeout(self._deadline_ms):
            catalogue, genres = await asyncio.gather(
                self._open_catalogue(account_id, profile_id), within_deadline(self._catalogue.genres())
            )
            genre = next((genre for genre in genres if genre.genre_id == genre_id), None)
            if genre is None:
                raise NoSuchPage(detail="There is no such genre.")
            page = await within_deadline(catalogue.browse(genre_id=genre_id, cursor=cursor, limit=PAGE_LENGTH))
            cards = [catalogue.to_card(title) for title in page.items]
            last = await fetch_part("progress", partial(catalogue.fetch_last_positions, cards), []) or {}
        view = presentation.to_genre_view(genre, catalogue.profile.language)
        return GenreScreen(genre=view, cards=catalogue.add_progress(cards, last), next_cursor=page.next_cursor)

    async def title(self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> TitleScreen:
        """Return a title's page. Raises TitleNotFound, TooMature, NotAvailable, ProfileNotFound."""
        missing: list[str] = []
        with with_timeout(self._deadline_ms):
            progress = partial(
                self._viewing.list_positions, account_id=account_id, profile_id=profile_id, title_ids=[title_id]
            )
            catalogue, title, positions = await asyncio.gather(
                self._open_catalogue(account_id, profile_id),
                within_deadline(self._catalogue.title(title_id=title_id)),
                fetch_part("progress", progress, missing, _PART_SHARE),
            )
            self._authorize(title, catalogue)
            similar = await fetch_part("more-like-this", partial(catalogue.similar, title), missing)
        return _to_title_screen(catalogue, title, positions or [], similar or [], missing)

    async def search(self, *, account_id: AccountId, profile_id: ProfileId, query: str) -> SearchScreen:
        """Return what answers a query, of what the profile may see. Raises ProfileNotFound.

        Where the index does not answer, the page has the newest titles whose names begin with the query.
        """
        with with_timeout(self._deadline_ms):
            catalogue = await self._open_catalogue(account_id, profile_id)
            return await self._search_pages.compose(catalogue, query)

    async def browse(
        self, *, account_id: AccountId, profile_id: ProfileId, initial: str, cursor: str | None = None
    ) -> BrowseScreen:
        """Return the titles of an initial that the profile may see. Raises Invalid, IndexNotReady, ProfileNotFound."""
        with with_timeout(self._deadline_ms):
            catalogue = await self._open_catalogue(account_id, profile_id)
            return await self._search_pages.browse(catalogue, initial, cursor)

    async def record_search(self, *, account_id: AccountId, profile_id: ProfileId, search: EndedSearch) -> None:
        """Record a search that a profile ended. Raises ProfileNotFound."""
        with with_timeout(self._deadline_ms):
            viewer = await within_deadline(self._identity.viewer(account_id=account_id, profile_id=profile_id))
            await self._search_pages.record(viewer.profile, search)

    async def history(
        self, *, account_id: AccountId, profile_id: ProfileId, cursor: str | None = None
    ) -> HistoryScreen:
        """Return what was watched, newest first, without titles no longer visible. Raises ProfileNotFound."""
        with with_timeout(self._deadline_ms):
            history = self._viewing.list_history(account_id=account_id, profile_id=profile_id, cursor=cursor)
            catalogue, page = await asyncio.gather(
                self._open_catalogue(account_id, profile_id), within_deadline(history)
            )
            title_ids = [position.title_id for position in page.items]
            titles = await within_deadline(catalogue.visible_titles(title_ids))
        entries = [
            _to_entry(catalogue, titles[position.title_id], position)
            for position in page.items
            if position.title_id in titles
        ]
        return HistoryScreen(entries=entries, next_cursor=page.next_cursor)

    async def dismiss(self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> None:
        """Remove a title from continue watching and from the history."""
        await self._viewing.dismiss(account_id=account_id, profile_id=profile_id, title_id=title_id)

    async def _open_catalogue(self, account_id: AccountId, profile_id: ProfileId) -> ProfileCatalogue:
        viewer = await within_deadline(self._identity.viewer(account_id=account_id, profile_id=profile_id))
        return ProfileCatalogue(
            catalogue=self._catalogue,
            viewing=self._viewing,
            cards=self._cards,
            profile=viewer.profile,
            territory=self._territory,
            now=self._clock.now(),
        )

    def _authorize(self, title: Title, catalogue: ProfileCatalogue) -> None:
        if title.state != "published":
            raise TitleNotFound(title_id=title.title_id)
        if title.maturity > catalogue.profile.maturity:
            raise TooMature(maturity=title.maturity, profile_maturity=catalogue.profile.maturity)
        if not catalogue.is_visible(title):
            raise NotAvailable(title_id=title.title_id, territory=self._territory)


async def _fetch_rows(
    catalogue: ProfileCatalogue, positions: Sequence[Position], genres: Sequence[Genre], missing: list[str]
) -> list[Row]:
    limit = CHILD_GENRE_ROWS if catalogue.profile.kids else GENRE_ROWS
    parts: dict[str, Callable[[], Awaitable[Row]]] = {
        "continue-watching": partial(catalogue.continue_watching, positions),
        "new": catalogue.new,
        **{f"genre-{genre.genre_id}": partial(catalogue.by_genre, genre) for genre in genres[:limit]},
    }
    rows = await asyncio.gather(*(fetch_part(name, part, missing, _ROWS_SHARE) for name, part in parts.items()))
    return [row for row in rows if row is not None and row.cards]


def _to_title_screen(
    catalogue: ProfileCatalogue, title: Title, positions: Sequence[Position], similar: list[Card], missing: list[str]
) -> TitleScreen:
    language = catalogue.profile.language
    last = positions[0] if positions else None
    # Positions are newest first, so that of several for one episode the newest is kept.
    progress = {p.episode_id: presentation.to_progress(p, title) for p in reversed(positions) if p.episode_id}
    return TitleScreen(
        card=catalogue.to_card(title, presentation.to_progress(last, title) if last else None),
        synopsis=choose_text(title.synopses, [language], title.original_language),
        original_language=title.original_language,
        countries=title.countries,
        studios=title.studios,
        franchise=choose_text(title.franchise, [language], title.original_language),
        moods=[choose_text(mood.names, [language], "en") for mood in title.moods],
        credits=presentation.to_credit_views(title, language),
        audio_languages=title.audio_languages,
        subtitle_languages=title.subtitle_languages,
        seasons=presentation.to_seasons(title, progress, language),
        more_like_this=similar,
        play_episode_id=presentation.select_episode(title, last) if title.kind == "series" else None,
        missing=missing,
    )


def _to_entry(catalogue: ProfileCatalogue, title: Title, position: Position) -> HistoryEntry:
    progress = presentation.to_progress(position, title)
    return HistoryEntry(card=catalogue.to_card(title, progress), updated_at=position.updated_at)
