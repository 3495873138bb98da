"""A play session from its first manifest to its end: links, renewals, revocations."""

import re
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.playback_rig import EDGE_IDS, NOW, TITLE, Deployment, is_valid_link, open_deployment, principal

from matinee.catalogue.api import TitleNotFound
from matinee.events.api import (
    BatchHandler,
    PlaybackEnded,
    PlaybackHeartbeat,
    PlaybackStarted,
    ProfileChanged,
    ProfileRemoved,
    SignInsEnded,
    new_record,
)
from matinee.identity.api import ProfileNotFound, TokenRejected
from matinee.kit import ids
from matinee.kit.ids import AssetId, PlaySessionId, SignInId
from matinee.kit.problem import Unreachable
from matinee.playback import jobs
from matinee.playback.api import LinkExpired, SessionNotFound
from matinee.playback.model.reports import LIMIT, WINDOW_S


class OneBatch:
    """A follower that delivers its facts once."""

    def __init__(self, *facts: Any) -> None:
        self._records = [new_record(fact, key="", now=NOW) for fact in facts]

    async def follow(self, *, types: tuple[type[Any], ...], handle: BatchHandler, **_: Any) -> None:
        assert all(isinstance(record.fact, types) for record in self._records)
        await handle(self._records)


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with open_deployment(tmp_path) as deployment:
        yield deployment


async def test_manifest_needs_the_token_of_its_session(deployment: Deployment) -> None:
    play, other = await deployment.start(), await deployment.start(principal("bo"))
    token = play.dash_path.split("/")[-2]
    beacon = play.beacon_path.split("/")[-1]
    for session_id, given in (
        (other.session_id, token),
        (play.session_id, beacon),
        (play.session_id, ""),
        (play.session_id, "ffffffff-x"),
    ):
        with pytest.raises(LinkExpired):
            await deployment.playback.get_manifest(session_id=session_id, token=given, name="manifest.mpd")
    assert "<MPD" in await deployment.manifest(play)
    assert (await deployment.manifest(play, "master.m3u8")).startswith("#EXTM3U")


async def test_sessions_of_an_ended_sign_in_end_with_their_licences(deployment: Deployment) -> None:
    ended, kept, other = principal(), replace(principal(), sign_in_id=ids.derive(SignInId, "tv")), principal("bo")
    plays = [await deployment.start(who) for who in (ended, kept, other)]
    deployment.domains.ended_sign_ins.add(ended.sign_in_id)
    with pytest.raises(TokenRejected):
        await deployment.start(ended)
    follower = OneBatch(
        SignInsEnded(account_id=ended.account_id, sign_in_id=ended.sign_in_id),
        SignInsEnded(account_id=other.account_id, sign_in_id=ids.derive(SignInId, "another")),
    )
    await jobs.end_revoked_sessions(deployment.playback, follower)
    with pytest.raises(SessionNotFound):
        await deployment.manifest(plays[0])
    with pytest.raises(SessionNotFound):
        await deployment.heartbeat(plays[0])
    for play in plays[1:]:
        assert "<MPD" in await deployment.manifest(play)
    assert [call["session_id"] for call in deployment.domains.calls_of("revoke")] == [plays[0].session_id]
    ends = [fact.reason for fact in await deployment.relay_facts() if isinstance(fact, PlaybackEnded)]
    assert ends == ["revoked"]


@pytest.mark.parametrize("fact", [ProfileChanged, ProfileRemoved])
async def test_sessions_above_a_lowered_maturity_end(deployment: Deployment, fact: type[Any]) -> None:
    who = principal()
    play = await deployment.start()
    change = {"account_id": who.account_id, "profile_id": who.profile_id}
    change |= {"maturity": 12} if fact is ProfileChanged else {}
    deployment.domains.maturity = 12  # that of the film
    await jobs.end_revoked_sessions(deployment.playback, OneBatch(fact(**change)))
    assert "<MPD" in await deployment.manifest(play)
    if fact is ProfileChanged:
        deployment.domains.maturity = 11
    else:
        deployment.domains.failing["viewer"] = ProfileNotFound(profile_id=who.profile_id)
    await jobs.end_revoked_sessions(deployment.playback, OneBatch(fact(**change)))
    with pytest.raises(SessionNotFound):
        await deployment.playback.renew(principal=who, session_id=play.session_id, client_ip="192.0.2.7")


async def test_sessions_stay_while_identity_cannot_be_asked(deployment: Deployment) -> None:
    play = await deployment.start()
    deployment.domains.failing["viewer"] = Unreachable(service="identity")
    with pytest.raises(Unreachable):  # so that the follower tries again
        await deployment.playback.end_revoked(account_id=principal().account_id)
    assert "<MPD" in await deployment.manifest(play)


