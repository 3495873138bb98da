"""Press play, beat, renew, end: the service on a real session store, between neighbours that answer as told."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest
from msgspec.structs import replace

from matinee.catalogue.api import (
    Asset,
    AssetNotFound,
    AudioTrack,
    Episode,
    NotAvailable,
    Playable,
    SegmentRun,
    TextTrack,
    TitleNotFound,
    VideoTrack,
)
from matinee.drivers.sql import Database
from matinee.events.api import PlaybackBeat, PlaybackEnded, PlaybackStarted, Record
from matinee.identity.api import Account, Profile, ProfileNotFound, Viewer
from matinee.kit import context, ids
from matinee.kit.clock import ManualClock
from matinee.kit.context import Principal
from matinee.kit.hashing import verify_path_token
from matinee.kit.ids import (
    AccountId,
    AssetId,
    DeviceId,
    EdgeId,
    EpisodeId,
    PlaySessionId,
    ProfileId,
    SignInId,
    TitleId,
)
from matinee.kit.problem import DeadlineExceeded, Forbidden, Invalid, Unreachable
from matinee.licensing.api import LicenceTerms
from matinee.playback import jobs
from matinee.playback.adapters.sql import SqlSessionStore
from matinee.playback.api import (
    Beat,
    Capabilities,
    LinkExpired,
    NoRendition,
    NotEntitled,
    PlaySession,
    SessionNotFound,
    TooMature,
)
from matinee.playback.service import PlaybackService
from matinee.steering.api import NoEdge, RankedEdge
from matinee.viewing.api import Position

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TOKEN_KEY, EDGE_KEY = b"t" * 32, b"e" * 32
TITLE = ids.derived(TitleId, "t")
EDGE_IDS = [ids.derived(EdgeId, name) for name in "abc"]
T = TypeVar("T")


def principal(name: str = "ada") -> Principal:
    return Principal(
        account_id=ids.derived(AccountId, name),
        profile_id=ids.derived(ProfileId, name),
        device_id=ids.derived(DeviceId, name),
        sign_in_id=ids.derived(SignInId, name),
    )


def asset(name: str = "film") -> Asset:
    asset_id = ids.derived(AssetId, name)
    common: dict[str, Any] = {"timescale": 1000, "segments": [SegmentRun(0, 4000, 25)], "key_id": "0f" * 16}
    return Asset(
        asset_id=asset_id,
        title_id=TITLE,
        prefix=f"assets/{asset_id}/",
        duration_ms=100_000,
        video=[
            VideoTrack(
                track_id=f"v{height_px}",
                codec="avc1.64001f",
                bandwidth_bps=height_px * 1000,
                init=f"v{height_px}/init.mp4",
                media=f"v{height_px}/$Number$.m4s",
                width_px=height_px * 16 // 9,
                height_px=height_px,
                frame_rate="25",
                **common,
            )
            for height_px in (480, 1080)
        ],
        audio=[
            AudioTrack(
                track_id="a",
                codec="mp4a.40.2",
                bandwidth_bps=128_000,
                init="a/init.mp4",
                media="a/$Number$.m4s",
                language="en",
                channels=2,
                sample_rate_hz=48_000,
                **common,
            )
        ],
        text=[TextTrack(track_id="s", language="de", path="de.vtt", label="Deutsch")],
    )


def episode(number: int) -> Episode:
    name = f"e{number}"
    return Episode(
        episode_id=ids.derived(EpisodeId, name),
        season_number=1,
        number=number,
        names={"en": name},
        asset_id=asset(name).asset_id,
    )


class Neighbours:
    """Identity, catalogue, viewing, steering and licensing in one: each call is noted, and may be told to fail."""

    def __init__(self) -> None:
        self.maturity = 18
        self.status: Any = "active"
        self.playables = {
            None: Playable(title_id=TITLE, names={"en": "A film"}, original_language="en", maturity=12, asset=asset())
        }
        self.where: Position | None = None
        self.failing: dict[str, Exception] = {}
        self.hanging: set[str] = set()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.together = 0
        self._under_way = 0

    async def _call(self, name: str, answer: T, **said: Any) -> T:
        self.calls.append((name, said))
        self._under_way += 1
        self.together = max(self.together, self._under_way)
        try:
            await (asyncio.Event().wait() if name in self.hanging else asyncio.sleep(0))
        finally:
            self._under_way -= 1
        if name in self.failing:
            raise self.failing[name]
        return answer

    def said(self, name: str) -> list[dict[str, Any]]:
        return [said for called, said in self.calls if called == name]

    async def viewer(self, *, account_id: AccountId, profile_id: ProfileId) -> Viewer:
        account = Account(account_id=account_id, email="", created_at=NOW, status=self.status)
        profile = Profile(
            profile_id=profile_id, account_id=account_id, name="Ada", avatar="", language="en", maturity=self.maturity
        )
        return await self._call("viewer", Viewer(account=account, profile=profile))

    async def playable(self, *, title_id: TitleId, territory: str, episode_id: EpisodeId | None = None) -> Playable:
        return await self._call("playable", self.playables[episode_id], territory=territory, episode_id=episode_id)

    async def asset(self, *, asset_id: AssetId) -> Asset:
        for playable in self.playables.values():
            if playable.asset.asset_id == asset_id:
                return await self._call("asset", playable.asset)
        raise AssetNotFound(asset_id=asset_id)

    async def position(
        self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId | None = None
    ) -> Position | None:
        return await self._call("position", self.where, profile_id=profile_id)

    async def record(self, *, position: Position) -> Position:
        return await self._call("record", position, position=position)

    async def rank(
        self, *, client_ip: str, region: str = "local", avoid: tuple[EdgeId, ...] = (), limit: int = 3
    ) -> list[RankedEdge]:
        order = sorted(EDGE_IDS, key=lambda edge_id: edge_id in avoid)
        edges = [RankedEdge(edge_id=edge_id, base_url=f"http://{edge_id}", score=0) for edge_id in order]
        return await self._call("rank", edges, client_ip=client_ip, avoid=avoid)

    async def observe(self, *, client_ip: str, edge_id: EdgeId, succeeded: bool, latency_ms: int | None = None) -> None:
        await self._call("observe", None, edge_id=edge_id, succeeded=succeeded)

    async def grant(self, *, terms: LicenceTerms) -> str:
        return await self._call("grant", f"licence-{len(self.said('grant'))}", terms=terms)

    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        await self._call("revoke", None, session_id=session_id, expires_at=expires_at)


class Log:
    """Takes records in and says when it holds enough of them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._came = asyncio.Condition()

    async def append(self, *, records: list[Record]) -> list[int]:
        async with self._came:
            self.records += records
            self._came.notify_all()
        return list(range(len(records)))

    async def holds(self, count: int) -> None:
        async with self._came:
            await self._came.wait_for(lambda: len(self.records) >= count)


