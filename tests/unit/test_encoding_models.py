"""The rules of encoding: ladder, rates, cuts, loudness, steps, verdicts."""

import errno
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.drivers.process import ToolFailed
from matinee.encoding.api import AudioStream, Job, Order, Report, SubtitleStream, Unusable, VideoStream
from matinee.encoding.jobs.verdict import verdict
from matinee.encoding.model.ladder import ladder
from matinee.encoding.model.languages import tag
from matinee.encoding.model.loudness import CEILING_DBTP, TARGET_LUFS, gain_db
from matinee.encoding.model.pictures import Look, best, candidates, thumbnails
from matinee.encoding.model.plan import Plan, cut
from matinee.encoding.model.progress import fresh_steps, halted, remaining_ms, share_done, with_step
from matinee.encoding.model.renditions import AudioSideFile, TextSideFile, sounds, texts
from matinee.encoding.model.source import MediaSource, choose_rate
from matinee.kit.ids import JobId, TitleId
from matinee.kit.problem import Unreachable

NOW = datetime(2026, 5, 1, tzinfo=UTC)
sizes = st.integers(16, 4400)


def source(rate: str = "25/1", **words: object) -> MediaSource:
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
    report = msgspec.structs.replace(report, **words)
    return MediaSource(report=report, rate=rate, constant=True)


def plan(frames: int, rate: str = "25/1", chunk_s: int = 40) -> Plan:
    rungs = ladder(1280, 720, Fraction(rate), preset="veryfast")
    made = source(rate)
    return Plan(source_key="k", source=made, frames=frames, rungs=rungs, sounds=(), texts=(), chunk_s=chunk_s)


def test_a_ladder_ends_at_the_size_of_the_source() -> None:
    rungs = ladder(1920, 1080, Fraction(24), preset="medium")
    assert [(rung.name, rung.width_px, rung.height_px) for rung in rungs] == [
        ("240p", 426, 240),
        ("360p", 640, 360),
        ("480p", 854, 480),
        ("720p", 1280, 720),
        ("1080p", 1920, 1080),
    ]
    assert [rung.label for rung in rungs] == ["SD", "SD", "SD", "HD", "HD"]
    assert {rung.preset for rung in rungs} == {"medium"}


def test_a_source_between_two_sizes_keeps_its_own() -> None:
    assert [rung.name for rung in ladder(768, 432, Fraction(25), preset="veryfast")] == ["240p", "360p", "432p"]
    assert [rung.name for rung in ladder(642, 362, Fraction(25), preset="veryfast")] == ["240p", "360p"]
    wide = ladder(1920, 804, Fraction(24), preset="veryfast")[-1]
    assert (wide.name, wide.width_px, wide.height_px) == ("1080p", 1920, 804)


def test_an_upright_picture_s_own_rung_is_named_apart_from_the_standard_one() -> None:
    assert [rung.name for rung in ladder(240, 452, Fraction(25), preset="veryfast")] == ["240p", "255p"]


def test_a_large_source_stops_at_the_most_lines_that_were_set() -> None:
    assert ladder(3840, 2160, Fraction(24), preset="veryfast")[-1].name == "1080p"
    assert ladder(3840, 2160, Fraction(24), preset="veryfast", max_lines=2160)[-1].label == "UHD"


@given(sizes, sizes)
def test_every_rung_is_even_and_none_is_above_the_source(width: int, height: int) -> None:
    rungs = ladder(width, height, Fraction(25), preset="veryfast", max_lines=2160)
    for rung in rungs:
        assert rung.width_px % 2 == rung.height_px % 2 == 0
        assert 2 <= rung.width_px <= width
        assert 2 <= rung.height_px <= height
    assert len({rung.name for rung in rungs}) == len(rungs)
    assert [rung.max_bps for rung in rungs] == sorted(rung.max_bps for rung in rungs)


@pytest.mark.parametrize("rate", ["25", "24000/1001", "25/2", "179/6", "60"])
def test_a_constant_rate_is_kept(rate: str) -> None:
    exact = Fraction(rate)
    times = [round(float(n / exact), 3) for n in range(400)]  # as Matroska rounds them, to the millisecond
    assert choose_rate(times, [exact]) == (exact, True)


