"""Heartbeats of a player: positions, measurements, facts, and players that send none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.playback_rig import EDGE_IDS, NOW, Deployment, open_deployment, principal

from matinee.events.api import (
    FactRecord,
    PlaybackEnded,
    PlaybackHeartbeat,
    PlaybackStarted,
    relay_facts,
)
from matinee.kit.problem import Invalid, Unreachable
from matinee.playback import jobs
from matinee.playback.api import LinkExpired


class FakeEvents:
    """An event log that can be awaited."""

    def __init__(self) -> None:
        self.records: list[FactRecord] = []
        self._changed = asyncio.Condition()

    async def append(self, *, records: list[FactRecord]) -> list[int]:
        async with self._changed:
            self.records += records
            self._changed.notify_all()
        return list(range(len(records)))

    async def wait_for(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.records) >= count)


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with open_deployment(tmp_path) as deployment:
        yield deployment


async def test_heartbeat_records_position_edge_and_fact(deployment: Deployment) -> None:
    play = await deployment.start()
    deployment.clock.advance(seconds=30)
    await deployment.heartbeat(play, playing_ms=29_000, join_time_ms=120, edge_id=EDGE_IDS[1], rendition="v480")
    position = deployment.domains.calls_of("record")[0]["position"]
    assert (position.position_ms, position.duration_ms, position.updated_at) == (
        30_000,
        100_000,
        deployment.clock.now(),
    )
    assert deployment.domains.calls_of("observe") == [{"edge_id": EDGE_IDS[1], "succeeded": True}]
    _, heartbeat = await deployment.relay_facts()
    assert isinstance(heartbeat, PlaybackHeartbeat)
    assert (heartbeat.playing_ms, heartbeat.join_time_ms, heartbeat.edge_id, heartbeat.rendition) == (
        29_000,
        120,
        EDGE_IDS[1],
        "v480",
    )


async def test_heartbeats_of_a_paused_player_record_one_position(deployment: Deployment) -> None:
    play = await deployment.start()
    for state in ("playing", "paused", "paused"):
        deployment.clock.advance(seconds=30)
        await deployment.heartbeat(play, state=state)
    assert len(deployment.domains.calls_of("record")) == 1
    assert len(await deployment.relay_facts()) == 4


async def test_a_seek_forth_and_back_within_a_commit_ends_where_it_began(deployment: Deployment) -> None:
    play = await deployment.start()
    await deployment.heartbeat(play, position_ms=10_000)
    forth = asyncio.create_task(deployment.heartbeat(play, position_ms=90_000))
    await asyncio.sleep(0)
    deployment.clock.advance(seconds=1)
    await asyncio.gather(forth, deployment.heartbeat(play, position_ms=10_000))
    recorded = [call["position"].position_ms for call in deployment.domains.calls_of("record")]
    assert recorded == [10_000, 90_000, 10_000]


async def test_a_player_that_starts_where_it_pauses_has_a_position(deployment: Deployment) -> None:
    play = await deployment.start()
    for state in ("starting", "paused"):
        await deployment.heartbeat(play, position_ms=40_000, state=state)
    assert [call["position"].position_ms for call in deployment.domains.calls_of("record")] == [40_000]


async def test_next_session_starts_with_the_bandwidth_of_its_network(deployment: Deployment) -> None:
    play = await deployment.start()
    assert play.start_bandwidth_bps == 800_000
    await deployment.heartbeat(play, bandwidth_bps=10_000_000)
    assert (await deployment.start(principal("bo"))).start_bandwidth_bps == 3_500_000
    assert (await deployment.start(client_ip="198.51.100.1")).start_bandwidth_bps == 800_000


async def test_idle_sessions_end_also_after_a_failure(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, idle_s=600)
    await deployment.start()
    deployment.domains.failing["revoke"] = Unreachable(service="licensing")
    deployment.clock.advance(seconds=601)
    log = FakeEvents()
    relay = asyncio.create_task(relay_facts(deployment.store.outbox, cast(Any, log)))
    try:
        with contextlib.suppress(Unreachable):
            await jobs.end_idle_sessions(deployment.playback)
        await log.wait_for(1)
        deployment.domains.failing = {}
        await jobs.end_idle_sessions(deployment.playback)
        await log.wait_for(2)
    finally:
        relay.cancel()
    assert [type(record.fact) for record in log.records] == [PlaybackStarted, PlaybackEnded]
    assert {record.key for record in log.records} == {record.fact.profile_id for record in log.records}


async def test_failed_player_reports_its_edge_and_no_position(deployment: Deployment) -> None:
    play = await deployment.start()
    await deployment.heartbeat(play, state="failed", position_ms=0, edge_id=EDGE_IDS[0], error_code="1002")
    assert deployment.domains.calls_of("record") == []
    assert deployment.domains.calls_of("observe") == [{"edge_id": EDGE_IDS[0], "succeeded": False}]


async def test_failed_heartbeat_stores_no_fact_and_can_be_repeated(deployment: Deployment) -> None:
    play = await deployment.start()
    deployment.domains.failing["record"] = Unreachable(service="viewing")
    with pytest.raises(Unreachable):
        await deployment.heartbeat(play)
    deployment.domains.failing = {"observe": Unreachable(service="steering")}
    await deployment.heartbeat(play, edge_id=EDGE_IDS[0])
    assert [type(fact) for fact in await deployment.relay_facts()] == [PlaybackStarted, PlaybackHeartbeat]


async def test_beacon_needs_only_its_token(deployment: Deployment) -> None:
    play, other = await deployment.start(), await deployment.start(principal("bo"))
    token = play.beacon_path.split("/")[-1]
    heartbeat = deployment.make_heartbeat(position_ms=70_000, state="paused")
    await deployment.playback.record_beacon(
        session_id=play.session_id, token=token, heartbeat=heartbeat, client_ip="192.0.2.7"
    )
    assert deployment.domains.calls_of("record")[0]["position"].position_ms == 70_000
    for session_id, given in ((other.session_id, token), (play.session_id, play.dash_path.split("/")[-2])):
        with pytest.raises(LinkExpired):
            await deployment.playback.record_beacon(
                session_id=session_id, token=given, heartbeat=heartbeat, client_ip="192.0.2.7"
            )


async def test_idle_sessions_are_ended_and_later_deleted(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, idle_s=600)
    idle, alive = await deployment.start(), await deployment.start(principal("bo"))
    deployment.clock.advance(seconds=400)
    await deployment.heartbeat(idle, position_ms=12_000)
    await deployment.heartbeat(alive, principal("bo"))
    deployment.clock.advance(seconds=400)
    await deployment.heartbeat(alive, principal("bo"))
    assert await deployment.playback.end_idle() == 0
    deployment.clock.advance(seconds=300)
    await deployment.relay_facts()
    assert await deployment.playback.end_idle() == 1
    (lost,) = await deployment.relay_facts()
    assert (lost.session_id, lost.position_ms, lost.reason) == (idle.session_id, 12_000, "lost")
    assert deployment.domains.calls_of("revoke") == [
        {"session_id": idle.session_id, "expires_at": NOW + timedelta(hours=24, seconds=100)}
    ]
    deployment.clock.advance(days=2)
    await deployment.playback.end_idle()
    await deployment.playback.end_idle()
    assert await deployment.store.find(session_id=idle.session_id) is None


async def test_session_of_a_clock_that_was_ahead_becomes_idle(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, idle_s=600)
    deployment.clock.advance(hours=5)
    await deployment.start()
    deployment.clock.advance(hours=-5)
    ended = []
    for _ in range(3):
        ended.append(await deployment.playback.end_idle())
        deployment.clock.advance(seconds=400)
    assert ended == [0, 0, 1]


async def test_invalid_heartbeat_stores_nothing(deployment: Deployment) -> None:
    play = await deployment.start()
    with pytest.raises(Invalid):
        await deployment.heartbeat(play, playing_ms=-1)
    assert deployment.domains.calls_of("record") == []
    assert len(await deployment.relay_facts()) == 1
