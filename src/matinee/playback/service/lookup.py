"""What pressing play needs of the other domains, looked up at once under one deadline."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec

from matinee.catalogue.api import Catalogue, Playable
from matinee.identity.api import Identity, Viewer
from matinee.kit import context, log
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, EpisodeId, ProfileId, TitleId
from matinee.kit.problem import DeadlineExceeded, Forbidden, Problem
from matinee.playback.api import NotEntitled, TooMature
from matinee.steering.api import RankedEdge, Steering
from matinee.viewing.api import Position, Viewing

_log = log.get()
T = TypeVar("T")
# A resume point is worth waiting for, but not worth a failed start: it gets this part of the time.
RESUME_SHARE = 0.25


class Press(msgspec.Struct, frozen=True, kw_only=True):
    """Who pressed play on what, from where."""

    account_id: AccountId
    profile_id: ProfileId
    title_id: TitleId
    episode_id: EpisodeId | None
    territory: str
    client_ip: str
    from_start: bool

    @classmethod
    def by(
        cls,
        principal: Principal,
        *,
        title_id: TitleId,
        episode_id: EpisodeId | None,
        territory: str,
        client_ip: str,
        from_start: bool,
    ) -> Press:
        """A press by a signed-in viewer. Raises Forbidden where no profile is chosen."""
        if principal.profile_id is None:
            raise Forbidden(detail="Choose a profile first.")
        return cls(
            account_id=principal.account_id,
            profile_id=principal.profile_id,
            title_id=title_id,
            episode_id=episode_id,
            territory=territory,
            client_ip=client_ip,
            from_start=from_start,
        )


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """All that a session is made of."""

    playable: Playable
    edges: list[RankedEdge]
    position: Position | None


class Lookup:
    """Asks identity, catalogue, viewing and steering together."""

    def __init__(
        self, *, identity: Identity, catalogue: Catalogue, viewing: Viewing, steering: Steering, limit_ms: int
    ) -> None:
        self._identity = identity
        self._catalogue = catalogue
        self._viewing = viewing
        self._steering = steering
        self._limit_ms = limit_ms

    async def find(self, press: Press) -> Found:
        """Everything, or the first reason why not: the viewer's before the title's, the edges' last.

        Raises NotEntitled, TooMature, DeadlineExceeded, and what the other domains raise.
        """
        with context.with_timeout(self._limit_ms) as here:
            limit_s = (here.remaining_ms() or 0) / 1000
            try:
                async with asyncio.timeout(limit_s):
                    return await self._find(press, limit_s)
            except TimeoutError as error:
                raise DeadlineExceeded(service="playback") from error

    async def _find(self, press: Press, limit_s: float) -> Found:
        viewer, playable, edges, position = await asyncio.gather(
            self._identity.viewer(account_id=press.account_id, profile_id=press.profile_id),
            self._playable(press, press.episode_id),
            self._steering.rank(client_ip=press.client_ip),
            self._position(press, limit_s * RESUME_SHARE),
            return_exceptions=True,
        )
        who = _or_raise(viewer)
        _check_entitled(who)
        found = _or_raise(playable)
        _check_fit(found, who)
        where = _or_raise(position)
        if press.episode_id is None and where is not None:
            found = await self._continued(press, found, where)
        return Found(playable=found, edges=_or_raise(edges), position=where)

    async def _playable(self, press: Press, episode_id: EpisodeId | None) -> Playable:
        return await self._catalogue.playable(title_id=press.title_id, territory=press.territory, episode_id=episode_id)

    async def _position(self, press: Press, limit_s: float) -> Position | None:
        if press.from_start:
            return None
        try:
            async with asyncio.timeout(limit_s):
                return await self._viewing.position(
                    account_id=press.account_id,
                    profile_id=press.profile_id,
                    title_id=press.title_id,
                    episode_id=press.episode_id,
                )
        except Exception as error:  # to begin at the beginning is better than not to begin
            _log.warning("playback.no_resume_point", error=repr(error))
            return None

    async def _continued(self, press: Press, first: Playable, where: Position) -> Playable:
        """Of a series, the episode last watched, or the one after it where that was watched to its end."""
        if first.episode is None or where.episode_id is None:
            return first
        try:
            last = await self._playable(press, where.episode_id)
            if not where.finished:
                return last
            following = last.next_episode
            return await self._playable(press, following.episode_id) if following else first
        except Problem:  # that episode is gone
            return first


def _or_raise(outcome: T | BaseException) -> T:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _check_entitled(viewer: Viewer) -> None:
    if viewer.account.status != "active":
        raise NotEntitled(detail="This account is closed.")


def _check_fit(playable: Playable, viewer: Viewer) -> None:
    if playable.maturity > viewer.profile.maturity:
        raise TooMature(maturity=playable.maturity, profile_maturity=viewer.profile.maturity)