def test_a_varying_rate_becomes_the_standard_that_keeps_quick_parts_smooth() -> None:
    slow, quick = [n / 4 for n in range(40)], [10 + n / 29.9 for n in range(100)]
    assert choose_rate(slow + quick, [Fraction(90000)]) == (Fraction("30000/1001"), False)
    assert choose_rate([0.0, 0.1, 0.3, 0.7], []) == (Fraction(10), False)


def test_a_rate_that_was_rounded_is_told_as_what_it_is() -> None:
    times = [round(n * 1.001 / 30, 3) for n in range(300)]
    assert choose_rate(times, [Fraction(989, 33)]) == (Fraction("30000/1001"), True)
    assert choose_rate([n / 24 for n in range(300)], [Fraction(24)]) == (Fraction(24), True)


def test_a_rate_with_frames_missing_is_kept_and_said_not_to_be_constant() -> None:
    times = [n / 30 for n in range(300) if n != 150]
    assert choose_rate(times, [Fraction(30)]) == (Fraction(30), False)


def test_a_rate_above_sixty_is_divided() -> None:
    assert choose_rate([n / 120 for n in range(240)], [Fraction(120)]) == (Fraction(60), False)


def test_a_file_that_tells_no_times_gets_the_rate_it_claims() -> None:
    assert choose_rate([], [Fraction(30)]) == (Fraction(30), False)
    assert choose_rate([], []) == (Fraction(25), False)


@given(st.integers(1, 20_000), st.integers(1, 120), st.integers(1, 5_000))
def test_chunks_cover_the_film_in_whole_groups(frames: int, gop: int, chunk_frames: int) -> None:
    chunks = cut(frames, gop, chunk_frames)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert sum(chunk.frames for chunk in chunks) == frames
    assert all(chunk.first % gop == 0 and chunk.frames > 0 for chunk in chunks)
    assert all(a.first + a.frames == b.first for a, b in pairwise(chunks))
    if len(chunks) > 1:
        assert max(chunk.frames for chunk in chunks) - min(chunk.frames for chunk in chunks[:-1]) <= 2 * gop


@pytest.mark.parametrize("rate", ["24/1", "30000/1001", "179/6", "25/2", "12/1", "1/1"])
def test_a_frame_is_a_whole_number_of_ticks(rate: str) -> None:
    made = plan(100, rate)
    assert made.timescale >= 10_000
    assert (made.timescale / made.source.frame_rate).denominator == 1
    assert (made.segment_s * made.timescale).denominator == 1


def test_the_same_input_makes_the_same_asset_and_another_input_another() -> None:
    film = TitleId("tit_a")
    assert plan(100).asset_id(film, None) == plan(100).asset_id(film, None)
    others = {
        plan(101).asset_id(film, None),
        plan(100).asset_id(TitleId("tit_b"), None),
        plan(100).asset_id(film, None),
    }
    assert len(others) == 3


def test_sound_is_made_in_stereo_and_in_the_round_for_every_language() -> None:
    streams = [
        AudioStream(index=1, codec="aac", channels=6, sample_rate_hz=48_000, language="eng"),
        AudioStream(index=2, codec="aac", channels=1, sample_rate_hz=48_000, language="und"),
        AudioStream(index=3, codec="aac", channels=2, sample_rate_hz=48_000, language="eng"),
    ]
    made = sounds("master", source(audio=streams), "ja", [])
    assert [(sound.track_id, sound.stream) for sound in made] == [
        ("audio-en-2ch", 1),
        ("audio-en-6ch", 1),
        ("audio-ja-2ch", 2),
    ]


def test_a_side_file_stands_before_a_stream_of_its_language() -> None:
    stream = AudioStream(index=1, codec="aac", channels=2, sample_rate_hz=48_000, language="en")
    other = AudioSideFile(key="side", stream=stream, language="en", role="main")
    comment = AudioSideFile(key="talk", stream=stream, language="en", role="commentary")
    made = {
        sound.track_id: sound.source_key for sound in sounds("master", source(audio=[stream]), "en", [other, comment])
    }
    assert made == {"audio-en-2ch": "side", "audio-en-commentary-2ch": "talk"}


def test_only_written_subtitles_are_taken_over() -> None:
    streams = [
        SubtitleStream(index=2, codec="subrip", language="ger"),
        SubtitleStream(index=3, codec="hdmv_pgs_subtitle", language="fre"),
    ]
    made = texts("master", source(subtitles=streams), "en", [TextSideFile(key="s", language="pt-BR", role="forced")])
    assert [(text.track_id, text.language, text.stream) for text in made] == [
        ("text-pt-br-forced", "pt-BR", None),
        ("text-de", "de", 2),
    ]


