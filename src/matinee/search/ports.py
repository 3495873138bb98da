"""What search needs from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

from matinee.kit.ids import ProfileId, TitleId
from matinee.search.api import QueryCounts, QueryReport, RuleKind, SearchRule
from matinee.search.model.affinity import Affinity
from matinee.search.model.documents import NameDocument

# Fields of `about` documents by which titles are listed.
AboutField: TypeAlias = Literal["people", "genres", "initials"]


class NameQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which documents are wanted: those whose form is like one of `forms`, for viewers of a territory and an age.

    The first form is the query as it was typed. With `exact`, only names that begin with a form, or have a word that
    does; without `about`, only names. With `wide`, more names that differ by two edits are found, which takes longer.
    """

    forms: tuple[str, ...]
    territory: str
    maturity: int
    now: datetime
    limit: int
    exact: bool = False
    about: bool = True
    wide: bool = False

    def may_find(self, document: NameDocument) -> bool:
        """Return whether the viewer may find a document now."""
        return document.count_for(self.territory, self.maturity, self.now) > 0


class StoredIndex(msgspec.Struct, frozen=True, kw_only=True):
    """An index as stored. `version` is that of the documents' format, 0 where there is no index that can be read."""

    engine: str
    version: int
    documents: int
    size_bytes: int
    created_at: datetime | None = None


class TextIndex(Protocol):
    """Finds documents by their forms, in the index that is current, of which there may be none.

    Searches raise IndexNotReady while there is none.
    """

    async def put(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        """Replace the documents of each owner; an owner without documents is removed. Durable, and found at once."""

    async def find(self, query: NameQuery) -> list[NameDocument]:
        """Return the documents of names that are most like a form, in any order.

        Those that begin with a form, or have a word that does, are among them, the most popular ones if there are too
        many. So are the `about` documents that contain every word of a form, the last one as a prefix, unless the
        query is a single word with which many names begin (`model.fields.suffice`). Documents of groups are found in
        spite of errors only.
        """

    async def load_about(self, title_ids: Sequence[TitleId]) -> dict[TitleId, NameDocument]:
        """Return the `about` documents of titles."""

    async def list_about(
        self, field: AboutField, term: str, *, viewer: NameQuery | None = None, limit: int = 1_000
    ) -> list[NameDocument]:
        """Return `about` documents that have a term: of a person, a genre or an initial.

        With `viewer`, those that the viewer may find, the most popular ones of its `limit`; otherwise any.
        """

    async def list_initials(self, language: str) -> list[str]:
        """Return the initials under which titles are listed for a language, in any order.

        Some may have had titles only before.
        """

    async def begin(self, *, now: datetime) -> NewIndex:
        """Begin a new index beside the current one. Raises IndexBeingBuilt while there is another new one."""

    async def describe(self) -> StoredIndex:
        """Return the state of the current index."""


class NewIndex(Protocol):
    """An index under construction."""

    async def put(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        """Replace the documents of each owner."""

    async def finish(self) -> None:
        """Make this index the current one, at once and for every process, and delete the one before."""

    async def give_up(self) -> None:
        """Delete this index."""


class PopularityStore(Protocol):
    """How often titles were played; older plays count less (`model.popularity`)."""

    async def add(self, plays: Mapping[TitleId, int], *, now: datetime) -> None:
        """Count plays. Not idempotent: a repeated fact counts twice, which ordering by popularity tolerates."""

    async def load(self, *, now: datetime) -> dict[TitleId, float]:
        """Return what the plays of every title count now."""


class AffinityStore(Protocol):
    """Which genres profiles watch (`model.affinity`)."""

    async def add(self, plays: Mapping[ProfileId, Sequence[Sequence[str]]], *, now: datetime) -> None:
        """Count plays of titles, each given by its genres. Not idempotent, as for `PopularityStore`."""

    async def load(self, profile_id: ProfileId, *, now: datetime) -> Affinity:
        """Return what the plays of a profile count now; an empty affinity for an unknown profile."""

    async def remove(self, profile_ids: Collection[ProfileId]) -> None:
        """Delete the affinities of profiles. Unknown ones do nothing."""


class RuleStore(Protocol):
    """The rules of the editors, by their kind and the folded query."""

    async def put(self, folded: str, rule: SearchRule, *, limit: int) -> bool:
        """Store a rule in place of an earlier one; return False if there are `limit` other rules already."""

    async def remove(self, folded: str, kind: RuleKind) -> bool:
        """Delete a rule; return whether there was one."""

    async def load(self) -> list[SearchRule]:
        """Return all rules, ordered by kind and folded query."""


class QueryLog(Protocol):
    """How often queries were searched for, and titles opened from searches, on each day. It knows of no viewer."""

    async def add(
        self, *, day: date, queries: Mapping[str, QueryCounts], opened: Mapping[TitleId, int], limit: int
    ) -> None:
        """Count the searches for queries, by their folded spelling, and the titles opened.

        A day has at most `limit` different queries; further ones count in its total only. Not idempotent: a repeated
        fact counts twice, which reports of frequencies tolerate.
        """

    async def report(self, *, days: int, today: date, limit: int) -> QueryReport:
        """Return the totals of the last days, and the `limit` most frequent queries of each kind."""

    async def list_opened(self, *, since: date, limit: int) -> list[tuple[date, TitleId, int]]:
        """Return how often titles were opened on each day, at most `limit` entries, the largest ones first."""

    async def remove_before(self, day: date) -> None:
        """Delete the counts of the days before a day."""