class House:
    """The service, its neighbours, its clock and its store."""

    def __init__(self, store: SqlSessionStore, **settings: int) -> None:
        self.store = store
        self.clock = ManualClock(NOW)
        self.around = Neighbours()
        around: Any = self.around
        self.playback = PlaybackService(
            store=store,
            identity=around,
            catalogue=around,
            viewing=around,
            steering=around,
            licensing=around,
            clock=self.clock,
            token_key=TOKEN_KEY,
            edge_token_key=EDGE_KEY,
            **settings,
        )

    async def start(self, who: Principal | None = None, **said: Any) -> PlaySession:
        asked = {"capabilities": Capabilities(), "client_ip": "192.0.2.7", "territory": "DE", **said}
        return await self.playback.start(principal=who or principal(), title_id=TITLE, **asked)

    async def manifest(self, play: PlaySession, name: str = "manifest.mpd") -> str:
        token = play.dash_path.split("/")[-2]
        return (await self.playback.manifest(session_id=play.session_id, token=token, name=name)).body.decode()

    async def beat(self, play: PlaySession, who: Principal | None = None, **said: Any) -> None:
        await self.playback.beat(
            principal=who or principal(), session_id=play.session_id, beat=self.seen(**said), client_ip="192.0.2.7"
        )

    async def end(self, play: PlaySession, who: Principal | None = None, **said: Any) -> None:
        await self.playback.end(principal=who or principal(), session_id=play.session_id, beat=self.seen(**said))

    def seen(self, **said: Any) -> Beat:
        return Beat(**{"position_ms": 30_000, "state": "playing", "at": self.clock.now(), **said})

    async def facts(self) -> list[Any]:
        found: list[Any] = []

        async def append(records: list[bytes]) -> None:
            found.extend(msgspec.json.decode(record, type=Record).fact for record in records)

        await self.store.outbox.relay(append)
        return found


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlSessionStore]:
    async with Database(f"sqlite:///{tmp_path}/playback.db") as database:
        yield await SqlSessionStore.open(database)


