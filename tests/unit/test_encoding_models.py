"""The rules of encoding: ladder, rates, chunks, loudness, progress, failures."""

import errno
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.encoding.api import AudioStream, Job, Order, Report, SideFile, SubtitleStream, Unusable, VideoStream
from matinee.encoding.jobs.failures import classify_failure
from matinee.encoding.model.codecs import CODECS, VideoCodec
from matinee.encoding.model.ladder import build_ladder
from matinee.encoding.model.languages import parse_language
from matinee.encoding.model.loudness import CEILING_DBTP, TARGET_LUFS, compute_gain_db
from matinee.encoding.model.pictures import FrameStats, choose_frame, list_candidates, plan_thumbnails
from matinee.encoding.model.plan import Plan, split_frames
from matinee.encoding.model.progress import (
    compute_share_done,
    create_steps,
    estimate_remaining_ms,
    stop_steps,
    update_step,
)
from matinee.encoding.model.renditions import plan_audio, plan_text
from matinee.encoding.model.source import ChapterMark, MediaSource
from matinee.encoding.ports import MediaToolFailed
from matinee.kit.ids import JobId, TitleId
from matinee.kit.problem import Unreachable

NOW = datetime(2026, 5, 1, tzinfo=UTC)
sizes = st.integers(16, 4400)


def source(rate: str = "25/1", **fields: object) -> MediaSource:
    video = VideoStream(
        index=0,
        codec="h264",
        width_px=1280,
        height_px=720,
        frame_rate=rate,
        frames=100,
        bit_depth=8,
        pixel_format="yuv420p",
    )
    report = Report(container="mov", duration_ms=4000, size_bytes=1, video=video)
    report = msgspec.structs.replace(report, **fields)
    return MediaSource(report=report, rate=rate, constant=True)


def plan(frames: int, rate: str = "25/1", chunk_s: int = 40) -> Plan:
    rungs = build_ladder(1280, 720, Fraction(rate), preset="veryfast")
    return Plan(source_key="k", source=source(rate), frames=frames, rungs=rungs, chunk_s=chunk_s)


def test_ladder_ends_at_the_size_of_the_source() -> None:
    rungs = build_ladder(1920, 1080, Fraction(24), preset="medium")
    assert [(rung.name, rung.width_px, rung.height_px) for rung in rungs] == [
        ("240p", 426, 240),
        ("360p", 640, 360),
        ("480p", 854, 480),
        ("720p", 1280, 720),
        ("1080p", 1920, 1080),
    ]
    assert [rung.key_label for rung in rungs] == ["SD", "SD", "SD", "HD", "HD"]
    assert {rung.preset for rung in rungs} == {"medium"}


def test_source_between_standard_sizes_gets_a_rung_of_its_own_size() -> None:
    assert [rung.name for rung in build_ladder(768, 432, Fraction(25), preset="veryfast")] == ["240p", "360p", "432p"]
    assert [rung.name for rung in build_ladder(642, 362, Fraction(25), preset="veryfast")] == ["240p", "360p"]
    wide = build_ladder(1920, 804, Fraction(24), preset="veryfast")[-1]
    assert (wide.name, wide.width_px, wide.height_px) == ("1080p", 1920, 804)


def test_rungs_of_a_portrait_picture_have_distinct_names() -> None:
    assert [rung.name for rung in build_ladder(240, 452, Fraction(25), preset="veryfast")] == ["240p", "255p"]


def test_ladder_stops_at_the_configured_lines() -> None:
    assert build_ladder(3840, 2160, Fraction(24), preset="veryfast")[-1].name == "1080p"
    assert build_ladder(3840, 2160, Fraction(24), preset="veryfast", max_lines=2160)[-1].key_label == "UHD"


def test_track_ids_name_the_codec_and_folders_the_parameters() -> None:
    fast, slow = (build_ladder(1920, 1080, Fraction(24), preset=preset)[-1] for preset in ("veryfast", "slow"))
    assert fast.track_id == slow.track_id == "avc-1080p"
    assert fast.folder.startswith("avc-1080p-")
    assert fast.folder != slow.folder


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_codec_arguments_use_only_fields_of_a_rung(codec: VideoCodec) -> None:
    rung = build_ladder(640, 360, Fraction(24), preset="slow", codec=codec)[-1]
    arguments = codec.arguments.format(**msgspec.structs.asdict(rung), gop_frames=48, threads=2).split()
    assert {"slow", "48"} <= set(arguments)
    assert len({other.track_prefix for other in CODECS.values()}) == len(CODECS)


