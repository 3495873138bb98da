"""The front door of viewing."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.kit.page import Page
from matinee.mesh.api import idempotent


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a profile is in a film or an episode (the seed's schema)."""

    account_id: AccountId
    profile_id: ProfileId
    title_id: TitleId
    position_ms: int
    duration_ms: int
    updated_at: datetime
    device_id: DeviceId
    episode_id: EpisodeId | None = None

    @property
    def finished(self) -> bool:
        """Whether only the credits are left: 95 % seen, or less than 30 s to go of a longer film."""
        left_ms = self.duration_ms - self.position_ms
        return self.duration_ms > 0 and (
            left_ms * 20 <= self.duration_ms or (left_ms < 30_000 < self.duration_ms // 10)
        )


class Viewing(Protocol):
    """Where every profile is in everything it watched. Account and profile are part of every key."""

    @idempotent
    async def record(self, *, position: Position) -> Position:
        """Store a position; the newest `updated_at` wins whatever the order of arrival. Tells the one that stands.

        Idempotent. A time ahead of ours is taken as now, so that a wrong clock cannot win for ever.
        """

    @idempotent
    async def position(
        self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId | None = None
    ) -> Position | None:
        """The position in a film or an episode; in a series without `episode_id`, the one last watched."""

    @idempotent
    async def progress(
        self, *, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]
    ) -> list[Position]:
        """Every position in several titles, episodes included, newest first."""

    @idempotent
    async def continue_watching(
        self, *, account_id: AccountId, profile_id: ProfileId, limit: int = 20
    ) -> list[Position]:
        """The newest position of each title, newest first, without what was dismissed.

        Finished films are left out; a finished episode stays, so that the caller can offer the next.
        """

    @idempotent
    async def history(
        self, *, account_id: AccountId, profile_id: ProfileId, cursor: str | None = None, limit: int = 50
    ) -> Page[Position]:
        """All that was watched, newest first."""

    @idempotent
    async def dismiss(self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> None:
        """Take a title out of continue watching until it is watched again. Idempotent."""

    @idempotent
    async def erase(self, *, account_id: AccountId, profile_id: ProfileId) -> None:
        """Forget a profile's viewing. Idempotent."""
