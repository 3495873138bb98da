"""The FFmpeg encoder: seamless chunks, and audio with the right loudness and duration."""

import os
import re
from pathlib import Path

import msgspec
import pytest
from tests.unit.encoding_rig import FFMPEG, make_clip

from matinee.encoding.adapters.ffmpeg import FfmpegEncoder, FfmpegProber
from matinee.encoding.model.ladder import build_ladder
from matinee.encoding.model.loudness import compute_gain_db
from matinee.encoding.model.plan import AudioTrackPlan, Plan

PROBER, ENCODER = FfmpegProber(FFMPEG), FfmpegEncoder(FFMPEG)
X264 = ("-c:v", "libx264", "-preset", "ultrafast")


async def make_plan(original: Path, chunk_s: int) -> tuple[Plan, Path]:
    """Return the plan of a file, and the file to encode: a copy where it needs one."""
    path, source = original, await PROBER.probe(path=original, name=original.name)
    if source.remux:
        path = original.with_suffix(".copy.mkv")
        await ENCODER.remux(master=original, source=source, out=path)
        source = source.renumber()
    source = await PROBER.survey(original=original, path=path, source=source, progress=ignore)
    video = source.report.video
    rungs = build_ladder(video.width_px, video.height_px, source.frame_rate, preset="veryfast")
    return Plan(source_key="", source=source, frames=source.picture_frames, rungs=rungs, chunk_s=chunk_s), path


def ignore(_frames: int) -> None:
    """Ignore progress."""


async def encode(plan: Plan, master: Path, folder: Path) -> Path:
    os.makedirs(folder)  # noqa: PTH103
    parts, rung = [folder / f"{chunk.first}.mp4" for chunk in plan.chunks], plan.rungs[-1]
    for chunk, part in zip(plan.chunks, parts, strict=True):
        await ENCODER.encode_chunk(
            master=master, plan=plan, chunk=chunk, outputs={rung: part}, threads=1, progress=ignore
        )
    out = folder / "joined.mp4"
    await ENCODER.join_chunks(parts=parts, timescale=plan.timescale, out=out)
    return out


@pytest.mark.parametrize(
    ("name", "rate", "arguments"),
    [
        ("indexed.mp4", "30000/1001", (*X264, "-g", "70")),
        ("unindexed.ts", "25", ("-c:v", "mpeg2video", "-bf", "2", "-g", "30", "-q:v", "3")),
        ("one-keyframe.mkv", "24", (*X264, "-g", "900")),
        ("interlaced.ts", "50", ("-vf", "interlace", "-flags", "+ilme+ildct", "-c:v", "mpeg2video", "-q:v", "3")),
        ("varying.mkv", "30", ("-vf", "select='not(between(n,40,110))'", "-fps_mode", "passthrough", *X264)),
    ],
)
async def test_chunks_join_to_the_same_film_as_one_piece(
    tmp_path: Path, name: str, rate: str, arguments: tuple[str, ...]
) -> None:
    plan, master = await make_plan(await make_clip(tmp_path / name, *arguments, rate=rate, seconds=8), chunk_s=2)
    assert len(plan.chunks) > 2
    chunked = await encode(plan, master, tmp_path / "chunked")
    whole = await encode(msgspec.structs.replace(plan, chunk_s=900), master, tmp_path / "whole")
    for film in (chunked, whole):
        assert await PROBER.list_keyframes(path=film) == (plan.frames, list(plan.keyframes))
    compare = ["-i", f"file:{chunked}", "-i", f"file:{whole}", "-lavfi", "psnr=stats_file=psnr", "-f", "null", "-"]
    await FFMPEG.run(compare, cwd=tmp_path, deadline_s=60)
    psnr = [float(value) for value in re.findall(r"psnr_avg:(\S+)", (tmp_path / "psnr").read_text())]
    assert len(psnr) == plan.frames
    assert min(psnr) > 30  # two different frames of this picture are below 25


def track(stream: int = 0, channels: int = 2, delay_us: int = 0) -> AudioTrackPlan:
    return AudioTrackPlan(
        track_id="a", source_key="", streams=(stream,), language="en", channels=channels, bps=128_000, delay_us=delay_us
    )


@pytest.mark.parametrize(("channels", "level"), [(2, 0.02), (6, 0.3), (1, 0.9)])
async def test_audio_is_normalised_in_loudness(tmp_path: Path, channels: int, level: float) -> None:
    master, out = tmp_path / "in.wav", tmp_path / "out.mp4"
    tones = f"aevalsrc='{level}*(sin(2*PI*440*t)+sin(2*PI*1100*t))/2*(0.6+0.4*sin(2*PI*3*t))':d=6"
    await FFMPEG.run(["-f", "lavfi", "-i", tones, "-ac", str(channels), f"file:{master}"], deadline_s=30)
    wanted = track(channels=6 if channels == 6 else 2)
    before = await ENCODER.measure_loudness(master=master, track=wanted)
    gain = compute_gain_db(before.integrated_lufs, before.true_peak_dbtp)
    await ENCODER.encode_audio(master=master, track=wanted, gain_db=gain, duration_s=5.0, out=out)
    after = await ENCODER.measure_loudness(master=out, track=wanted)
    assert after.integrated_lufs == pytest.approx(-23, abs=0.5)
    assert after.true_peak_dbtp < -1
    streams = await PROBER.probe_audio(path=out, name="out")
    assert [(stream.channels, stream.sample_rate_hz) for stream in streams] == [(wanted.channels, 48_000)]


@pytest.mark.parametrize(("length_s", "duration_s"), [(1.0, 2.0), (3.0, 2.0)])
async def test_audio_has_the_duration_of_the_picture(tmp_path: Path, length_s: float, duration_s: float) -> None:
    master, out = tmp_path / "in.wav", tmp_path / "out.mp4"
    await FFMPEG.run(["-f", "lavfi", "-i", f"sine=d={length_s}", f"file:{master}"], deadline_s=30)
    await ENCODER.encode_audio(master=master, track=track(), gain_db=0, duration_s=duration_s, out=out)
    shown = await FFMPEG.probe(out, ("-show_entries", "format=duration"), deadline_s=30)
    assert float(shown["format"]["duration"]) == pytest.approx(duration_s, abs=0.022)