@given(sizes, sizes)
def test_rung_sizes_are_even_and_not_above_the_source(width: int, height: int) -> None:
    rungs = build_ladder(width, height, Fraction(25), preset="veryfast", max_lines=2160)
    for rung in rungs:
        assert rung.width_px % 2 == rung.height_px % 2 == 0
        assert 2 <= rung.width_px <= width
        assert 2 <= rung.height_px <= height
    assert len({rung.name for rung in rungs}) == len(rungs)
    assert [rung.max_bps for rung in rungs] == sorted(rung.max_bps for rung in rungs)


@given(st.integers(1, 20_000), st.integers(1, 120), st.integers(1, 5_000))
def test_chunks_cover_the_film_in_whole_groups(frames: int, gop: int, chunk_frames: int) -> None:
    chunks = split_frames(frames, gop, chunk_frames)
    assert sum(chunk.frames for chunk in chunks) == frames
    assert all(chunk.first % gop == 0 and chunk.frames > 0 for chunk in chunks)
    assert all(a.first + a.frames == b.first for a, b in pairwise(chunks))
    if len(chunks) > 1:
        assert max(chunk.frames for chunk in chunks) - min(chunk.frames for chunk in chunks[:-1]) <= 2 * gop


@pytest.mark.parametrize("rate", ["24/1", "30000/1001", "179/6", "25/2", "12/1", "1/1"])
def test_frame_is_a_whole_number_of_ticks(rate: str) -> None:
    film = plan(100, rate)
    assert film.timescale >= 10_000
    assert (film.timescale / film.source.frame_rate).denominator == 1
    assert (film.segment_s * film.timescale).denominator == 1


def test_asset_id_depends_on_title_and_master_but_not_on_the_ladder() -> None:
    film, taller = TitleId("tit_a"), build_ladder(1280, 720, Fraction(25), preset="medium", max_lines=360)
    assert plan(100).compute_asset_id(film, None) == plan(100).compute_asset_id(film, None)
    assert plan(100).compute_asset_id(film, None) == msgspec.structs.replace(plan(100), rungs=taller).compute_asset_id(
        film, None
    )
    others = {
        plan(101).compute_asset_id(film, None),
        plan(100).compute_asset_id(TitleId("tit_b"), None),
        plan(100).compute_asset_id(film, None),
    }
    assert len(others) == 3


def test_audio_is_planned_in_stereo_and_surround_for_every_language() -> None:
    streams = [
        AudioStream(index=1, codec="aac", channels=6, sample_rate_hz=48_000, language="eng"),
        AudioStream(index=2, codec="aac", channels=1, sample_rate_hz=48_000, language="und"),
        AudioStream(index=3, codec="aac", channels=2, sample_rate_hz=48_000, language="eng"),
    ]
    tracks = plan_audio("master", source(audio=streams), "ja", [])
    assert [(track.track_id, track.streams) for track in tracks] == [
        ("audio-en-2ch", (1,)),
        ("audio-en-6ch", (1,)),
        ("audio-ja-2ch", (2,)),
        ("audio-en-2-2ch", (3,)),
    ]


def sound(index: int, **fields: object) -> AudioStream:
    return msgspec.structs.replace(
        AudioStream(index=index, codec="pcm_s24le", channels=1, sample_rate_hz=48_000), **fields
    )


@pytest.mark.parametrize(
    ("count", "layouts"),
    [(1, [(2, 1)]), (2, [(2, 2)]), (6, [(2, 6), (6, 6)]), (8, [(2, 6), (6, 6), (2, 2)]), (3, [(2, 1)] * 3)],
)
def test_streams_of_one_channel_that_belong_together_are_one_sound(count: int, layouts: list[tuple[int, int]]) -> None:
    tracks = plan_audio("master", source(audio=[sound(n) for n in range(1, count + 1)]), "en", [])
    assert [(track.channels, len(track.streams)) for track in tracks] == layouts
    assert len({track.track_id for track in tracks}) == len(tracks)