@pytest.fixture
async def house(store: SqlSessionStore) -> House:
    return House(store)


def opens(url: str, moment: datetime, asset_id: AssetId | None = None) -> bool:
    found = re.search(r"/t/([^/]+)/(assets/[^/]+)/", url)
    assert found
    scope = f"assets/{asset_id}" if asset_id else found[2]
    return verify_path_token(EDGE_KEY, scope, found[1], moment.timestamp())


def where(position_ms: int, number: int | None = None, duration_ms: int = 100_000) -> Position:
    return Position(
        account_id=principal().account_id,
        profile_id=ids.derived(ProfileId, "ada"),
        title_id=TITLE,
        episode_id=None if number is None else episode(number).episode_id,
        position_ms=position_ms,
        duration_ms=duration_ms,
        updated_at=NOW,
        device_id=ids.derived(DeviceId, "ada"),
    )


async def test_pressing_play_answers_with_all_a_player_needs(house: House) -> None:
    house.around.where = where(40_000)
    play = await house.start()
    assert (play.names, play.resume_ms, play.duration_ms) == ({"en": "A film"}, 38_000, 100_000)
    assert [delivery.edge_id for delivery in play.deliveries] == EDGE_IDS
    assert all(opens(delivery.base_url, NOW) for delivery in play.deliveries)
    assert play.dash_path.startswith(f"/api/v1/playback/{play.session_id}/manifest/")
    assert [(text.language, text.label) for text in play.text] == [("de", "Deutsch")]
    terms = house.around.said("grant")[0]["terms"]
    assert (terms.session_id, terms.labels, terms.expires_at) == (
        play.session_id,
        ("AUDIO", "SD", "HD"),
        play.expires_at,
    )
    assert (terms.profile_id, terms.device_id) == (principal().profile_id, principal().device_id)
    assert await house.facts() == [
        PlaybackStarted(
            session_id=play.session_id,
            account_id=principal().account_id,
            profile_id=ids.derived(ProfileId, "ada"),
            device_id=principal().device_id,
            title_id=TITLE,
            asset_id=asset().asset_id,
            edge_ids=tuple(EDGE_IDS),
            resumed_at_ms=38_000,
        )
    ]


async def test_everything_is_looked_up_at_once(house: House) -> None:
    await house.start()
    assert house.around.together == 4


async def test_from_the_start_means_from_the_start(house: House) -> None:
    house.around.where = where(40_000)
    assert (await house.start(from_start=True)).resume_ms == 0


@pytest.mark.parametrize("failure", [Unreachable(service="viewing"), ValueError("a bug there")])
async def test_without_a_resume_point_it_begins_at_the_beginning(house: House, failure: Exception) -> None:
    house.around.failing["position"] = failure
    assert (await house.start()).resume_ms == 0


async def test_a_resume_point_that_does_not_come_is_not_waited_for(store: SqlSessionStore) -> None:
    house = House(store, start_ms=200)
    house.around.hanging.add("position")
    assert (await house.start()).resume_ms == 0


@pytest.mark.parametrize("hangs", ["viewer", "playable", "rank"])
async def test_it_does_not_wait_for_ever(store: SqlSessionStore, hangs: str) -> None:
    house = House(store, start_ms=50)
    house.around.hanging.add(hangs)
    with pytest.raises(DeadlineExceeded):
        await house.start()
    assert await house.facts() == []


async def test_a_callers_earlier_deadline_stays(house: House) -> None:
    house.around.hanging.add("rank")
    with context.within(30), pytest.raises(DeadlineExceeded):
        await house.start()


async def test_who_may_not_watch_is_told_why(house: House) -> None:
    house.around.maturity = 7
    with pytest.raises(TooMature) as caught:
        await house.start()
    assert (caught.value.maturity, caught.value.profile_maturity) == (12, 7)
    house.around.status = "closed"
    with pytest.raises(NotEntitled):
        await house.start()
    with pytest.raises(Forbidden):
        await house.start(replace(principal(), profile_id=None))
    assert await house.facts() == []


