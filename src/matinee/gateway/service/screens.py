"""One composed answer a screen: parts fetched at once under one deadline, a failed part left out and named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from matinee.catalogue.api import Catalogue, Genre, NotAvailable, Title, TitleNotFound
from matinee.gateway.api import Card, GenreScreen, HistoryEntry, HistoryScreen, HomeScreen, Row, TitleScreen
from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.model import presentation
from matinee.gateway.service.profile_catalogue import ProfileCatalogue, in_time, part, with_progress
from matinee.identity.api import Identity
from matinee.kit.clock import Clock
from matinee.kit.context import with_timeout
from matinee.kit.ids import AccountId, ProfileId, TitleId
from matinee.playback.api import TooMature
from matinee.viewing.api import Position, Viewing

GENRE_ROWS = 8
# What may be missing gets this much of the time that is left, so that the rest of the screen can still be made.
SHARE, ROWS_SHARE = 0.4, 0.7


class Screens:
    """Home, title page, genre and history, in the profile's language and within its maturity."""

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
        """Billboard, continue watching, new, and a row for each of the largest genres. Raises ProfileNotFound."""
        missing: list[str] = []
        with with_timeout(self._deadline_ms):
            visit, positions, genres = await asyncio.gather(
                self._visit(account_id, profile_id),
                part("continue-watching", self._begun(account_id, profile_id), missing, SHARE),
                part("genres", self._catalogue.genres(), missing, SHARE),
            )
            rows = await self._rows(visit, positions or [], genres or [], missing)
            seen = await part("progress", visit.seen([card for row in rows for card in row.cards]), missing)
        rows = [msgspec.structs.replace(row, cards=with_progress(row.cards, seen or {})) for row in rows]
        return HomeScreen(rows=rows, billboard=visit.billboard(), missing=missing)

    async def genre(
        self, *, account_id: AccountId, profile_id: ProfileId, genre_id: str, cursor: str | None = None
    ) -> GenreScreen:
        """Everything in a genre that the profile may see. Raises NoSuchPage, ProfileNotFound."""
        with with_timeout(self._deadline_ms):
            visit, genres = await asyncio.gather(self._visit(account_id, profile_id), in_time(self._catalogue.genres()))
            genre = next((genre for genre in genres if genre.genre_id == genre_id), None)
            if genre is None:
                raise NoSuchPage(detail="There is no such genre.")
            page = await in_time(visit.browse(genre_id=genre_id, cursor=cursor))
            cards = [visit.card(title) for title in page.items]
            seen = await part("progress", visit.seen(cards), [])
        view = presentation.genre_view(genre, visit.profile.language)
        return GenreScreen(genre=view, cards=with_progress(cards, seen or {}), next_cursor=page.next_cursor)

    async def title(self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> TitleScreen:
        """A title's page. Raises TitleNotFound, TooMature, NotAvailable, ProfileNotFound."""
        missing: list[str] = []
        with with_timeout(self._deadline_ms):
            visit, title, positions = await asyncio.gather(
                self._visit(account_id, profile_id),
                in_time(self._catalogue.title(title_id=title_id)),
                part("progress", self._progress(account_id, profile_id, title_id), missing, SHARE),
            )
            self._admit(title, visit)
            similar = await part("more-like-this", visit.similar(title), missing)
        return _page(visit, title, positions or [], similar or [], missing)

    async def history(
        self, *, account_id: AccountId, profile_id: ProfileId, cursor: str | None = None
    ) -> HistoryScreen:
        """What was watched, newest first; what may no longer be seen is left out. Raises ProfileNotFound."""
        with with_timeout(self._deadline_ms):
            visit, page = await asyncio.gather(
                self._visit(account_id, profile_id),
                in_time(self._viewing.list_history(account_id=account_id, profile_id=profile_id, cursor=cursor)),
            )
            titles = await in_time(visit.titles([position.title_id for position in page.items]))
        entries = [
            _entry(visit, titles[position.title_id], position) for position in page.items if position.title_id in titles
        ]
        return HistoryScreen(entries=entries, next_cursor=page.next_cursor)

    async def dismiss(self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> None:
        """Take a title out of continue watching."""
        await self._viewing.dismiss(account_id=account_id, profile_id=profile_id, title_id=title_id)

    async def _visit(self, account_id: AccountId, profile_id: ProfileId) -> ProfileCatalogue:
        viewer = await in_time(self._identity.viewer(account_id=account_id, profile_id=profile_id))
        return ProfileCatalogue(
            catalogue=self._catalogue,
            viewing=self._viewing,
            profile=viewer.profile,
            territory=self._territory,
            now=self._clock.now(),
        )

    async def _begun(self, account_id: AccountId, profile_id: ProfileId) -> list[Position]:
        return await self._viewing.continue_watching(account_id=account_id, profile_id=profile_id)

    async def _progress(self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> list[Position]:
        return await self._viewing.list_positions(account_id=account_id, profile_id=profile_id, title_ids=[title_id])

    async def _rows(
        self, visit: ProfileCatalogue, positions: Sequence[Position], genres: Sequence[Genre], missing: list[str]
    ) -> list[Row]:
        rows = await asyncio.gather(
            part("continue-watching", visit.continue_watching(positions), missing, ROWS_SHARE),
            part("new", visit.new(), missing, ROWS_SHARE),
            *(
                part(f"genre-{genre.genre_id}", visit.by_genre(genre), missing, ROWS_SHARE)
                for genre in genres[:GENRE_ROWS]
            ),
        )
        return [row for row in rows if row is not None and row.cards]

    def _admit(self, title: Title, visit: ProfileCatalogue) -> None:
        if title.state != "published":
            raise TitleNotFound(title_id=title.title_id)
        if title.maturity > visit.profile.maturity:
            raise TooMature(maturity=title.maturity, profile_maturity=visit.profile.maturity)
        if not visit.visible(title):
            raise NotAvailable(title_id=title.title_id, territory=self._territory)


def _page(
    visit: ProfileCatalogue, title: Title, positions: Sequence[Position], similar: list[Card], missing: list[str]
) -> TitleScreen:
    language = visit.profile.language
    last = positions[0] if positions else None
    seen = {
        p.episode_id: presentation.progress(p, title.episodes) for p in reversed(positions) if p.episode_id is not None
    }
    return TitleScreen(
        card=visit.card(title, presentation.progress(last, title.episodes) if last else None),
        synopsis=presentation.localised(title.synopses, language, title.original_language),
        original_language=title.original_language,
        credits=presentation.credit_views(title, language),
        audio_languages=title.audio_languages,
        subtitle_languages=title.subtitle_languages,
        seasons=presentation.seasons(title, seen, language),
        more_like_this=similar,
        play_episode_id=presentation.play_episode(title, last) if title.kind == "series" else None,
        missing=missing,
    )


def _entry(visit: ProfileCatalogue, title: Title, position: Position) -> HistoryEntry:
    progress = presentation.progress(position, title.episodes)
    return HistoryEntry(card=visit.card(title, progress), updated_at=position.updated_at)
