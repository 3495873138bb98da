"""What the catalogue needs of the outside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from matinee.catalogue.api import Asset, Genre, Kind, Title
from matinee.kit.ids import AssetId, TitleId


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule makes of a title: how it is to stand, an asset to keep, and facts (encoded `events.api.Record`s)."""

    title: Title
    asset: Asset | None = None
    records: list[bytes] = []


# Pure: from the title that stands (None: there is none) and its current assets to a change, or None for no change.
Rule = Callable[[Title | None, list[Asset]], Change | None]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A title as it was stored; `revision` rises with every change of any title, `as_of` is the newest one then."""

    title: Title
    revision: int
    as_of: int


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a list: the title, its revision, and the time that the list is ordered by."""

    title_id: TitleId
    revision: int
    at: datetime


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """The titles that changed after a revision, and the newest revision. `all_of_them`: too many to name."""

    title_ids: list[TitleId]
    revision: int
    all_of_them: bool = False


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which titles a viewer may be shown: published, playable, open in a territory at a time, fit for an age."""

    territory: str
    maturity: int
    now: datetime
    genre_id: str | None = None
    kind: Kind | None = None


class TitleStore(Protocol):
    """Titles and assets, durably."""

    async def change(self, title_id: TitleId, rule: Rule, now: datetime) -> Title:
        """Apply a rule to a title in one transaction: state, asset and facts together, or nothing where it raises.

        Raises TitleNotFound where the rule makes nothing of nothing.
        """

    async def load(self, title_ids: list[TitleId]) -> list[Stored]:
        """Those of the titles that are there, in any order."""

    async def asset(self, asset_id: AssetId) -> Asset | None:
        """One asset map."""

    async def browse(self, shown: Filter, after: tuple[datetime, TitleId] | None, limit: int) -> list[Listed]:
        """The titles a filter shows, by time of publication, newest first, after a place in that order."""

    async def everything(self, after: tuple[datetime, TitleId] | None, limit: int) -> list[Listed]:
        """All titles in every state, by time of creation, newest first, after a place in that order."""

    async def genres(self) -> list[Genre]:
        """The genres of titles on offer, those with most titles first."""

    async def changed(self, since: int) -> Changes:
        """What changed after a revision."""


class ReadModel(Protocol):
    """Titles and assets, quickly; at most about a second behind the store, and never behind this instance's changes."""

    async def titles(self, title_ids: list[TitleId]) -> dict[TitleId, Title]:
        """Those of the titles that are there."""

    async def listed(self, places: list[Listed]) -> list[Title]:
        """The titles of a list, at least as new as the list says."""

    async def asset(self, asset_id: AssetId) -> Asset | None:
        """One asset map."""

    async def catch_up(self) -> None:
        """Learn now what has changed in the store."""
