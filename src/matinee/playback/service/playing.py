"""The service: sessions from start to end."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec

from matinee.catalogue.api import Asset, Catalogue
from matinee.events.api import PlaybackEnded, PlaybackHeartbeat, PlaybackStarted, new_record
from matinee.identity.api import Identity
from matinee.kit import ids, log
from matinee.kit.clock import Clock
from matinee.kit.context import Principal
from matinee.kit.hashing import verify_path_token
from matinee.kit.ids import EdgeId, EpisodeId, PlaySessionId, TitleId
from matinee.licensing.api import LicenceTerms, Licensing
from matinee.playback.api import (
    Capabilities,
    Delivery,
    Heartbeat,
    LinkExpired,
    Manifest,
    PlaySession,
    Renewal,
    SessionNotFound,
)
from matinee.playback.model import links, sessions
from matinee.playback.model.capabilities import fitting, labels
from matinee.playback.model.checks import check_capabilities, check_failed, check_heartbeat
from matinee.playback.model.manifests import ManifestSource, render
from matinee.playback.model.networks import Networks
from matinee.playback.model.offer import Grants, play_session
from matinee.playback.model.resume import resume_ms
from matinee.playback.model.sessions import StoredSession
from matinee.playback.ports import SessionStore
from matinee.playback.service.lookup import Found, Lookup, Press
from matinee.steering.api import RankedEdge, Steering
from matinee.viewing.api import Viewing

_log = log.get()
_IDLE_BATCH = 200
_FORGET_AFTER = timedelta(days=1)


class PlaybackService:
    """Fulfils `playback.api.Playback`.

    `token_key` signs manifest and beacon links, `edge_token_key` what the edges verify. `link_s` is how long a link to
    segments and a licence token are good, `session_s` how long a session and its manifest link, `idle_s` how long a
    player may be silent, `start_ms` how long pressing play may take, `start_bandwidth_bps` what a player begins with
    on a network that nobody was heard from.
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
        link_s: int = 6 * 3600,
        session_s: int = 12 * 3600,
        idle_s: int = 600,
        heartbeat_ms: int = 30_000,
        start_ms: int = 2_000,
        start_bandwidth_bps: int = 3_000_000,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._viewing = viewing
        self._steering = steering
        self._licensing = licensing
        self._clock = clock
        self._token_key = token_key
        self._edge_token_key = edge_token_key
        self._link = timedelta(seconds=link_s)
        self._life = timedelta(seconds=session_s)
        self._idle = timedelta(seconds=idle_s)
        self._heartbeat_ms = heartbeat_ms
        self._networks = Networks(default_bps=start_bandwidth_bps)
        self._lookup = Lookup(
            identity=identity, catalogue=catalogue, viewing=viewing, steering=steering, limit_ms=start_ms
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
    ) -> PlaySession:
        check_capabilities(capabilities)
        press = Press.by(
            principal,
            title_id=title_id,
            episode_id=episode_id,
            territory=territory,
            client_ip=client_ip,
            from_start=from_start,
        )
        found = await self._lookup.find(press)
        asset = fitting(found.playable.asset, capabilities)
        session = self._opened(principal, press, capabilities, found)
        fact = sessions.started(session, tuple(edge.edge_id for edge in found.edges))
        grants, _ = await asyncio.gather(
            self._grants(session, asset, found.edges, session.started_at),
            self._store.create(session=session, records=[_record(fact, session.started_at)]),
        )
        return play_session(
            session,
            found.playable,
            asset,
            grants,
            key=self._token_key,
            heartbeat_ms=self._heartbeat_ms,
            start_bandwidth_bps=self._networks.start_bps(client_ip),
        )

    async def manifest(self, *, session_id: PlaySessionId, token: str, name: str) -> Manifest:
        now = self._clock.now()
        self._check(links.manifest_scope(session_id), token, now)
        session = await self._open_session(session_id, now)
        whole, edges = await asyncio.gather(
            self._catalogue.asset(asset_id=session.asset_id),
            self._steering.rank(client_ip=session.client_ip, avoid=session.avoid),
        )
        asset = fitting(whole, session.capabilities)
        grants = await self._grants(session, asset, edges, now)
        source = ManifestSource(asset=asset, deliveries=grants.deliveries, original_language=session.original_language)
        return render(name, source, links.hls_key_folder(grants.licence_token))

    async def renew(
        self, *, principal: Principal, session_id: PlaySessionId, client_ip: str, failed: tuple[EdgeId, ...] = ()
    ) -> Renewal:
        check_failed(failed)
        now = self._clock.now()
        session = await self._own_session(principal, session_id, now)
        avoid = failed or session.avoid
        await asyncio.gather(
            self._store.avoid_edges(session_id=session_id, edge_ids=avoid, now=now),
            *(self._observe(client_ip, edge_id, succeeded=False) for edge_id in failed),
        )
        whole, edges = await asyncio.gather(
            self._catalogue.asset(asset_id=session.asset_id),
            self._steering.rank(client_ip=client_ip, avoid=avoid),
        )
        grants = await self._grants(session, fitting(whole, session.capabilities), edges, now)
        return Renewal(
            deliveries=list(grants.deliveries), licence_token=grants.licence_token, expires_at=grants.expires_at
        )

    async def heartbeat(
        self, *, principal: Principal, session_id: PlaySessionId, heartbeat: Heartbeat, client_ip: str
    ) -> None:
        check_heartbeat(heartbeat)
        now = self._clock.now()
        await self._heartbeat(await self._own_session(principal, session_id, now), heartbeat, client_ip, now)

    async def beacon(self, *, session_id: PlaySessionId, token: str, heartbeat: Heartbeat, client_ip: str) -> None:
        check_heartbeat(heartbeat)
        now = self._clock.now()
        self._check(links.beacon_scope(session_id), token, now)
        await self._heartbeat(await self._open_session(session_id, now), heartbeat, client_ip, now)

    async def end(self, *, principal: Principal, session_id: PlaySessionId, heartbeat: Heartbeat) -> None:
        check_heartbeat(heartbeat)
        now = self._clock.now()
        session = await self._store.find(session_id=session_id)
        if session is None or not sessions.belongs(session, principal):
            raise SessionNotFound(session_id=session_id)
        if session.ended_at is not None:
            return
        await self._record(session, heartbeat, now)
        facts: list[PlaybackHeartbeat | PlaybackEnded] = [
            sessions.seen(session, heartbeat),
            sessions.ended(session, sessions.position_in(session, heartbeat), sessions.end_reason(heartbeat)),
        ]
        await self._close(session, sessions.position_in(session, heartbeat), now, facts)

    async def end_idle(self) -> int:
        """End sessions whose player fell silent, and forget those long over; tells how many were ended."""
        now = self._clock.now()
        lost = await self._store.find_idle(since=now - self._idle, limit=_IDLE_BATCH)
        for session in lost:
            await self._close(session, session.position_ms, now, [sessions.ended(session, session.position_ms, "lost")])
        await self._store.delete_ended(before=now - _FORGET_AFTER)
        return len(lost)

    def _opened(self, principal: Principal, press: Press, capabilities: Capabilities, found: Found) -> StoredSession:
        now = self._clock.now()
        playable, asset = found.playable, found.playable.asset
        episode_id = playable.episode.episode_id if playable.episode else None
        return StoredSession(
            session_id=ids.generate(PlaySessionId, now),
            account_id=press.account_id,
            profile_id=press.profile_id,
            device_id=principal.device_id,
            title_id=press.title_id,
            asset_id=asset.asset_id,
            original_language=playable.original_language,
            capabilities=capabilities,
            duration_ms=asset.duration_ms,
            client_ip=press.client_ip,
            started_at=now,
            last_seen_at=now,
            expires_at=now + self._life,
            position_ms=resume_ms(found.position, episode_id, asset.duration_ms),
            episode_id=episode_id,
        )

    async def _grants(self, session: StoredSession, asset: Asset, edges: list[RankedEdge], now: datetime) -> Grants:
        """Signed links and a licence token, good from now."""
        expires_at = min(now + self._link, session.expires_at)
        terms = LicenceTerms(
            session_id=session.session_id,
            title_id=session.title_id,
            asset_id=session.asset_id,
            profile_id=session.profile_id,
            device_id=session.device_id,
            labels=labels(asset),
            expires_at=expires_at,
        )
        return Grants(
            deliveries=self._deliveries(edges, asset, expires_at),
            licence_token=await self._licensing.grant(terms=terms),
            expires_at=expires_at,
        )

    def _deliveries(self, edges: list[RankedEdge], asset: Asset, expires_at: datetime) -> list[Delivery]:
        return links.deliveries(self._edge_token_key, edges, asset.asset_id, expires_at)

    async def _heartbeat(self, session: StoredSession, heartbeat: Heartbeat, client_ip: str, now: datetime) -> None:
        # The position first: where that fails nothing has been counted, and the player can say it again.
        await self._record(session, heartbeat, now)
        records = [_record(sessions.seen(session, heartbeat), now)]
        if not await self._store.move(
            session_id=session.session_id,
            position_ms=sessions.position_in(session, heartbeat),
            now=now,
            records=records,
        ):
            raise SessionNotFound(session_id=session.session_id)
        if heartbeat.bandwidth_bps:
            self._networks.learn(client_ip, heartbeat.bandwidth_bps)
        if heartbeat.edge_id is not None:
            await self._observe(client_ip, heartbeat.edge_id, succeeded=heartbeat.state != "failed")

    async def _record(self, session: StoredSession, heartbeat: Heartbeat, now: datetime) -> None:
        if (position := sessions.moved_to(session, heartbeat, now)) is not None:
            await self._viewing.record(position=position)

    async def _observe(self, client_ip: str, edge_id: EdgeId, *, succeeded: bool) -> None:
        try:
            await self._steering.observe(client_ip=client_ip, edge_id=edge_id, succeeded=succeeded)
        except Exception as error:  # one observation more or less
            _log.warning("playback.not_observed", edge_id=edge_id, error=repr(error))

    async def _close(
        self, session: StoredSession, position_ms: int, now: datetime, facts: list[PlaybackHeartbeat | PlaybackEnded]
    ) -> None:
        # Revoked before it is closed: were it the other way round, a failure between would leave keys to be had.
        await self._licensing.revoke(session_id=session.session_id, expires_at=session.expires_at)
        await self._store.close(
            session_id=session.session_id,
            position_ms=position_ms,
            now=now,
            records=[_record(fact, now) for fact in facts],
        )

    def _check(self, scope: str, token: str, now: datetime) -> None:
        if not verify_path_token(self._token_key, scope, token, now.timestamp()):
            raise LinkExpired

    async def _own_session(self, principal: Principal, session_id: PlaySessionId, now: datetime) -> StoredSession:
        session = await self._open_session(session_id, now)
        if not sessions.belongs(session, principal):
            raise SessionNotFound(session_id=session_id)
        return session

    async def _open_session(self, session_id: PlaySessionId, now: datetime) -> StoredSession:
        session = await self._store.find(session_id=session_id)
        if session is None or session.ended_at is not None or session.expires_at <= now:
            raise SessionNotFound(session_id=session_id)
        return session


def _record(fact: PlaybackStarted | PlaybackHeartbeat | PlaybackEnded, now: datetime) -> bytes:
    return msgspec.json.encode(new_record(fact, key=fact.profile_id, now=now))