async def test_expired_links_are_renewed_during_the_session(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, link_s=60, session_s=3600)
    play = await deployment.start()
    old = play.deliveries[0].base_url
    assert play.expires_at == NOW + timedelta(seconds=60)
    now = deployment.clock.advance(seconds=61)
    assert not is_valid_link(old, now)
    body = await deployment.manifest(play)
    assert old not in body
    assert is_valid_link(body, now)
    playlist = await deployment.manifest(play, "v480.m3u8")
    assert is_valid_link(playlist, now)
    assert "/api/v1/licences/hls/licence-2/" in playlist  # with a new licence token
    renewed = await deployment.playback.renew(principal=principal(), session_id=play.session_id, client_ip="192.0.2.7")
    assert is_valid_link(renewed.deliveries[0].base_url, now)
    assert renewed.expires_at == now + timedelta(seconds=60)
    assert not is_valid_link(renewed.deliveries[0].base_url, now, ids.derive(AssetId, "other"))


async def test_links_in_manifests_are_valid_as_long_as_the_session(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, link_s=60, session_s=3600)
    play = await deployment.start()
    bodies = [await deployment.manifest(play, name) for name in ("manifest.mpd", "v480.m3u8")]
    now = deployment.clock.advance(seconds=3600)
    assert not is_valid_link(play.deliveries[0].base_url, now)
    assert all(is_valid_link(body, now) for body in bodies)
    assert "<MPD" in await deployment.manifest(play)
    expiry = {terms["terms"].expires_at for terms in deployment.domains.calls_of("grant")}
    assert expiry == {NOW + timedelta(seconds=60), NOW + timedelta(milliseconds=play.duration_ms, seconds=3600)}


async def test_requests_for_manifests_keep_a_session_open(deployment: Deployment) -> None:
    polled, left = await deployment.start(), await deployment.start(principal("bo"))
    for _ in range(4):
        deployment.clock.advance(seconds=400)
        assert "PATHWAY-PRIORITY" in await deployment.manifest(polled, "steering.json")
        await deployment.playback.end_idle()
    assert "<MPD" in await deployment.manifest(polled)
    with pytest.raises(SessionNotFound):
        await deployment.manifest(left)


async def test_session_without_heartbeats_lasts_until_it_expires(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, link_s=60, session_s=3600)
    play = await deployment.start(heartbeats=False)
    assert play.expires_at == NOW + timedelta(milliseconds=play.duration_ms, seconds=3600)
    for _ in range(5):
        deployment.clock.advance(seconds=700)
        assert await deployment.playback.end_idle() == 0
    assert is_valid_link(play.deliveries[0].base_url, deployment.clock.now())
    assert "<MPD" in await deployment.manifest(play)
    for _ in range(2):
        deployment.clock.advance(seconds=700)
        await deployment.playback.end_idle()
    assert [fact.reason for fact in await deployment.relay_facts() if isinstance(fact, PlaybackEnded)] == ["lost"]


async def test_links_expire_with_the_session(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, link_s=600, session_s=900)
    play = await deployment.start()
    deployment.clock.advance(seconds=600)
    renewed = await deployment.playback.renew(principal=principal(), session_id=play.session_id, client_ip="192.0.2.7")
    film_s = play.duration_ms // 1000
    assert renewed.expires_at == NOW + timedelta(seconds=900 + film_s)
    deployment.clock.advance(seconds=300 + film_s)
    with pytest.raises(LinkExpired):
        await deployment.manifest(play)
    with pytest.raises(SessionNotFound):
        await deployment.heartbeat(play)


async def test_failed_edge_is_ranked_last_from_then_on(deployment: Deployment) -> None:
    play = await deployment.start()
    failed = (EDGE_IDS[0],)
    renewed = await deployment.playback.renew(
        principal=principal(), session_id=play.session_id, client_ip="192.0.2.7", failed=failed
    )
    assert [delivery.edge_id for delivery in renewed.deliveries] == [*EDGE_IDS[1:], EDGE_IDS[0]]
    assert deployment.domains.calls_of("observe") == [{"edge_id": EDGE_IDS[0], "succeeded": False}]
    hosts = re.findall(r"<BaseURL[^>]*>http://([^/]+)/", await deployment.manifest(play))
    assert hosts == [*EDGE_IDS[1:], EDGE_IDS[0]]
    again = await deployment.playback.renew(principal=principal(), session_id=play.session_id, client_ip="192.0.2.7")
    assert again.deliveries[0].edge_id == EDGE_IDS[1]


