"""The search page of the public API."""

from __future__ import annotations

from typing import Literal

import msgspec

from matinee.gateway.api import Card
from matinee.kit.ids import EpisodeId, PersonId


class TextRange(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a text, in code points: `start` is the first one, `end` the one after the last."""

    start: int
    end: int


class FoundTitle(msgspec.Struct, frozen=True, kw_only=True):
    """A title that was found.

    `name` is the name that answers the query, which may be in another language than that of the card; `highlights` are
    the parts of it that answer. `match` is null where nothing was searched for. `episode_id` and its numbers are those
    of the episode that was searched for.
    """

    card: Card
    name: str
    highlights: list[TextRange] = []
    match: Literal["exact", "prefix", "words", "corrected", "about"] | None = None
    episode_id: EpisodeId | None = None
    season_number: int | None = None
    episode_number: int | None = None


class FoundPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A person who was found. `titles` is the number of titles that credit the person."""

    person_id: PersonId
    name: str
    highlights: list[TextRange] = []
    titles: int = 0


class FoundGenre(msgspec.Struct, frozen=True, kw_only=True):
    """A genre that was found, by its name in the language of the query."""

    genre_id: str
    name: str
    highlights: list[TextRange] = []


class SearchScreen(msgspec.Struct, frozen=True, kw_only=True):
    """What answers a query, the best first; without a query the newest titles and all genres.

    `query` is the text that was searched for, shortened where it was too long. `correction` is the text that was
    searched for instead, where nothing has the words of the query. With `partial` there may be more: a part of the
    search did not answer in time. `trending` are the titles that viewers opened most from searches in the last days;
    they are given without a query, and where nothing was found. `initials`, which are given without a query, are those
    of titles that can be browsed, in the order of the alphabet.
    """

    query: str
    titles: list[FoundTitle] = []
    people: list[FoundPerson] = []
    genres: list[FoundGenre] = []
    correction: str | None = None
    partial: bool = False
    trending: list[Card] = []
    initials: list[str] = []


class BrowseScreen(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the titles of an initial, in the order of their names without articles.

    `initials` are all that have titles, in the order of the alphabet; `#` is that of names that begin with no letter.
    """

    initial: str
    cards: list[Card]
    initials: list[str] = []
    next_cursor: str | None = None