async def test_the_viewers_reason_comes_before_the_titles_and_the_edges_last(house: House) -> None:
    house.around.failing = {"rank": NoEdge(retry_after_ms=1000)}
    with pytest.raises(NoEdge):
        await house.start()
    house.around.failing["playable"] = NotAvailable(title_id=TITLE, territory="DE")
    with pytest.raises(NotAvailable):
        await house.start()
    house.around.failing["viewer"] = ProfileNotFound(profile_id=ids.derived(ProfileId, "ada"))
    with pytest.raises(ProfileNotFound):
        await house.start()


async def test_a_device_gets_only_what_it_can_play(house: House) -> None:
    play = await house.start(capabilities=Capabilities(max_height_px=720))
    assert house.around.said("grant")[0]["terms"].labels == ("AUDIO", "SD")
    assert "v1080" not in await house.manifest(play)
    assert "v480" in await house.manifest(play)
    with pytest.raises(NoRendition):
        await house.start(capabilities=Capabilities(video=("av01",)))


def series(house: House, *numbers: int) -> None:
    for number in numbers:
        following = episode(number + 1) if number + 1 in numbers else None
        one = replace(
            house.around.playables[None], asset=asset(f"e{number}"), episode=episode(number), next_episode=following
        )
        house.around.playables[episode(number).episode_id] = one
    house.around.playables[None] = house.around.playables[episode(numbers[0]).episode_id]


@pytest.mark.parametrize(
    ("left_at", "number", "resume_ms"),
    [(None, 1, 0), ((50_000, 2), 2, 48_000), ((99_000, 2), 3, 0), ((99_000, 3), 1, 0), ((50_000, 9), 1, 0)],
)
async def test_a_series_goes_on_where_it_was_left(
    house: House, left_at: tuple[int, int] | None, number: int, resume_ms: int
) -> None:
    series(house, 1, 2, 3)
    house.around.playables[episode(9).episode_id] = house.around.playables[None]
    house.around.where = where(*left_at) if left_at else None
    play = await house.start()
    assert (play.episode_number, play.resume_ms) == (number, resume_ms)
    assert (play.next_up.number if play.next_up else None) == (number + 1 if number < 3 else None)


async def test_an_episode_that_was_asked_for_is_played(house: House) -> None:
    series(house, 1, 2, 3)
    house.around.where = where(50_000, 2)
    play = await house.start(episode_id=episode(3).episode_id)
    assert (play.episode_number, play.resume_ms) == (3, 0)


async def test_manifests_are_for_whoever_holds_the_link_and_for_no_one_else(house: House) -> None:
    play, other = await house.start(), await house.start(principal("bo"))
    token = play.dash_path.split("/")[-2]
    beacon = play.beacon_path.split("/")[-1]
    for session_id, given in (
        (other.session_id, token),
        (play.session_id, beacon),
        (play.session_id, ""),
        (play.session_id, "ffffffff-x"),
    ):
        with pytest.raises(LinkExpired):
            await house.playback.manifest(session_id=session_id, token=given, name="manifest.mpd")
    assert "<MPD" in await house.manifest(play)
    assert (await house.manifest(play, "master.m3u8")).startswith("#EXTM3U")


async def test_links_run_out_and_are_signed_anew_while_the_session_lives(store: SqlSessionStore) -> None:
    house = House(store, link_s=60, session_s=3600)
    play = await house.start()
    old = play.deliveries[0].base_url
    assert play.expires_at == NOW + timedelta(seconds=60)
    now = house.clock.advance(seconds=61)
    assert not opens(old, now)
    body = await house.manifest(play)
    assert old not in body
    assert opens(body, now)
    playlist = await house.manifest(play, "v480.m3u8")
    assert opens(playlist, now)
    assert "/api/v1/licences/hls/licence-2/" in playlist  # a licence token of its own, as fresh as the links
    renewed = await house.playback.renew(principal=principal(), session_id=play.session_id, client_ip="192.0.2.7")
    assert opens(renewed.deliveries[0].base_url, now)
    assert renewed.expires_at == now + timedelta(seconds=60)
    assert not opens(renewed.deliveries[0].base_url, now, ids.derived(AssetId, "other"))


