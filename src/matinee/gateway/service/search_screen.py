"""Composes the search page: what the index finds, shown as the profile may see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from matinee.catalogue.api import Catalogue, Genre, Title
from matinee.gateway.api import Card
from matinee.gateway.api.search import BrowseScreen, FoundGenre, FoundPerson, FoundTitle, SearchScreen, TextRange
from matinee.gateway.model import presentation
from matinee.gateway.model.prefix import find_prefix
from matinee.gateway.service.profile_catalogue import (
    PAGE_LENGTH,
    ROW_LENGTH,
    ProfileCatalogue,
    fetch_part,
    within_deadline,
)
from matinee.identity.api import Profile
from matinee.kit import log
from matinee.kit.context import current, with_timeout
from matinee.kit.ids import TitleId
from matinee.search.api import EndedSearch, Search, SearchResult, Span, TitleHit

MAX_QUERY_LENGTH = 200
MAX_RESULTS = 24
MAX_TRENDING = 10
# The number of the newest titles among which a name is searched for while the index does not answer.
PREFIX_TITLES = 100
# How long the index may take: a share of the remaining time, so that there is time to search without it.
MAX_INDEX_MS, _INDEX_SHARE = 1_000, 0.4
_TRENDING_SHARE, _INITIALS_SHARE = 0.3, 0.3
_log = log.get()


class SearchPages:
    """Search pages of profiles."""

    def __init__(self, *, search: Search, catalogue: Catalogue, territory: str) -> None:
        self._search = search
        self._catalogue = catalogue
        self._territory = territory

    async def compose(self, catalogue: ProfileCatalogue, query: str) -> SearchScreen:
        """Return what answers a query; the newest titles, the genres and the initials where it is empty."""
        query = shorten_query(query)
        if not query:
            return await self._compose_suggestions(catalogue)
        result = await self._find(catalogue, query)
        if result is None:
            return await self._compose_by_prefix(catalogue, query)
        missing: list[str] = []
        title_ids = [hit.title_id for hit in result.titles]
        titles = await fetch_part("titles", partial(catalogue.visible_titles, title_ids), missing) or {}
        return SearchScreen(
            query=query,
            titles=_to_found_titles(catalogue, query, result.titles, titles),
            people=[
                FoundPerson(
                    person_id=hit.person_id, name=hit.name, highlights=_to_ranges(hit.highlights), titles=hit.titles
                )
                for hit in result.people
            ],
            genres=[
                FoundGenre(genre_id=hit.genre_id, name=hit.name, highlights=_to_ranges(hit.highlights))
                for hit in result.genres
            ],
            correction=result.correction,
            partial=result.partial or bool(missing),
            trending=[] if result.titles or result.people or result.genres else await self._list_trending(catalogue),
        )

    async def browse(self, catalogue: ProfileCatalogue, initial: str, cursor: str | None) -> BrowseScreen:
        """Return a page of the titles of an initial. Raises Invalid, and IndexNotReady where there is no index."""
        profile = catalogue.profile
        page, initials = await asyncio.gather(
            within_deadline(
                self._search.browse(
                    initial=initial,
                    language=profile.language,
                    territory=self._territory,
                    maturity=profile.maturity,
                    cursor=cursor,
                    limit=PAGE_LENGTH,
                )
            ),
            fetch_part("initials", partial(self._list_initials, catalogue), [], _INITIALS_SHARE),
        )
        titles = await within_deadline(catalogue.visible_titles(page.items))
        cards = [catalogue.to_card(titles[title_id]) for title_id in page.items if title_id in titles]
        last = await fetch_part("progress", partial(catalogue.fetch_last_positions, cards), []) or {}
        return BrowseScreen(
            initial=initial,
            cards=catalogue.add_progress(cards, last),
            initials=initials or [],
            next_cursor=page.next_cursor,
        )

    async def _list_initials(self, catalogue: ProfileCatalogue) -> list[str]:
        profile = catalogue.profile
        return await self._search.list_initials(
            language=profile.language, territory=self._territory, maturity=profile.maturity
        )

    async def record(self, profile: Profile, search: EndedSearch) -> None:
        """Record a search that a profile ended; that of a child without its id."""
        profile_id = None if profile.kids else profile.profile_id
        await within_deadline(
            self._search.record_search(search=search, language=profile.language, profile_id=profile_id)
        )

    async def _find(self, catalogue: ProfileCatalogue, query: str) -> SearchResult | None:
        """Ask the index; return None if it fails or does not answer in its share of the time."""
        remaining_ms = current().remaining_ms()
        limit_ms = MAX_INDEX_MS if remaining_ms is None else min(MAX_INDEX_MS, round(remaining_ms * _INDEX_SHARE))
        profile = catalogue.profile
        try:
            with with_timeout(limit_ms):
                return await within_deadline(
                    self._search.find(
                        query=query,
                        language=profile.language,
                        territory=self._territory,
                        maturity=profile.maturity,
                        limit=MAX_RESULTS,
                        profile_id=profile.profile_id,
                    )
                )
        except Exception as error:  # a few titles are better than an error page
            _log.warning("search.index_missing", error=repr(error))
            return None

    async def _compose_suggestions(self, catalogue: ProfileCatalogue) -> SearchScreen:
        missing: list[str] = []
        page, genres, trending, initials = await asyncio.gather(
            fetch_part("new", partial(catalogue.browse, limit=ROW_LENGTH), missing),
            fetch_part("genres", partial(self._list_genres, catalogue), missing),
            self._list_trending(catalogue),
            fetch_part("initials", partial(self._list_initials, catalogue), [], _INITIALS_SHARE),
        )
        cards = [catalogue.to_card(title) for title in (page.items if page else ())]
        return SearchScreen(
            query="",
            titles=[FoundTitle(card=card, name=card.name) for card in cards],
            genres=[_to_found_genre(genre, catalogue.profile.language) for genre in genres or ()],
            partial=bool(missing),
            trending=trending,
            initials=initials or [],
        )

    async def _list_trending(self, catalogue: ProfileCatalogue) -> list[Card]:
        """Return the trending titles that the profile may see; none where they cannot be fetched."""

        async def fetch() -> list[Card]:
            title_ids = await self._search.list_trending(
                territory=self._territory, maturity=catalogue.profile.maturity, limit=MAX_TRENDING
            )
            titles = await catalogue.visible_titles(title_ids)
            return [catalogue.to_card(titles[title_id]) for title_id in title_ids if title_id in titles]

        return await fetch_part("trending", fetch, [], _TRENDING_SHARE) or []

    async def _list_genres(self, catalogue: ProfileCatalogue) -> list[Genre]:
        """Return the genres of which the profile may see a title."""
        genres = await self._catalogue.genres()
        pages = await asyncio.gather(*(catalogue.browse(genre_id=genre.genre_id, limit=1) for genre in genres))
        return [genre for genre, page in zip(genres, pages, strict=True) if page.items]

    async def _compose_by_prefix(self, catalogue: ProfileCatalogue, query: str) -> SearchScreen:
        """Find the query at the beginning of a word, in the names of the newest titles and of the genres."""
        page, genres = await asyncio.gather(
            fetch_part("new", partial(catalogue.browse, limit=PREFIX_TITLES), []),
            fetch_part("genres", partial(self._list_genres, catalogue), []),
        )
        found = [one for title in (page.items if page else ()) if (one := _find_title(catalogue, title, query))]
        named = [_to_found_genre(genre, catalogue.profile.language, query) for genre in genres or ()]
        return SearchScreen(
            query=query,
            titles=found[:MAX_RESULTS],
            genres=[genre for genre in named if genre.highlights],
            partial=True,
        )


def shorten_query(query: str) -> str:
    """Return a query without spaces around it, and without what is beyond the longest one."""
    return query.strip()[:MAX_QUERY_LENGTH].rstrip()


def _to_found_titles(
    catalogue: ProfileCatalogue, query: str, hits: Sequence[TitleHit], titles: Mapping[TitleId, Title]
) -> list[FoundTitle]:
    """Convert the hits whose titles the profile may see."""
    return [_to_found_title(catalogue, query, hit, titles[hit.title_id]) for hit in hits if hit.title_id in titles]


def _to_found_title(catalogue: ProfileCatalogue, query: str, hit: TitleHit, title: Title) -> FoundTitle:
    episodes = (episode for episode in title.episodes if episode.episode_id == hit.episode_id)
    episode = next(episodes, None) if hit.episode_id else None
    card = catalogue.to_card(title)
    name, highlights = hit.name, hit.highlights
    # Where several names of a title begin so, that of its card is shown.
    if hit.match == "prefix" and not hit.episode_id and name != card.name and (span := find_prefix(card.name, query)):
        name, highlights = card.name, [span]
    return FoundTitle(
        card=card,
        name=name,
        highlights=_to_ranges(highlights),
        match=hit.match,
        episode_id=episode.episode_id if episode else None,
        season_number=episode.season_number if episode else None,
        episode_number=episode.number if episode else None,
    )


def _find_title(catalogue: ProfileCatalogue, title: Title, query: str) -> FoundTitle | None:
    """Return a title one of whose names has the query at the beginning of a word; that of its card is preferred."""
    card = catalogue.to_card(title)
    for name in (card.name, *title.names.values()):
        if span := find_prefix(name, query):
            return FoundTitle(card=card, name=name, highlights=_to_ranges([span]), match="prefix")
    return None


def _to_found_genre(genre: Genre, language: str, query: str = "") -> FoundGenre:
    view = presentation.to_genre_view(genre, language)
    span = find_prefix(view.name, query)
    return FoundGenre(genre_id=view.genre_id, name=view.name, highlights=_to_ranges([span] if span else []))


def _to_ranges(spans: Sequence[Span]) -> list[TextRange]:
    return [TextRange(start=start, end=end) for start, end in spans]