def test_mono_sounds_of_two_languages_or_roles_stay_apart() -> None:
    pairs = [sound(1, language="en"), sound(2, language="fr")], [sound(1), sound(2, role="commentary")]
    for streams in pairs:
        assert [track.streams for track in plan_audio("m", source(audio=streams), "en", [])] == [(1,), (2,)]
    compressed = [sound(1, codec="aac"), sound(2, codec="aac")]
    report = source(audio=compressed, container="matroska")
    assert [track.streams for track in plan_audio("m", report, "en", [])] == [(1,), (2,)]


def test_tracks_of_one_language_are_all_kept_with_their_titles_and_roles() -> None:
    sounds = [
        sound(1, channels=2, language="en", title="Main"),
        sound(2, channels=2, language="en", title="Director", role="commentary"),
        sound(3, channels=2, language="en", title="Writer", role="commentary"),
    ]
    texts = [
        SubtitleStream(index=4, codec="subrip", language="en", role="forced"),
        SubtitleStream(index=5, codec="subrip", language="en", title="Full"),
        SubtitleStream(index=6, codec="mov_text", language="en", title="Songs"),
    ]
    found = source(audio=sounds, subtitles=texts)
    assert [(track.track_id, track.label) for track in plan_audio("m", found, "en", [])] == [
        ("audio-en-2ch", "Main"),
        ("audio-en-commentary-2ch", "Director"),
        ("audio-en-commentary-2-2ch", "Writer"),
    ]
    assert [(track.track_id, track.role, track.label) for track in plan_text("m", found, "en", [])] == [
        ("text-en-forced", "forced", ""),
        ("text-en", "subtitle", "Full"),
        ("text-en-2", "subtitle", "Songs"),
    ]


def test_chapters_begin_with_the_picture() -> None:
    marks = [(0, "One"), (500_000, ""), (2_000_000, "Two"), (9_000_000, "Beyond the end")]
    chapters = tuple(ChapterMark(start_us=start, title=title) for start, title in marks)
    film = plan(100)
    film = msgspec.structs.replace(
        film, source=msgspec.structs.replace(film.source, start_us=500_000, chapters=chapters)
    )
    assert film.chapters == [(0, ""), (1500, "Two")]


def test_side_file_precedes_a_stream_of_its_language() -> None:
    stream = AudioStream(index=1, codec="aac", channels=2, sample_rate_hz=48_000, language="en")
    other = SideFile(path="side", language="en")
    comment = SideFile(path="talk", language="en", role="commentary")
    tracks = plan_audio("master", source(audio=[stream]), "en", [(other, stream), (comment, stream)])
    assert {track.track_id: track.source_key for track in tracks} == {
        "audio-en-2ch": "side",
        "audio-en-commentary-2ch": "talk",
    }
    surround = msgspec.structs.replace(stream, channels=6)
    tracks = plan_audio("master", source(audio=[surround]), "en", [(other, stream)])
    assert [(track.track_id, track.source_key) for track in tracks] == [("audio-en-2ch", "side")]


def test_only_text_subtitles_are_planned() -> None:
    streams = [
        SubtitleStream(index=2, codec="subrip", language="ger"),
        SubtitleStream(index=3, codec="hdmv_pgs_subtitle", language="fre"),
    ]
    tracks = plan_text("master", source(subtitles=streams), "en", [SideFile(path="s", language="pt-BR", role="forced")])
    assert [(text.track_id, text.language, text.stream) for text in tracks] == [
        ("text-de", "de", 2),
        ("text-pt-br-forced", "pt-BR", None),
    ]


def test_languages_are_parsed_to_bcp_47() -> None:
    codes = ["eng", "ger", "deu", "pt_BR", "zh-Hant", "", "no idea", "x" * 9]
    assert [parse_language(code) for code in codes] == ["en", "de", "de", "pt-BR", "zh-Hant", "und", "und", "und"]
    obsolete = {"scr": "hr", "scc": "sr", "iw": "he", "in": "id", "ji": "yi", "mo": "ro", "iw-IL": "he-IL"}
    assert {code: parse_language(code) for code in obsolete} == obsolete


