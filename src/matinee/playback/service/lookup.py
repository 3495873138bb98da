"""What starting playback needs from other domains, requested concurrently under one deadline."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec

from matinee.catalogue.api import Catalogue, Playable
from matinee.identity.api import Identity, Viewer
from matinee.kit import context, log
from matinee.kit.ids import AccountId, EpisodeId, ProfileId, SignInId, TitleId
from matinee.kit.problem import DeadlineExceeded, Problem
from matinee.playback.api import NotEntitled, TooMature
from matinee.steering.api import RankedEdge, Steering
from matinee.viewing.api import Position, Viewing

_log = log.get()
T = TypeVar("T")
# A missing resume point does not fail the start, but loses the place: its lookup gets most of the time.
RESUME_SHARE = 0.75


class PlayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to start playback."""

    account_id: AccountId
    profile_id: ProfileId
    sign_in_id: SignInId
    title_id: TitleId
    episode_id: EpisodeId | None
    territory: str
    client_ip: str
    from_start: bool


class StartData(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is created from."""

    playable: Playable
    edges: list[RankedEdge]
    position: Position | None


class StartLookup:
    """Collects the data of a start from identity, catalogue, viewing and steering."""

    def __init__(
        self, *, identity: Identity, catalogue: Catalogue, viewing: Viewing, steering: Steering, timeout_ms: int
    ) -> None:
        self._identity = identity
        self._catalogue = catalogue
        self._viewing = viewing
        self._steering = steering
        self._timeout_ms = timeout_ms

    async def collect(self, request: PlayRequest) -> StartData:
        """Collect the data. Of several failures the viewer's is raised first, then the title's, then the edges'.

        Raises NotEntitled, TooMature, DeadlineExceeded, and what the other domains raise.
        """
        with context.with_timeout(self._timeout_ms) as limited:
            timeout_s = (limited.remaining_ms() or 0) / 1000
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._collect(request, timeout_s)
            except TimeoutError as error:
                raise DeadlineExceeded(service="playback") from error

    async def _collect(self, request: PlayRequest, timeout_s: float) -> StartData:
        viewer, playable, edges, position = await asyncio.gather(
            self._identity.viewer(
                account_id=request.account_id, profile_id=request.profile_id, sign_in_id=request.sign_in_id
            ),
            self._catalogue.playable(
                title_id=request.title_id, territory=request.territory, episode_id=request.episode_id
            ),
            self._steering.rank(client_ip=request.client_ip),
            self._get_position(request, timeout_s * RESUME_SHARE),
            return_exceptions=True,
        )
        viewer = _unwrap(viewer)
        _check_entitled(viewer)
        playable = _unwrap(playable)
        _check_maturity(playable, viewer)
        position = _unwrap(position)
        if position is not None and playable.episode is not None and request.episode_id is None:
            playable = await self._resume_series(request, playable, position)
        return StartData(playable=playable, edges=_unwrap(edges), position=position)

    async def _get_position(self, request: PlayRequest, timeout_s: float) -> Position | None:
        if request.from_start:
            return None
        try:
            async with asyncio.timeout(timeout_s):
                return await self._viewing.get_position(
                    account_id=request.account_id,
                    profile_id=request.profile_id,
                    title_id=request.title_id,
                    episode_id=request.episode_id,
                )
        except Exception as error:  # playback then starts at the beginning
            _log.warning("playback.no_resume_point", error=repr(error))
            return None

    async def _resume_series(self, request: PlayRequest, first: Playable, position: Position) -> Playable:
        """Return the episode that a series goes on with after its last position; the first if that cannot be found."""
        try:
            return await self._catalogue.playable(
                title_id=request.title_id,
                territory=request.territory,
                last_episode_id=position.episode_id,
                last_finished=position.is_finished,
            )
        except Problem as error:
            _log.warning("playback.no_resume_episode", error=repr(error))
            return first


def _unwrap(outcome: T | BaseException) -> T:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _check_entitled(viewer: Viewer) -> None:
    if viewer.account.status != "active":
        raise NotEntitled(detail="This account is closed.")


def _check_maturity(playable: Playable, viewer: Viewer) -> None:
    if playable.maturity > viewer.profile.maturity:
        raise TooMature(maturity=playable.maturity, profile_maturity=viewer.profile.maturity)