async def test_nothing_outlives_the_session(store: SqlSessionStore) -> None:
    house = House(store, link_s=600, session_s=900)
    play = await house.start()
    house.clock.advance(seconds=600)
    renewed = await house.playback.renew(principal=principal(), session_id=play.session_id, client_ip="192.0.2.7")
    assert renewed.expires_at == NOW + timedelta(seconds=900)
    house.clock.advance(seconds=300)
    with pytest.raises(LinkExpired):
        await house.manifest(play)
    with pytest.raises(SessionNotFound):
        await house.beat(play)


async def test_an_edge_that_failed_comes_last_from_then_on(house: House) -> None:
    play = await house.start()
    failed = (EDGE_IDS[0],)
    renewed = await house.playback.renew(
        principal=principal(), session_id=play.session_id, client_ip="192.0.2.7", failed=failed
    )
    assert [delivery.edge_id for delivery in renewed.deliveries] == [*EDGE_IDS[1:], EDGE_IDS[0]]
    assert house.around.said("observe") == [{"edge_id": EDGE_IDS[0], "succeeded": False}]
    hosts = re.findall(r"<BaseURL[^>]*>http://([^/]+)/", await house.manifest(play))
    assert hosts == [*EDGE_IDS[1:], EDGE_IDS[0]]
    again = await house.playback.renew(principal=principal(), session_id=play.session_id, client_ip="192.0.2.7")
    assert again.deliveries[0].edge_id == EDGE_IDS[1]


async def test_a_heartbeat_moves_the_viewer_and_is_told(house: House) -> None:
    play = await house.start()
    house.clock.advance(seconds=30)
    await house.beat(play, playing_ms=29_000, join_time_ms=120, edge_id=EDGE_IDS[1], rendition="v480")
    position = house.around.said("record")[0]["position"]
    assert (position.position_ms, position.duration_ms, position.updated_at) == (30_000, 100_000, house.clock.now())
    assert house.around.said("observe") == [{"edge_id": EDGE_IDS[1], "succeeded": True}]
    _, beat = await house.facts()
    assert isinstance(beat, PlaybackBeat)
    assert (beat.playing_ms, beat.join_time_ms, beat.edge_id, beat.rendition) == (29_000, 120, EDGE_IDS[1], "v480")


async def test_the_next_session_begins_as_fast_as_this_network_was(house: House) -> None:
    play = await house.start()
    assert play.start_bandwidth_bps == 3_000_000
    await house.beat(play, bandwidth_bps=10_000_000)
    assert (await house.start(principal("bo"))).start_bandwidth_bps == 6_000_000
    assert (await house.start(client_ip="198.51.100.1")).start_bandwidth_bps == 3_000_000


async def test_jobs_relay_facts_and_give_up_silent_players(store: SqlSessionStore) -> None:
    house = House(store, idle_s=600)
    await house.start()
    house.around.failing["revoke"] = Unreachable(service="licensing")
    house.clock.advance(seconds=601)
    log = Log()
    running = [
        asyncio.create_task(jobs.relay_facts(store.outbox, cast(Any, log))),
        asyncio.create_task(jobs.end_idle_sessions(house.playback, every_s=0.01)),
    ]
    try:
        await log.holds(1)
        house.around.failing = {}  # the job lived through it
        await log.holds(2)
    finally:
        for task in running:
            task.cancel()
    assert [type(record.fact) for record in log.records] == [PlaybackStarted, PlaybackEnded]
    assert {record.key for record in log.records} == {record.fact.profile_id for record in log.records}


async def test_a_failing_player_moves_nobody_and_blames_its_edge(house: House) -> None:
    play = await house.start()
    await house.beat(play, state="failed", position_ms=0, edge_id=EDGE_IDS[0], error_code="1002")
    assert house.around.said("record") == []
    assert house.around.said("observe") == [{"edge_id": EDGE_IDS[0], "succeeded": False}]


async def test_a_heartbeat_that_could_not_be_kept_is_not_counted_and_can_be_said_again(house: House) -> None:
    play = await house.start()
    house.around.failing["record"] = Unreachable(service="viewing")
    with pytest.raises(Unreachable):
        await house.beat(play)
    house.around.failing = {"observe": Unreachable(service="steering")}
    await house.beat(play, edge_id=EDGE_IDS[0])
    assert [type(fact) for fact in await house.facts()] == [PlaybackStarted, PlaybackBeat]


