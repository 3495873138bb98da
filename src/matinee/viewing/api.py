"""The public interface of viewing."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.kit.page import Page
from matinee.mesh.api import idempotent


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a profile has watched a film or an episode."""

    account_id: AccountId
    profile_id: ProfileId
    title_id: TitleId
    position_ms: int
    duration_ms: int
    updated_at: datetime
    device_id: DeviceId
    episode_id: EpisodeId | None = None

    @property
    def is_finished(self) -> bool:
        """Whether only the credits are left: 95 % is watched, or less than 30 s of more than five minutes remain."""
        left_ms = self.duration_ms - self.position_ms
        return self.duration_ms > 0 and (
            left_ms * 20 <= self.duration_ms or (left_ms < 30_000 < self.duration_ms // 10)
        )

    @property
    def is_barely_started(self) -> bool:
        """Whether it was opened but not watched: less than 10 s, and less than 5 %."""
        return self.position_ms < min(10_000, self.duration_ms // 20)


class Viewing(Protocol):
    """The positions of profiles in titles and episodes. Account and profile are part of every key."""

    @idempotent
    async def record(self, *, position: Position) -> Position:
        """Store a position unless the stored one is newer by `updated_at`; return the one that is then stored.

        Idempotent. A time in the future is replaced by now, so that a device with a wrong clock does not win for ever.
        """

    @idempotent
    async def get_position(
        self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId | None = None
    ) -> Position | None:
        """Return the position in a film or an episode; for a series without `episode_id`, the newest one."""

    @idempotent
    async def list_positions(
        self, *, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]
    ) -> list[Position]:
        """Return every position in some titles and their episodes, newest first."""

    @idempotent
    async def continue_watching(
        self, *, account_id: AccountId, profile_id: ProfileId, limit: int = 20
    ) -> list[Position]:
        """Return the newest position in each title, newest first, without dismissed titles.

        Finished films and what was barely started are left out; a finished episode is included, so that the caller
        can offer the next one.
        """

    @idempotent
    async def list_history(
        self,
        *,
        account_id: AccountId,
        profile_id: ProfileId,
        cursor: str | None = None,
        limit: int = 50,
        dismissed: bool = False,
    ) -> Page[Position]:
        """Return the positions, newest first; those of dismissed titles only with `dismissed`."""

    @idempotent
    async def dismiss(self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> None:
        """Remove a title from continue watching and from the history until it is watched again. Idempotent."""

    @idempotent
    async def erase(self, *, account_id: AccountId, profile_id: ProfileId) -> None:
        """Erase all data of a profile. Idempotent."""