@given(st.floats(-69, 10), st.floats(-60, 6))
def test_gain_stays_below_target_and_ceiling(loudness: float, peak: float) -> None:
    gain = compute_gain_db(loudness, peak)
    assert loudness + gain <= TARGET_LUFS + 1e-9
    assert peak + gain <= CEILING_DBTP + 1e-9


def test_silence_gets_no_gain() -> None:
    assert compute_gain_db(-math.inf, -math.inf) == compute_gain_db(-70.0, -80.0) == 0.0


def test_artwork_frame_is_neither_black_nor_blurred() -> None:
    black = FrameStats(keyframe=0, light=0.01, contrast=0.9, sharpness=0.9, colour=0.9)
    blurred = FrameStats(keyframe=1, light=0.45, contrast=0.5, sharpness=0.02, colour=0.5)
    good = FrameStats(keyframe=2, light=0.4, contrast=0.6, sharpness=0.5, colour=0.5)
    assert choose_frame([black, blurred, good]) == good


@given(st.integers(1, 10_000))
def test_artwork_candidates_are_within_the_film(keyframes: int) -> None:
    chosen = list_candidates(keyframes)
    assert chosen
    assert all(0 <= n < keyframes for n in chosen)


def test_longer_films_have_fewer_thumbnails_per_minute() -> None:
    assert [plan_thumbnails(ms, 16, 9).interval_ms for ms in (30_000, 1_800_000, 7_200_000)] == [2000, 5000, 10_000]
    assert plan_thumbnails(52_000, 1280, 720).sheets == 2
    assert plan_thumbnails(40, 1280, 720).sheets == 1


def job() -> Job:
    order = Order(title_id=TitleId("tit_a"), path="/film.mov")
    return Job(
        job_id=JobId("job_a"), order=order, state="running", steps=create_steps(), created_at=NOW, updated_at=NOW
    )


def test_steps_record_their_start_and_end() -> None:
    later = NOW + timedelta(seconds=5)
    begun = update_step(job(), "encode", NOW, state="running", total=100)
    ended = update_step(update_step(begun, "encode", later, done=40), "encode", later, state="done")
    step = next(step for step in ended.steps if step.name == "encode")
    assert (step.started_at, step.ended_at, step.done, step.total) == (NOW, later, 40, 100)
    assert (
        compute_share_done(begun.steps)
        < compute_share_done(update_step(begun, "encode", later, done=40).steps)
        < compute_share_done(ended.steps)
    )
    assert compute_share_done(create_steps()) == 0


def test_stopped_step_waits_or_fails() -> None:
    running = update_step(job(), "encode", NOW, state="running", total=9)
    assert {step.state for step in stop_steps(running, NOW, failed=False).steps} == {"waiting"}
    assert "failed" in {step.state for step in stop_steps(running, NOW, failed=True).steps}


def test_remaining_time_is_estimated_once_enough_is_done() -> None:
    assert estimate_remaining_ms(0.0, 0.01, 60_000) is None
    assert estimate_remaining_ms(0.0, 0.5, 10_000) == 10_000
    assert estimate_remaining_ms(0.5, 0.75, 10_000) == 10_000


@pytest.mark.parametrize(
    ("error", "final", "reason"),
    [
        (Unusable(file="a", stream="file", remedy="b", detail="a: file: broken"), True, "a: file: broken"),
        (Unreachable(service="catalogue"), False, "did not answer"),
        (OSError(errno.ENOSPC, "No space left on device"), False, "disk is full: free some space."),
        (MediaToolFailed("ffmpeg ended with status 1", disk_full=True), False, "The job then goes on by itself."),
        (MediaToolFailed("ffmpeg ended with status -9: boom"), False, "A media tool was stopped"),
        (ExceptionGroup("several", [ValueError("one\ntwo")]), False, "one two"),
    ],
)
def test_failures_are_final_or_transient(error: Exception, final: bool, reason: str) -> None:
    failure = classify_failure(error)
    assert (failure.final, failure.waits) == (final, "goes on by itself" in failure.reason)
    assert reason in failure.reason
    assert "\n" not in failure.reason