async def test_another_profiles_session_is_not_there(house: House) -> None:
    play = await house.start()
    bo = principal("bo")
    sibling = replace(principal(), profile_id=bo.profile_id)
    for who in (bo, sibling):
        for call in (
            house.beat(play, who),
            house.end(play, who),
            house.playback.renew(principal=who, session_id=play.session_id, client_ip="192.0.2.7"),
        ):
            await _not_there(call, play.session_id)
    await _not_there(house.end(replace(play, session_id=ids.derived(PlaySessionId, "none"))))
    assert house.around.said("record") == house.around.said("revoke") == []


async def _not_there(call: Awaitable[Any], session_id: PlaySessionId | None = None) -> None:
    with pytest.raises(SessionNotFound) as caught:
        await call
    assert caught.value.facts().keys() == {"detail", "session_id"}
    assert session_id in {None, caught.value.session_id}


async def test_a_closing_page_needs_its_link_only(house: House) -> None:
    play, other = await house.start(), await house.start(principal("bo"))
    token = play.beacon_path.split("/")[-1]
    say = house.seen(position_ms=70_000, state="paused")
    await house.playback.beacon(session_id=play.session_id, token=token, beat=say, client_ip="192.0.2.7")
    assert house.around.said("record")[0]["position"].position_ms == 70_000
    for session_id, given in ((other.session_id, token), (play.session_id, play.dash_path.split("/")[-2])):
        with pytest.raises(LinkExpired):
            await house.playback.beacon(session_id=session_id, token=given, beat=say, client_ip="192.0.2.7")


async def test_an_ended_session_is_over_for_everything(house: House) -> None:
    play = await house.start()
    for _ in range(2):
        await house.end(play, position_ms=42_000, state="paused")
    assert house.around.said("record")[-1]["position"].position_ms == 42_000
    assert house.around.said("revoke") == [{"session_id": play.session_id, "expires_at": NOW + timedelta(hours=12)}]
    started, beat, ended = await house.facts()
    assert (type(started), type(beat)) == (PlaybackStarted, PlaybackBeat)
    assert isinstance(ended, PlaybackEnded)
    assert (ended.position_ms, ended.reason) == (42_000, "stopped")
    for call in (house.manifest(play), house.beat(play)):
        with pytest.raises(SessionNotFound):
            await call


async def test_where_keys_cannot_be_revoked_the_session_stays_open(house: House) -> None:
    play = await house.start()
    house.around.failing["revoke"] = Unreachable(service="licensing")
    with pytest.raises(Unreachable):
        await house.end(play)
    house.around.failing = {}
    await house.end(play)
    assert isinstance((await house.facts())[-1], PlaybackEnded)


async def test_silent_players_are_given_up(store: SqlSessionStore) -> None:
    house = House(store, idle_s=600)
    silent, alive = await house.start(), await house.start(principal("bo"))
    house.clock.advance(seconds=400)
    await house.beat(silent, position_ms=12_000)
    await house.beat(alive, principal("bo"))
    house.clock.advance(seconds=400)
    await house.beat(alive, principal("bo"))
    assert await house.playback.end_idle() == 0
    house.clock.advance(seconds=300)
    await house.facts()
    assert await house.playback.end_idle() == 1
    (lost,) = await house.facts()
    assert (lost.session_id, lost.position_ms, lost.reason) == (silent.session_id, 12_000, "lost")
    assert house.around.said("revoke") == [{"session_id": silent.session_id, "expires_at": NOW + timedelta(hours=12)}]
    house.clock.advance(days=2)
    await house.playback.end_idle()
    await house.playback.end_idle()
    assert await store.find(silent.session_id) is None


async def test_impossible_figures_are_refused_before_anything_is_kept(house: House) -> None:
    play = await house.start()
    with pytest.raises(Invalid):
        await house.beat(play, playing_ms=-1)
    assert house.around.said("record") == []
    assert len(await house.facts()) == 1


async def test_a_title_that_was_withdrawn_is_watched_to_its_end(house: House) -> None:
    play = await house.start()
    house.around.failing["playable"] = TitleNotFound(title_id=TITLE)
    assert "<MPD" in await house.manifest(play)
    with pytest.raises(TitleNotFound):
        await house.start()