def test_languages_are_told_as_bcp_47() -> None:
    said = ["eng", "ger", "deu", "pt_BR", "zh-Hant", "", "no idea", "x" * 9]
    assert [tag(one) for one in said] == ["en", "de", "de", "pt-BR", "zh-Hant", "und", "und", "und"]


@given(st.floats(-69, 10), st.floats(-60, 6))
def test_a_gain_reaches_the_target_or_stops_at_the_ceiling(loudness: float, peak: float) -> None:
    gain = gain_db(loudness, peak)
    assert loudness + gain <= TARGET_LUFS + 1e-9
    assert peak + gain <= CEILING_DBTP + 1e-9


def test_silence_stays_silent() -> None:
    assert gain_db(-math.inf, -math.inf) == gain_db(-70.0, -80.0) == 0.0


def test_the_frame_that_stands_for_a_film_is_neither_black_nor_blurred() -> None:
    black = Look(keyframe=0, light=0.01, contrast=0.9, sharpness=0.9, colour=0.9)
    blurred = Look(keyframe=1, light=0.45, contrast=0.5, sharpness=0.02, colour=0.5)
    good = Look(keyframe=2, light=0.4, contrast=0.6, sharpness=0.5, colour=0.5)
    assert best([black, blurred, good]) == good


@given(st.integers(1, 10_000))
def test_stills_are_looked_for_within_the_film(keyframes: int) -> None:
    chosen = candidates(keyframes)
    assert chosen
    assert all(0 <= n < keyframes for n in chosen)


def test_thumbnails_come_less_often_in_longer_films() -> None:
    assert [thumbnails(ms, 16, 9).interval_ms for ms in (30_000, 1_800_000, 7_200_000)] == [2000, 5000, 10_000]
    assert thumbnails(52_000, 1280, 720).sheets == 2
    assert thumbnails(40, 1280, 720).sheets == 1


def job() -> Job:
    order = Order(title_id=TitleId("tit_a"), path="/film.mov")
    return Job(job_id=JobId("job_a"), order=order, state="running", steps=fresh_steps(), created_at=NOW, updated_at=NOW)


def test_steps_tell_when_they_began_and_ended() -> None:
    later = NOW + timedelta(seconds=5)
    begun = with_step(job(), "encode", NOW, state="running", total=100)
    ended = with_step(with_step(begun, "encode", later, done=40), "encode", later, state="done")
    step = next(step for step in ended.steps if step.name == "encode")
    assert (step.started_at, step.ended_at, step.done, step.total) == (NOW, later, 40, 100)
    assert (
        share_done(begun.steps) < share_done(with_step(begun, "encode", later, done=40).steps) < share_done(ended.steps)
    )
    assert share_done(fresh_steps()) == 0


def test_a_stopped_step_waits_or_has_failed() -> None:
    running = with_step(job(), "encode", NOW, state="running", total=9)
    assert {step.state for step in halted(running, NOW, failed=False).steps} == {"waiting"}
    assert "failed" in {step.state for step in halted(running, NOW, failed=True).steps}


def test_the_time_left_is_told_once_there_is_a_pace() -> None:
    assert remaining_ms(0.0, 0.01, 60_000) is None
    assert remaining_ms(0.0, 0.5, 10_000) == 10_000
    assert remaining_ms(0.5, 0.75, 10_000) == 10_000


@pytest.mark.parametrize(
    ("error", "final", "said"),
    [
        (Unusable(file="a", stream="file", remedy="b", detail="a: file: broken"), True, "a: file: broken"),
        (Unreachable(service="catalogue"), False, "did not answer"),
        (OSError(errno.ENOSPC, "No space left on device"), True, "disk is full"),
        (ToolFailed("ffmpeg", 1, ["av_interleaved_write_frame(): No space left on device"]), True, "disk is full"),
        (ToolFailed("ffmpeg", 1, ["boom"]), False, "boom"),
        (ExceptionGroup("several", [ValueError("one\ntwo")]), False, "one two"),
    ],
)
def test_errors_are_final_or_pass(error: Exception, final: bool, said: str) -> None:
    judged = verdict(error)
    assert judged.final is final
    assert said in judged.reason
    assert "\n" not in judged.reason