async def test_only_failures_of_edges_that_a_session_was_given_count(deployment: Deployment) -> None:
    deployment.domains.edge_ids = EDGE_IDS[:2]
    play = await deployment.start()
    failed = tuple(EDGE_IDS)
    await deployment.playback.renew(
        principal=principal(), session_id=play.session_id, client_ip="192.0.2.7", failed=(*failed, EDGE_IDS[0])
    )
    reported = [call["edge_id"] for call in deployment.domains.calls_of("observe")]
    assert sorted(reported) == sorted(EDGE_IDS[:2])
    await deployment.heartbeat(play, edge_id=EDGE_IDS[2])
    await deployment.heartbeat(play, edge_id=EDGE_IDS[2], state="failed")
    assert len(deployment.domains.calls_of("observe")) == 2
    deployment.domains.edge_ids = EDGE_IDS[2:]
    await deployment.manifest(play)
    for edge_id in (EDGE_IDS[0], EDGE_IDS[2]):
        await deployment.heartbeat(play, edge_id=edge_id, state="failed")
    reported = [call["edge_id"] for call in deployment.domains.calls_of("observe")]
    assert reported[2:] == [EDGE_IDS[0], EDGE_IDS[2]]


async def test_failures_reported_by_one_account_are_capped(deployment: Deployment) -> None:
    async def report(name: str, times: int) -> int:
        play = await deployment.start(principal(name))
        before = len(deployment.domains.calls_of("observe"))
        for number in range(times):
            await deployment.playback.renew(
                principal=principal(name),
                session_id=play.session_id,
                client_ip=f"192.0.{number}.7",
                failed=tuple(EDGE_IDS[:1]),
            )
        return len(deployment.domains.calls_of("observe")) - before

    assert await report("ada", LIMIT + 8) == LIMIT
    assert await report("ada", 1) == 0
    assert await report("bo", 2) == 2
    deployment.clock.advance(seconds=WINDOW_S)
    assert await report("ada", 1) == 1


async def test_session_of_another_profile_is_not_found(deployment: Deployment) -> None:
    play = await deployment.start()
    bo = principal("bo")
    sibling = replace(principal(), profile_id=bo.profile_id)
    for who in (bo, sibling):
        for call in (
            deployment.heartbeat(play, who),
            deployment.end(play, who),
            deployment.playback.renew(principal=who, session_id=play.session_id, client_ip="192.0.2.7"),
        ):
            await _check_not_found(call, play.session_id)
    await _check_not_found(deployment.end(replace(play, session_id=ids.derive(PlaySessionId, "none"))))
    assert deployment.domains.calls_of("record") == deployment.domains.calls_of("revoke") == []


async def _check_not_found(call: Awaitable[Any], session_id: PlaySessionId | None = None) -> None:
    with pytest.raises(SessionNotFound) as caught:
        await call
    assert caught.value.facts().keys() == {"detail", "session_id"}
    assert session_id in {None, caught.value.session_id}


async def test_ended_session_accepts_no_requests(deployment: Deployment) -> None:
    play = await deployment.start()
    for _ in range(2):
        await deployment.end(play, position_ms=42_000, state="paused")
    assert deployment.domains.calls_of("record")[-1]["position"].position_ms == 42_000
    assert deployment.domains.calls_of("revoke") == [
        {"session_id": play.session_id, "expires_at": NOW + timedelta(hours=24, seconds=100)}
    ]
    started, heartbeat, ended = await deployment.relay_facts()
    assert (type(started), type(heartbeat)) == (PlaybackStarted, PlaybackHeartbeat)
    assert isinstance(ended, PlaybackEnded)
    assert (ended.position_ms, ended.reason) == (42_000, "stopped")
    for call in (deployment.manifest(play), deployment.heartbeat(play)):
        with pytest.raises(SessionNotFound):
            await call


async def test_session_stays_open_where_keys_cannot_be_revoked(deployment: Deployment) -> None:
    play = await deployment.start()
    deployment.domains.failing["revoke"] = Unreachable(service="licensing")
    with pytest.raises(Unreachable):
        await deployment.end(play)
    deployment.domains.failing = {}
    await deployment.end(play)
    assert isinstance((await deployment.relay_facts())[-1], PlaybackEnded)


async def test_withdrawn_title_can_be_watched_to_its_end(deployment: Deployment) -> None:
    play = await deployment.start()
    deployment.domains.failing["playable"] = TitleNotFound(title_id=TITLE)
    assert "<MPD" in await deployment.manifest(play)
    with pytest.raises(TitleNotFound):
        await deployment.start()
