"""Composes each screen: its parts are fetched concurrently under one deadline, failed parts are left out and named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from matinee.catalogue.api import Catalogue, Genre, NotAvailable, Title, TitleNotFound, choose_text
from matinee.gateway.api import Card, GenreScreen, HistoryEntry, HistoryScreen, HomeScreen, Row, TitleScreen
from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.model import presentation
from matinee.gateway.service.profile_catalogue import PAGE_LENGTH, ProfileCatalogue, fetch_part, within_deadline
from matinee.identity.api import Identity
from matinee.kit.clock import Clock
from matinee.kit.context import with_timeout
from matinee.kit.ids import AccountId, ProfileId, TitleId
from matinee.playback.api import TooMature
from matinee.viewing.api import Position, Viewing

# A child's home page has fewer rows.
GENRE_ROWS, CHILD_GENRE_ROWS = 8, 3
# The share of the remaining time for optional parts, so that the screen can be completed without them.
_PART_SHARE, _ROWS_SHARE = 0.4, 0.7


class Screens:
    """Home, title page, genre and history, in the profile's language and within its maturity level."""

    def __init__(
        self,
        *,
        identity: Identity,
        catalogue: Catalogue,
        viewing: Viewing,
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

    async def home(self, *, account_id: AccountId, profile_id: ProfileId) -> HomeScreen:
        """Return billboard, continue watching, new titles and the largest genres. Raises ProfileNotFound."""
        missing: list[str] = []
        with with_timeout(self._deadline_ms):
            positions = self._viewing.continue_watching(account_id=account_id, profile_id=profile_id)
            catalogue, started, genres = await asyncio.gather(
                self._open_catalogue(account_id, profile_id),
                fetch_part("continue-watching", positions, missing, _PART_SHARE),
                fetch_part("genres", self._catalogue.genres(), missing, _PART_SHARE),
            )
            rows = await _fetch_rows(catalogue, started or [], genres or [], missing)
            cards = [card for row in rows for card in row.cards]
            last = await fetch_part("progress", catalogue.fetch_last_positions(cards), missing) or {}
        rows = [msgspec.structs.replace(row, cards=catalogue.add_progress(row.cards, last)) for row in rows]
        return HomeScreen(rows=rows, billboard=catalogue.choose_billboard(last), missing=missing)

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
            last = await fetch_part("progress", catalogue.fetch_last_positions(cards), []) or {}
        view = presentation.to_genre_view(genre, catalogue.profile.language)
        return GenreScreen(genre=view, cards=catalogue.add_progress(cards, last), next_cursor=page.next_cursor)

    async def title(self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> TitleScreen:
        """Return a title's page. Raises TitleNotFound, TooMature, NotAvailable, ProfileNotFound."""
        missing: list[str] = []
        with with_timeout(self._deadline_ms):
            progress = self._viewing.list_positions(account_id=account_id, profile_id=profile_id, title_ids=[title_id])
            catalogue, title, positions = await asyncio.gather(
                self._open_catalogue(account_id, profile_id),
                within_deadline(self._catalogue.title(title_id=title_id)),
                fetch_part("progress", progress, missing, _PART_SHARE),
            )
            self._authorize(title, catalogue)
            similar = await fetch_part("more-like-this", catalogue.similar(title), missing)
        return _to_title_screen(catalogue, title, positions or [], similar or [], missing)

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
    parts = {
        "continue-watching": catalogue.continue_watching(positions),
        "new": catalogue.new(),
        **{f"genre-{genre.genre_id}": catalogue.by_genre(genre) for genre in genres[:limit]},
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
