"""The rules of playback: device capabilities, resume points, heartbeats, links."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from matinee.catalogue.api import Asset, AudioTrack, SegmentRun, VideoTrack
from matinee.kit import ids
from matinee.kit.hashing import verify_path_token
from matinee.kit.ids import AccountId, AssetId, DeviceId, EdgeId, EpisodeId, PlaySessionId, ProfileId, TitleId
from matinee.kit.problem import Invalid
from matinee.playback.api import Capabilities, Heartbeat, NoRendition
from matinee.playback.model import links, sessions
from matinee.playback.model.bandwidth import BandwidthHistory
from matinee.playback.model.capabilities import get_codec_family, list_key_labels, select_tracks
from matinee.playback.model.checks import check_capabilities, check_failed, check_heartbeat
from matinee.playback.model.sessions import StoredSession, compute_resume_ms
from matinee.steering.api import RankedEdge
from matinee.viewing.api import Position

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ASSET_ID = ids.derive(AssetId, "a")


def video(codec: str = "avc1.64001f", height_px: int = 720, **fields: Any) -> VideoTrack:
    name = f"{codec.partition('.')[0]}-{height_px}-{fields.get('range', 'SDR')}"
    return VideoTrack(
        track_id=name,
        codec=codec,
        width_px=height_px * 16 // 9,
        height_px=height_px,
        frame_rate="25",
        **_track(name),
        **fields,
    )


def audio(codec: str = "mp4a.40.2", channels: int = 2, language: str = "en", **fields: Any) -> AudioTrack:
    name = f"{codec.partition('.')[0]}-{channels}-{language}"
    return AudioTrack(
        track_id=name,
        codec=codec,
        channels=channels,
        language=language,
        sample_rate_hz=48_000,
        **_track(name),
        **fields,
    )


def _track(name: str) -> dict[str, Any]:
    segments = [SegmentRun(0, 4_000, 5)]
    media = {"init": f"{name}/init.mp4", "media": f"{name}/$Number$.m4s", "segments": segments}
    return {"bandwidth_bps": 1_000_000, "timescale": 1_000, **media}


def asset(*tracks: VideoTrack | AudioTrack) -> Asset:
    return Asset(
        asset_id=ASSET_ID,
        title_id=ids.derive(TitleId, "t"),
        prefix=f"assets/{ASSET_ID}/",
        duration_ms=20_000,
        video=[track for track in tracks if isinstance(track, VideoTrack)],
        audio=[track for track in tracks if isinstance(track, AudioTrack)],
    )


def select(asset: Asset, **capabilities: Any) -> set[str]:
    found = select_tracks(asset, Capabilities(**capabilities))
    return {track.track_id for track in [*found.video, *found.audio]}


FULL = asset(
    *(video(height_px=height_px) for height_px in (360, 720, 1080, 2160)),
    video("av01.0.08M.08"),
    video("hvc1.2.4.L150", 2160, range="HDR10"),
    audio(),
    audio(channels=6),
    audio("opus"),
)


@pytest.mark.parametrize(
    ("codec", "found"),
    [("avc1.64001f", "avc1"), ("avc3.64001f", "avc1"), ("hev1.2.4.L150.B0", "hvc1"), ("vp9", "vp09"), ("Opus", "opus")],
)
def test_codec_family_of_a_codec_string(codec: str, found: str) -> None:
    assert get_codec_family(codec) == found


def test_device_gets_only_tracks_it_can_decode() -> None:
    assert select(FULL) == {"avc1-360-SDR", "avc1-720-SDR", "avc1-1080-SDR", "avc1-2160-SDR", "mp4a-2-en", "mp4a-6-en"}
    assert select(FULL, max_height_px=720, max_channels=2) == {"avc1-360-SDR", "avc1-720-SDR", "mp4a-2-en"}
    assert select(FULL, video=("av01",), audio=("opus",)) == {"av01-720-SDR", "opus-2-en"}
    assert select(FULL, video=("hev1",), hdr=True, audio=("mp4a",), max_channels=2) == {"hvc1-2160-HDR10", "mp4a-2-en"}


@pytest.mark.parametrize(
    "capabilities",
    [{"video": ("hvc1",)}, {"video": ("vp09",)}, {"max_height_px": 240}, {"audio": ("ec-3",)}, {"max_channels": 1}],
)
def test_no_rendition_lists_the_available_tracks(capabilities: dict[str, Any]) -> None:
    with pytest.raises(NoRendition) as caught:
        select_tracks(FULL, Capabilities(**capabilities))
    assert "avc1.64001f 360 lines SDR" in caught.value.offered
    assert "mp4a.40.2 6 channels" in caught.value.offered


def test_film_without_audio_needs_no_audio_codec() -> None:
    assert select(asset(video()), audio=()) == {"avc1-720-SDR"}


def test_licence_covers_only_the_selected_tracks() -> None:
    sizes = [video(height_px=height_px, key_id="00" * 16) for height_px in (576, 1080, 2160)]
    locked = asset(*sizes, audio(key_id="00" * 16))
    assert list_key_labels(locked) == ("AUDIO", "SD", "HD", "UHD")
    assert list_key_labels(select_tracks(locked, Capabilities(max_height_px=1080))) == ("AUDIO", "SD", "HD")
    assert list_key_labels(asset(video(), audio())) == ()
    labelled = video(height_px=720, key_id="00" * 16, key_label="UHD")
    assert list_key_labels(asset(labelled)) == ("UHD",)


def position(position_ms: int, duration_ms: int = 3_600_000, episode_id: EpisodeId | None = None) -> Position:
    return Position(
        account_id=ids.derive(AccountId, "a"),
        profile_id=ids.derive(ProfileId, "a"),
        title_id=ids.derive(TitleId, "t"),
        episode_id=episode_id,
        position_ms=position_ms,
        duration_ms=duration_ms,
        updated_at=NOW,
        device_id=ids.derive(DeviceId, "a"),
    )


@pytest.mark.parametrize(
    ("at_ms", "found"),
    [(0, 0), (9_999, 0), (10_000, 8_000), (600_000, 598_000), (3_400_000, 3_398_000), (3_420_000, 0), (3_600_000, 0)],
)
def test_playback_resumes_shortly_before_the_last_position(at_ms: int, found: int) -> None:
    assert compute_resume_ms(position(at_ms), None, 3_600_000) == found


def test_unwatched_title_starts_at_the_beginning() -> None:
    episode_id = ids.derive(EpisodeId, "one")
    assert compute_resume_ms(None, None, 3_600_000) == 0
    assert compute_resume_ms(position(600_000, episode_id=ids.derive(EpisodeId, "two")), episode_id, 3_600_000) == 0
    assert compute_resume_ms(position(600_000, episode_id=episode_id), episode_id, 3_600_000) == 598_000
    assert compute_resume_ms(position(600_000), None, 500_000) == 0  # the film is shorter than the position


SESSION = StoredSession(
    session_id=ids.derive(PlaySessionId, "s"),
    account_id=ids.derive(AccountId, "a"),
    profile_id=ids.derive(ProfileId, "a"),
    device_id=ids.derive(DeviceId, "a"),
    title_id=ids.derive(TitleId, "t"),
    asset_id=ASSET_ID,
    original_language="en",
    capabilities=Capabilities(),
    duration_ms=60_000,
    client_ip="127.0.0.1",
    started_at=NOW,
    last_seen_at=NOW,
    expires_at=NOW + timedelta(hours=12),
    position_ms=0,
)


def heartbeat(position_ms: int = 30_000, state: Any = "playing", at: datetime = NOW, **fields: Any) -> Heartbeat:
    return Heartbeat(position_ms=position_ms, state=state, at=at, **fields)


@given(st.integers(min_value=1), st.integers(min_value=-100_000, max_value=100_000))
def test_position_is_within_the_film_and_the_session(position_ms: int, offset_s: int) -> None:
    now = NOW + timedelta(hours=1)
    moved = sessions.to_position(SESSION, heartbeat(position_ms, at=NOW + timedelta(seconds=offset_s)), now)
    assert moved is not None
    assert 0 <= moved.position_ms <= 60_000
    assert NOW <= moved.updated_at <= now


def test_late_heartbeat_keeps_its_time_and_wrong_clocks_are_replaced() -> None:
    now = NOW + timedelta(minutes=10)
    for sent_at, expected in (
        (NOW + timedelta(minutes=1),) * 2,
        (NOW - timedelta(days=99), now),
        (now + timedelta(1), now),
    ):
        moved = sessions.to_position(SESSION, heartbeat(at=sent_at), now)
        assert moved is not None
        assert moved.updated_at == expected


@pytest.mark.parametrize("offset_s", [-86_400, -3, 0, 86_400])
def test_a_wrong_clock_does_no_harm_to_a_player_that_says_when_it_sent(offset_s: int) -> None:
    now, device_now = NOW + timedelta(minutes=10), NOW + timedelta(minutes=10, seconds=offset_s)
    for age, expected in ((0, now), (60, now - timedelta(minutes=1)), (-60, now), (9_999, NOW), (10**10, NOW)):
        sent = heartbeat(at=device_now - timedelta(seconds=age), sent_at=device_now)
        moved = sessions.to_position(SESSION, sent, now)
        assert moved is not None
        assert moved.updated_at == expected


def test_a_player_that_stands_still_has_no_new_position() -> None:
    later = NOW + timedelta(hours=1)
    paused = replace(SESSION, position_ms=30_000)
    assert sessions.to_position(paused, heartbeat(30_000, "paused", later), later) is None
    assert sessions.to_position(paused, heartbeat(29_999, "paused", later), later) is not None
    assert sessions.to_position(paused, heartbeat(30_000, "paused", later), later, 30_000) is None
    assert sessions.to_position(paused, heartbeat(30_000, "paused", later), later, 50_000) is not None


@pytest.mark.parametrize("state", ["starting", "failed"])
def test_starting_and_failed_players_have_no_position(state: str) -> None:
    assert sessions.to_position(SESSION, heartbeat(0, state), NOW) is None


def test_end_reason_of_a_state() -> None:
    assert [sessions.get_end_reason(heartbeat(state=state)) for state in ("ended", "failed", "paused", "playing")] == [
        "ended",
        "failed",
        "stopped",
        "stopped",
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"at": NOW.replace(tzinfo=None)}, "at"),
        ({"sent_at": NOW.replace(tzinfo=None)}, "sent_at"),
        ({"position_ms": -1}, "position_ms"),
        ({"position_ms": 10**15}, "position_ms"),
        ({"playing_ms": -5}, "playing_ms"),
        ({"rebuffering_ms": 10**9}, "rebuffering_ms"),
        ({"dropped_frames": -1}, "dropped_frames"),
        ({"rendition": "x" * 101}, "rendition"),
        ({"error_code": "x" * 10_000}, "error_code"),
    ],
)
def test_impossible_values_are_refused(fields: dict[str, Any], field: str) -> None:
    check_heartbeat(heartbeat(bandwidth_bps=5_000_000, join_time_ms=300, rendition="v720"))
    with pytest.raises(Invalid) as caught:
        check_heartbeat(replace(heartbeat(), **fields))
    assert [fault.field for fault in caught.value.faults] == [field]


def test_start_bandwidth_is_that_of_the_network() -> None:
    bandwidths = BandwidthHistory(default_bps=800_000, limit=2)
    assert bandwidths.estimate_start_bps("192.0.2.7") == 800_000
    bandwidths.record("192.0.2.7", 10_000_000)
    assert bandwidths.estimate_start_bps("192.0.2.99") == bandwidths.estimate_start_bps("::ffff:192.0.2.1") == 3_500_000
    bandwidths.record("192.0.2.1", 1_000_000)
    assert 2_000_000 < bandwidths.estimate_start_bps("192.0.2.7") < 3_500_000
    assert bandwidths.estimate_start_bps("192.0.3.7") == bandwidths.estimate_start_bps("no address") == 800_000
    bandwidths.record("2001:db8:1:2::3", 10**12)
    assert bandwidths.estimate_start_bps("2001:db8:1:ffff::1") == 20_000_000
    bandwidths.record("x", 1)
    assert bandwidths.estimate_start_bps("x") == 300_000
    assert bandwidths.estimate_start_bps("192.0.2.7") == 800_000  # evicted


@pytest.mark.parametrize("names", [("x" * 101,), ("x",) * 33])
def test_too_many_or_long_names_are_refused(names: tuple[str, ...]) -> None:
    check_capabilities(Capabilities())
    check_failed(())
    for check in (
        lambda: check_capabilities(Capabilities(video=names)),
        lambda: check_capabilities(Capabilities(audio=names)),
        lambda: check_failed(tuple(EdgeId(name) for name in names)),
    ):
        with pytest.raises(Invalid):
            check()


def test_links_are_valid_for_one_scope_until_they_expire() -> None:
    key, expires_at = b"k" * 32, NOW + timedelta(hours=6)
    edges = [
        RankedEdge(edge_id=EdgeId(name), base_url=url, score=0)
        for name, url in (("a", "http://a/"), ("b", "http://b/x"))
    ]
    first, second = links.build_deliveries(key, edges, ASSET_ID, expires_at)
    assert first.base_url.startswith("http://a/t/")
    assert second.base_url.startswith("http://b/x/t/")
    assert first.base_url.endswith(f"/assets/{ASSET_ID}/")
    token = first.base_url.split("/")[4]
    before, after = expires_at.timestamp() - 1, expires_at.timestamp()
    assert verify_path_token(key, f"assets/{ASSET_ID}", token, before)
    assert not verify_path_token(key, f"assets/{ASSET_ID}", token, after)
    assert not verify_path_token(key, "assets/ast_other", token, before)
    assert not verify_path_token(b"x" * 32, f"assets/{ASSET_ID}", token, before)
    session_id = SESSION.session_id
    manifest = links.build_manifest_folder(key, session_id, expires_at).split("/")[-2]
    assert verify_path_token(key, links.get_manifest_scope(session_id), manifest, before)
    assert not verify_path_token(key, links.get_beacon_scope(session_id), manifest, before)
