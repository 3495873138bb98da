"""What viewing needs of the outside."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Protocol

from matinee.events.api import FactRecord
from matinee.kit.ids import AccountId, EpisodeId, ProfileId, TitleId
from matinee.viewing.api import Position
from matinee.viewing.model import Place


class ViewingStore(Protocol):
    """Positions by account, profile, title and episode."""

    exact_facts: ClassVar[bool]
    """Whether facts are told in the order of the changes, and of changes alone. Where it is False, writers that race

    may also be told of who lost, in any order, and a fact may be told of a change that failed: who reads facts takes
    the newest position by `updated_at`.
    """

    async def save(self, position: Position, *, record: FactRecord) -> Position:
        """Store a position unless the one that is there stands by `model.standing`; tells the one that stands.

        One atomic step; only where it changed something, `record` is stored with it to be relayed. What is not
        newer than the profile's erasure is not stored.
        """

    async def one(
        self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId
    ) -> Position | None:
        """The position in an episode."""

    async def of_titles(self, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]) -> list[Position]:
        """Every position in some titles, newest first."""

    async def recent(
        self, account_id: AccountId, profile_id: ProfileId, *, after: Place | None, limit: int, dismissed: bool
    ) -> list[Position]:
        """Positions newest first, from behind a place; with or without those not newer than their title's dismissal."""

    async def dismiss(self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, *, now: datetime) -> None:
        """Remember when a title was dismissed; the latest time stays."""

    async def erase(self, account_id: AccountId, profile_id: ProfileId, *, now: datetime) -> None:
        """Drop all of a profile, and remember when."""
