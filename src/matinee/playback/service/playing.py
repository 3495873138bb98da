"""The playback service: sessions from start to end."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec

from matinee.catalogue.api import Asset, Catalogue
from matinee.events.api import PlaybackEnded, PlaybackHeartbeat, PlaybackStarted, new_record
from matinee.identity.api import Identity, ProfileNotFound, TokenRejected
from matinee.kit import ids, log
from matinee.kit.clock import Clock
from matinee.kit.context import Principal
from matinee.kit.hashing import verify_path_token
from matinee.kit.ids import AccountId, EdgeId, EpisodeId, PlaySessionId, ProfileId, SignInId, TitleId
from matinee.kit.lru import LruCache
from matinee.kit.problem import Forbidden
from matinee.kit.structs import build_from
from matinee.licensing.api import LicenceTerms, Licensing
from matinee.playback.api import (
    Capabilities,
    Heartbeat,
    KeyFormat,
    LinkExpired,
    Manifest,
    PlaySession,
    Renewal,
    SessionNotFound,
)
from matinee.playback.model import links, sessions
from matinee.playback.model.answer import build_play_session
from matinee.playback.model.bandwidth import BandwidthHistory
from matinee.playback.model.capabilities import list_key_labels, select_tracks
from matinee.playback.model.checks import check_capabilities, check_failed, check_heartbeat
from matinee.playback.model.manifests import ManifestRenderer
from matinee.playback.model.options import PlaybackOptions
from matinee.playback.model.reports import FailureReports
from matinee.playback.model.sessions import StoredSession
from matinee.playback.ports import SessionStore
from matinee.playback.service.lookup import PlayRequest, StartData, StartLookup
from matinee.steering.api import RankedEdge, Steering
from matinee.viewing.api import Viewing

_log = log.get()
_BATCH, _BATCHES = 200, 500
_ACCOUNT_LIMIT = 10_000
_DELETE_AFTER = timedelta(days=1)
_POSITIONS = 10_000
# A request for a manifest is recorded after this share of the time without a heartbeat.
_QUIET_SHARE = 0.25


class PlaybackService:
    """Implements `playback.api.Playback`.

    `token_key` signs manifest and beacon links, `edge_token_key` the links that edges verify.
    """

    def __init__(
        self,
        *,
        store: SessionStore,
        identity: Identity,
        catalogue: Catalogue,
        viewing: Viewing,
        steering: Steering,
        licensing: Licensing,
        clock: Clock,
        token_key: bytes,
        edge_token_key: bytes,
        options: PlaybackOptions,
    ) -> None:
        self._store = store
        self._identity = identity
        self._catalogue = catalogue
        self._viewing = viewing
        self._steering = steering
        self._licensing = licensing
        self._clock = clock
        self._token_key = token_key
        self._edge_token_key = edge_token_key
        self._options = options
        self._manifests = ManifestRenderer()
        self._failures = FailureReports()
        # Stores gather heartbeats, so a session that was just read may be older than the last heartbeat.
        self._last_positions: LruCache[PlaySessionId, int] = LruCache(_POSITIONS)
        self._bandwidths = BandwidthHistory(default_bps=options.start_bandwidth_bps)
        self._lookup = StartLookup(
            identity=identity, catalogue=catalogue, viewing=viewing, steering=steering, timeout_ms=options.start_ms
        )

    async def start(
        self,
        *,
        principal: Principal,
        title_id: TitleId,
        capabilities: Capabilities,
        client_ip: str,
        territory: str,
        episode_id: EpisodeId | None = None,
        from_start: bool = False,
        heartbeats: bool = True,
    ) -> PlaySession:
        check_capabilities(capabilities)
        if principal.profile_id is None:
            raise Forbidden(detail="Choose a profile first.")
        request = PlayRequest(
            account_id=principal.account_id,
            profile_id=principal.profile_id,
            sign_in_id=principal.sign_in_id,
            title_id=title_id,
            episode_id=episode_id,
            territory=territory,
            client_ip=client_ip,
            from_start=from_start,
        )
        data = await self._lookup.collect(request)
        asset = select_tracks(data.playable.asset, capabilities)
        session = self._create_session(principal, request, capabilities, data, heartbeats=heartbeats)
        fact = sessions.to_started_fact(session, session.served)
        grants, _ = await asyncio.gather(
            self._grant(session, asset, data.edges, self._compute_expiry(session, session.started_at)),
            self._store.create(session=session, records=[_encode(fact, session.started_at)]),
        )
        return build_play_session(
            session,
            data.playable,
            asset,
            grants,
            key=self._token_key,
            heartbeat_ms=self._options.heartbeat_ms,
            start_bandwidth_bps=self._bandwidths.estimate_start_bps(client_ip),
        )

    async def get_manifest(
        self,
        *,
        session_id: PlaySessionId,
        token: str,
        name: str,
        origin: str = "",
        key_format: KeyFormat = "identity",
    ) -> Manifest:
        now = self._clock.now()
        self._check_token(links.get_manifest_scope(session_id), token, now)
        session = await self._get_open_session(session_id, now)
        asset, grants = await self._renew_grants(session, session.client_ip, session.avoid, session.expires_at)
        served = sessions.add_served(session, _list_edges(grants))
        is_quiet = now - session.last_seen_at > timedelta(seconds=self._options.idle_s) * _QUIET_SHARE
        if served != session.served or is_quiet:
            await self._store.set_edges(session_id=session_id, avoid=session.avoid, served=served, now=now)
        keys = links.build_key_links(grants.licence_token, origin, key_format)
        return self._manifests.render(name, asset, grants.deliveries, session.original_language, keys)

    async def renew(
        self, *, principal: Principal, session_id: PlaySessionId, client_ip: str, failed: tuple[EdgeId, ...] = ()
    ) -> Renewal:
        check_failed(failed)
        now = self._clock.now()
        session = await self._get_own_session(principal, session_id, now)
        avoid = failed or session.avoid
        reported = dict.fromkeys(failed)
        await asyncio.gather(
            *(self._report_edge(session, client_ip, edge_id, now, succeeded=False) for edge_id in reported)
        )
        _, grants = await self._renew_grants(session, client_ip, avoid, self._compute_expiry(session, now))
        served = sessions.add_served(session, _list_edges(grants))
        await self._store.set_edges(session_id=session_id, avoid=avoid, served=served, now=now)
        return grants

    async def record_heartbeat(
        self, *, principal: Principal, session_id: PlaySessionId, heartbeat: Heartbeat, client_ip: str
    ) -> None:
        check_heartbeat(heartbeat)
        now = self._clock.now()
        session = await self._get_own_session(principal, session_id, now)
        await self._handle_heartbeat(session, heartbeat, client_ip, now)

    async def record_beacon(
        self, *, session_id: PlaySessionId, token: str, heartbeat: Heartbeat, client_ip: str
    ) -> None:
        check_heartbeat(heartbeat)
        now = self._clock.now()
        self._check_token(links.get_beacon_scope(session_id), token, now)
        await self._handle_heartbeat(await self._get_open_session(session_id, now), heartbeat, client_ip, now)

    async def end(self, *, principal: Principal, session_id: PlaySessionId, heartbeat: Heartbeat) -> None:
        check_heartbeat(heartbeat)
        now = self._clock.now()
        session = await self._store.find(session_id=session_id)
        if session is None or not sessions.is_owned_by(session, principal):
            raise SessionNotFound(session_id=session_id)
        if session.ended_at is not None:
            return
        position_ms = await self._record_position(session, heartbeat, now)
        facts: list[PlaybackHeartbeat | PlaybackEnded] = [
            sessions.to_heartbeat_fact(session, heartbeat, now),
            sessions.to_ended_fact(session, position_ms, sessions.get_end_reason(heartbeat)),
        ]
        await self._close(session, position_ms, now, facts)

    async def end_idle(self) -> int:
        """End sessions without heartbeats and return how many; delete those that ended long ago."""
        now = self._clock.now()
        since = now - timedelta(seconds=self._options.idle_s)
        ended = 0
        for _ in range(_BATCHES):
            idle = await self._store.list_idle(since=since, now=now, limit=_BATCH)
            if not idle:
                break
            # Concurrently, so that a store commits them together.
            ended += sum(await asyncio.gather(*(self._end_if_idle(session, now) for session in idle)))
        await self._store.delete_ended(before=now - _DELETE_AFTER)
        return ended

    async def _end_if_idle(self, session: StoredSession, now: datetime) -> bool:
        """End a session, unless its player reports nothing or its clock was ahead; return whether it was ended."""
        if session.last_seen_at > now or (not session.heartbeats and session.expires_at > now):
            await self._store.move(session_id=session.session_id, position_ms=session.position_ms, now=now, records=[])
            return False
        fact = sessions.to_ended_fact(session, session.position_ms, "lost")
        await self._close(session, session.position_ms, now, [fact])
        return True

    async def end_revoked(self, *, account_id: AccountId) -> int:
        """End the sessions of an account that may no longer play, and return how many."""
        allowed: dict[tuple[ProfileId, SignInId | None], int] = {}
        ended = 0
        for session in await self._store.list_open(account_id=account_id, limit=_ACCOUNT_LIMIT):
            viewer = (session.profile_id, session.sign_in_id)
            if viewer not in allowed:
                allowed[viewer] = await self._find_maturity(account_id, *viewer)
            if session.maturity > allowed[viewer]:
                fact = sessions.to_ended_fact(session, session.position_ms, "revoked")
                await self._close(session, session.position_ms, self._clock.now(), [fact])
                ended += 1
        return ended

    async def _find_maturity(self, account_id: AccountId, profile_id: ProfileId, sign_in_id: SignInId | None) -> int:
        """Return the highest age rating that a viewer may watch now, -1 where the viewer may watch nothing."""
        try:
            viewer = await self._identity.viewer(account_id=account_id, profile_id=profile_id, sign_in_id=sign_in_id)
        except (TokenRejected, ProfileNotFound, Forbidden):
            return -1
        return viewer.profile.maturity

    def _create_session(
        self,
        principal: Principal,
        request: PlayRequest,
        capabilities: Capabilities,
        data: StartData,
        *,
        heartbeats: bool,
    ) -> StoredSession:
        now = self._clock.now()
        playable, asset = data.playable, data.playable.asset
        episode_id = playable.episode.episode_id if playable.episode else None
        return StoredSession(
            session_id=ids.generate(PlaySessionId, now),
            account_id=request.account_id,
            profile_id=request.profile_id,
            device_id=principal.device_id,
            sign_in_id=principal.sign_in_id,
            maturity=playable.maturity,
            title_id=request.title_id,
            asset_id=asset.asset_id,
            original_language=playable.original_language,
            capabilities=capabilities,
            duration_ms=asset.duration_ms,
            client_ip=request.client_ip,
            started_at=now,
            last_seen_at=now,
            expires_at=now + timedelta(milliseconds=asset.duration_ms, seconds=self._options.session_s),
            position_ms=sessions.compute_resume_ms(data.position, episode_id, asset.duration_ms),
            episode_id=episode_id,
            served=tuple(edge.edge_id for edge in data.edges),
            heartbeats=heartbeats,
        )

    def _compute_expiry(self, session: StoredSession, now: datetime) -> datetime:
        """Compute until when links are valid that a player renews, or uses without ever renewing them."""
        if not session.heartbeats:
            return session.expires_at
        return min(now + timedelta(seconds=self._options.link_s), session.expires_at)

    async def _renew_grants(
        self, session: StoredSession, client_ip: str, avoid: tuple[EdgeId, ...], expires_at: datetime
    ) -> tuple[Asset, Renewal]:
        """Return the tracks that the device can play, and new links to them."""
        full_asset, edges = await asyncio.gather(
            self._catalogue.asset(asset_id=session.asset_id),
            self._steering.rank(client_ip=client_ip, avoid=avoid),
        )
        asset = select_tracks(full_asset, session.capabilities)
        return asset, await self._grant(session, asset, edges, expires_at)

    async def _grant(
        self, session: StoredSession, asset: Asset, edges: list[RankedEdge], expires_at: datetime
    ) -> Renewal:
        """Sign links and get a licence token."""
        terms = build_from(session, LicenceTerms, labels=list_key_labels(asset), expires_at=expires_at)
        return Renewal(
            deliveries=links.build_deliveries(self._edge_token_key, edges, asset.asset_id, expires_at),
            licence_token=await self._licensing.grant(terms=terms),
            expires_at=expires_at,
        )

    async def _handle_heartbeat(
        self, session: StoredSession, heartbeat: Heartbeat, client_ip: str, now: datetime
    ) -> None:
        has_failed = heartbeat.state == "failed"
        if has_failed and heartbeat.edge_id is not None:  # other viewers must not wait for what is stored here
            await self._report_edge(session, client_ip, heartbeat.edge_id, now, succeeded=False)
        # The position before the session: where that fails, no fact is stored and the player can repeat the heartbeat.
        position_ms = await self._record_position(session, heartbeat, now)
        records = [_encode(sessions.to_heartbeat_fact(session, heartbeat, now), now)]
        if not await self._store.move(session_id=session.session_id, position_ms=position_ms, now=now, records=records):
            raise SessionNotFound(session_id=session.session_id)
        if heartbeat.bandwidth_bps:
            self._bandwidths.record(client_ip, heartbeat.bandwidth_bps)
        if heartbeat.edge_id is not None and not has_failed:
            await self._report_edge(session, client_ip, heartbeat.edge_id, now, succeeded=True)

    async def _record_position(self, session: StoredSession, heartbeat: Heartbeat, now: datetime) -> int:
        """Record the viewer's position if it is new, and return that of the session."""
        if not sessions.has_position(heartbeat):
            return session.position_ms
        last_ms = self._last_positions.get(session.session_id)
        if (position := sessions.to_position(session, heartbeat, now, last_ms)) is not None:
            self._last_positions.put(session.session_id, position.position_ms)
            try:
                await self._viewing.record(position=position)
            except BaseException:
                self._last_positions.drop(session.session_id)
                raise
        return sessions.clamp_position(session, heartbeat)

    async def _report_edge(
        self, session: StoredSession, client_ip: str, edge_id: EdgeId, now: datetime, *, succeeded: bool
    ) -> None:
        """Report an outcome to steering, unless a client could only have made it up."""
        if edge_id not in session.served:
            return
        if not succeeded and not self._failures.count(session.account_id, now.timestamp()):
            return
        try:
            await self._steering.observe(client_ip=client_ip, edge_id=edge_id, succeeded=succeeded)
        except Exception as error:  # a lost observation does not matter
            _log.warning("playback.not_observed", edge_id=edge_id, error=repr(error))

    async def _close(
        self, session: StoredSession, position_ms: int, now: datetime, facts: list[PlaybackHeartbeat | PlaybackEnded]
    ) -> None:
        # Revoke first: after a failure in between, a closed session with valid keys would stay.
        await self._licensing.revoke(session_id=session.session_id, expires_at=session.expires_at)
        await self._store.close(
            session_id=session.session_id,
            position_ms=position_ms,
            now=now,
            records=[_encode(fact, now) for fact in facts],
        )

    def _check_token(self, scope: str, token: str, now: datetime) -> None:
        if not verify_path_token(self._token_key, scope, token, now.timestamp()):
            raise LinkExpired

    async def _get_own_session(self, principal: Principal, session_id: PlaySessionId, now: datetime) -> StoredSession:
        session = await self._get_open_session(session_id, now)
        if not sessions.is_owned_by(session, principal):
            raise SessionNotFound(session_id=session_id)
        return session

    async def _get_open_session(self, session_id: PlaySessionId, now: datetime) -> StoredSession:
        session = await self._store.find(session_id=session_id)
        if session is None or session.ended_at is not None or session.expires_at <= now:
            raise SessionNotFound(session_id=session_id)
        return session


def _list_edges(grants: Renewal) -> list[EdgeId]:
    return [delivery.edge_id for delivery in grants.deliveries]


def _encode(fact: PlaybackStarted | PlaybackHeartbeat | PlaybackEnded, now: datetime) -> bytes:
    return msgspec.json.encode(new_record(fact, key=fact.profile_id, now=now))
