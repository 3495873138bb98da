"""The public interface of search."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Meta

from matinee.kit.ids import EpisodeId, PersonId, ProfileId, TitleId
from matinee.kit.page import Page
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent

# How a name answers a query: it is the query, begins with it, contains its words, is what was probably meant, or was
# chosen by what the query says about a title (a person and a genre, a year, a language).
Match: TypeAlias = Literal["exact", "prefix", "words", "corrected", "about"]
# Code points of a name: the first one, and the one after the last.
Span: TypeAlias = tuple[int, int]


class TitleHit(msgspec.Struct, frozen=True, kw_only=True):
    """A title that was found, by the name that answers the query, which may be in another language than the viewer's.

    `highlights` are the parts of `name` that answer. An `episode_id` is that of the episode that was searched for.
    """

    title_id: TitleId
    name: str
    match: Match
    score: float
    highlights: list[Span] = []
    episode_id: EpisodeId | None = None


class PersonHit(msgspec.Struct, frozen=True, kw_only=True):
    """A person who was found; `titles` is the number of the person's titles that the viewer may find."""

    person_id: PersonId
    name: str
    match: Match
    score: float
    highlights: list[Span] = []
    titles: int = 0


class GenreHit(msgspec.Struct, frozen=True, kw_only=True):
    """A genre that was found, by its name in the language of the query."""

    genre_id: str
    name: str
    match: Match
    score: float
    highlights: list[Span] = []


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, the best first.

    `correction` is the text that was searched for instead, where nothing has the words of the query. With `partial` the
    index did not answer in time, and there may be more.
    """

    titles: list[TitleHit] = []
    people: list[PersonHit] = []
    genres: list[GenreHit] = []
    correction: str | None = None
    partial: bool = False


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a name has its place: each part of its score."""

    id: str
    name: str
    form: str
    match: Match
    score: float
    parts: dict[str, float]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """How a query was read, and why the names were found that were found, the best first."""

    forms: list[str]
    reasons: list[Reason]


class IndexStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the index; `version` is 0 where there is none. `building` is the share of a new one that is done."""

    engine: str
    version: int
    names: int
    size_bytes: int
    created_at: datetime | None = None
    building: float | None = None


Shown: TypeAlias = Annotated[int, Meta(ge=0, le=10_000)]


class OpenedResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result that a viewer opened; `position` is its place among those of its kind, from 1."""

    kind: Literal["title", "person", "genre"]
    id: Annotated[str, Meta(min_length=1, max_length=100)]
    position: Annotated[int, Meta(ge=1, le=10_000)]


class EndedSearch(msgspec.Struct, frozen=True, kw_only=True):
    """A search as it was when the viewer ended it: what was asked, what was shown, and what was opened, if anything.

    `report_id` is random: a search that is reported again with it counts once. `titles`, `people` and `genres` are the
    numbers of results shown, `title_ids` the first titles.
    """

    report_id: Annotated[str, Meta(min_length=16, max_length=64)]
    query: Annotated[str, Meta(min_length=1, max_length=200)]
    titles: Shown = 0
    people: Shown = 0
    genres: Shown = 0
    title_ids: Annotated[list[Annotated[TitleId, Meta(max_length=40)]], Meta(max_length=10)] = []
    corrected: bool = False
    partial: bool = False
    opened: OpenedResult | None = None


class SearchCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of searches. Those `unanswered` found nothing, the `abandoned` found something of which none was opened.

    Those `corrected` were answered by other words than those that were typed. A search that the index did not answer in
    time is neither unanswered nor abandoned.
    """

    searches: int = 0
    unanswered: int = 0
    abandoned: int = 0
    corrected: int = 0


class QueryCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The searches for a query; `query` is one of its spellings, as typed."""

    query: str
    counts: SearchCounts


class QueryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What viewers searched for on the last `days` days (UTC), today included, the most frequent queries first.

    `unanswered` and `abandoned` are ordered by these counts; `frequent` has queries of all kinds. The total also counts
    queries beyond those that are stored of a day.
    """

    days: int
    total: SearchCounts
    unanswered: list[QueryCounts] = []
    abandoned: list[QueryCounts] = []
    frequent: list[QueryCounts] = []


class Synonym(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Words that mean others: a query that has the words of `query` is searched for with each of `meanings` too."""

    query: Annotated[str, Meta(min_length=1, max_length=200)]
    meanings: Annotated[list[Annotated[str, Meta(min_length=1, max_length=200)]], Meta(min_length=1, max_length=5)]


class Pin(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The titles that come first when `query` is searched for, in their order, for the viewers who may find them."""

    query: Annotated[str, Meta(min_length=1, max_length=200)]
    title_ids: Annotated[list[Annotated[TitleId, Meta(min_length=1, max_length=40)]], Meta(min_length=1, max_length=10)]


SearchRule: TypeAlias = Synonym | Pin
RuleKind: TypeAlias = Literal["synonym", "pin"]


class IndexNotReady(Problem, status=503):
    """The index is being built; it will be ready in a moment."""


class TooManyRules(Problem, status=409):
    """There are as many rules as can be: remove one first."""


class IndexBeingBuilt(Problem, status=409):
    """Another process is building the index."""


class Search(Protocol):
    """Finds titles, people and genres by any of their names, while they are typed and in spite of errors."""

    @idempotent
    async def find(
        self,
        *,
        query: str,
        language: str = "en",
        territory: str,
        maturity: int = 18,
        limit: int = 20,
        profile_id: ProfileId | None = None,
    ) -> SearchResult:
        """Return what answers a query, whose last word may be unfinished.

        Titles that are not available in the territory now, or above the age rating `maturity`, are left out, as are
        people whose titles are all left out. Of titles that answer alike, those come first whose genres the profile
        watches.
        """

    @idempotent
    async def explain(
        self,
        *,
        query: str,
        language: str = "en",
        territory: str,
        maturity: int = 18,
        limit: int = 20,
        profile_id: ProfileId | None = None,
    ) -> Explanation:
        """Return how `find` reads a query and weighs the names."""

    @idempotent
    async def request_rebuild(self) -> None:
        """Build the index anew beside the present one, which answers until the new one is complete."""

    @idempotent
    async def get_status(self) -> IndexStatus:
        """Return the state of the index."""

    @idempotent
    async def put_rule(self, *, rule: SearchRule) -> None:
        """Store a rule of the editors, in place of the one of its kind for the same query.

        Raises Invalid if the query has no letters, and TooManyRules.
        """

    @idempotent
    async def remove_rule(self, *, kind: RuleKind, query: str) -> bool:
        """Remove a rule; return whether there was one."""

    @idempotent
    async def list_rules(self) -> list[SearchRule]:
        """Return the rules of the editors, ordered by kind and query."""

    @idempotent
    async def record_search(self, *, search: EndedSearch, language: str, profile_id: ProfileId | None = None) -> None:
        """Record a search that a viewer ended, as a fact. A child's search has no `profile_id`."""

    @idempotent
    async def report_queries(self, *, days: int = 7, limit: int = 50) -> QueryReport:
        """Return the queries that found nothing, those after which nothing was opened, and the most frequent ones."""

    @idempotent
    async def list_trending(self, *, territory: str, maturity: int = 18, limit: int = 10) -> list[TitleId]:
        """Return the titles that were opened most from searches in the last days, the most popular first.

        Titles that are not available in the territory now, or above the age rating `maturity`, are left out.
        """

    @idempotent
    async def list_initials(self, *, language: str = "en", territory: str, maturity: int = 18) -> list[str]:
        """Return the initials of the names that viewers of a language are shown, in the order of the alphabet.

        An initial whose titles are all unavailable in the territory now, or above the age rating `maturity`, is left
        out. `#` is that of names that begin with no letter.
        """

    @idempotent
    async def browse(
        self,
        *,
        initial: str,
        language: str = "en",
        territory: str,
        maturity: int = 18,
        cursor: str | None = None,
        limit: int = 40,
    ) -> Page[TitleId]:
        """Return the titles of an initial in the order of their names, as far as the viewer may find them.

        Raises Invalid for a bad cursor or limit, and an initial that is not one character.
        """
