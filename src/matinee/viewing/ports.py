"""The dependencies of viewing."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from matinee.kit.ids import AccountId, EpisodeId, ProfileId, TitleId
from matinee.viewing.api import Position
from matinee.viewing.model import HistoryKey


class ViewingStore(Protocol):
    """Positions by account, profile, title and episode."""

    async def save(self, position: Position, *, now: datetime) -> Position:
        """Store a position if it has precedence over the stored one; return the one that is then stored.

        Over a stored one that is ahead of `now`, by more than clocks differ, every position has precedence. A first
        position that is not newer than the erasure of the profile is not stored.
        """

    async def find_episode(
        self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId
    ) -> Position | None:
        """Return the position in an episode."""

    async def list_by_titles(
        self, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]
    ) -> list[Position]:
        """Return every position in some titles, newest first."""

    async def list_recent(
        self,
        account_id: AccountId,
        profile_id: ProfileId,
        *,
        after: HistoryKey | None,
        limit: int,
        dismissed: bool,
        now: datetime,
    ) -> list[Position]:
        """Return positions after a key, newest first; `dismissed` includes those older than their dismissal.

        A dismissal that is ahead of `now`, by more than clocks differ, is ignored.
        """

    async def dismiss(self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, *, now: datetime) -> None:
        """Store when a title was dismissed; the latest time stays, unless it is ahead of `now`."""

    async def erase(self, account_id: AccountId, profile_id: ProfileId, *, now: datetime) -> None:
        """Delete all data of a profile, and store when."""
