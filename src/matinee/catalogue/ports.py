"""The stores that the catalogue needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from matinee.catalogue.api import Asset, Genre, Kind, Title
from matinee.kit.ids import AssetId, TitleId


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a rule: the new title, an asset to store, and facts (encoded `events.api.Record`s)."""

    title: Title
    asset: Asset | None = None
    records: list[bytes] = []


# A pure function of the stored title (None if there is none) and its current assets; None means no change.
Rule = Callable[[Title | None, list[Asset]], Change | None]


class StoredTitle(msgspec.Struct, frozen=True, kw_only=True):
    """A title with the store's revision of its last change; `as_of` is the store's revision when it was read.

    The revision is one counter for all titles; every change increases it.
    """

    title: Title
    revision: int
    as_of: int


class ListEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a list: a title, its revision, and the time by which the list is ordered."""

    title_id: TitleId
    revision: int
    at: datetime


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """The titles that changed after a revision, and the newest revision.

    With `truncated` there were too many changes to list: any title may have changed.
    """

    title_ids: list[TitleId]
    revision: int
    truncated: bool = False


class TitleFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects titles that are published, playable, available in a territory at a time, and suitable for an age."""

    territory: str
    maturity: int
    now: datetime
    genre_id: str | None = None
    kind: Kind | None = None


class TitleStore(Protocol):
    """Durable storage of titles and assets."""

    async def change(self, title_id: TitleId, rule: Rule, now: datetime) -> Title:
        """Apply a rule to a title and store title, asset and facts in one transaction; nothing is stored if it raises.

        Raises TitleNotFound if there is no title and the rule creates none.
        """

    async def load(self, title_ids: list[TitleId]) -> list[StoredTitle]:
        """Return the titles that exist, in any order."""

    async def asset(self, asset_id: AssetId) -> Asset | None:
        """Return an asset, None if there is none."""

    async def browse(self, wanted: TitleFilter, after: tuple[datetime, TitleId] | None, limit: int) -> list[ListEntry]:
        """List titles that match a filter by time of publication, newest first, after a position in that order."""

    async def everything(self, after: tuple[datetime, TitleId] | None, limit: int) -> list[ListEntry]:
        """List titles in every state by time of creation, newest first, after a position in that order."""

    async def genres(self) -> list[Genre]:
        """List the genres of published titles, the most frequent first."""

    async def list_changes(self, since: int) -> Changes:
        """Return what changed after a revision."""


class ReadModel(Protocol):
    """Fast reads: at most about a second behind the store, and never behind this instance's own changes."""

    async def titles(self, title_ids: list[TitleId]) -> dict[TitleId, Title]:
        """Return the titles that exist."""

    async def load_entries(self, entries: list[ListEntry]) -> list[Title]:
        """Return the titles of a list, each at its entry's revision or a later one."""

    async def browse(self, wanted: TitleFilter, after: tuple[datetime, TitleId] | None, limit: int) -> list[ListEntry]:
        """List titles as `TitleStore.browse` at the time of the filter, or as it did within the last second."""

    async def asset(self, asset_id: AssetId) -> Asset | None:
        """Return an asset, None if there is none."""

    async def genres(self) -> list[Genre]:
        """List the genres of published titles, the most frequent first."""

    async def catch_up(self) -> None:
        """Apply the changes of the store now."""

    async def wait_for_use(self, limit_s: float) -> None:
        """Return when there has been a read since the last call, or after `limit_s`."""
