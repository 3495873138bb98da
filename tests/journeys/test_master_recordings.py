"""Recordings: damaged, cut and joined ones, frames at odd times, and sounds that belong together."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.journeys.encoding_deployment import EncodingDeployment
from tests.journeys.master_rig import (
    X264,
    Ingest,
    decode_picture,
    decode_sound,
    join,
    make,
    noise,
    picture,
    play,
)
from tests.unit.captions import add_captions
from tests.unit.encoding_rig import FFMPEG


async def make_tones(folder: Path, count: int) -> list[str]:
    """Make files of one channel, the n-th with a tone of n times 200 Hz, and return arguments that read them."""
    for n in range(1, count + 1):
        await make(folder / f"tone{n}.wav", "-f", "lavfi", "-i", f"sine=f={200 * n}:d=2:r=48000")
    return [argument for n in range(1, count + 1) for argument in ("-i", f"tone{n}.wav")]


async def decode_file(path: Path) -> NDArray[np.int_]:
    """Decode a film of 96x64 pixels to RGB frames, in their order."""
    write = ["-vf", "format=rgb24", "-fps_mode", "passthrough", "-f", "rawvideo", "decoded"]
    await FFMPEG.run(["-i", f"file:{path}", *write], cwd=path.parent, deadline_s=60)
    return np.fromfile(path.with_name("decoded"), np.uint8).reshape(-1, 64, 96, 3).astype(int)


def find_tones(samples: np.ndarray) -> list[int]:
    """Find the tones of a sound, in multiples of 200 Hz."""
    loud = np.abs(np.fft.rfft(samples[24_000:72_000]))[:2000]
    return [n for n in range(1, 9) if loud[200 * n - 3 : 200 * n + 4].max() > loud.max() / 8]


def name_maps(count: int) -> list[str]:
    return [argument for n in range(count) for argument in ("-map", str(n))]


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
async def test_film_whose_last_segment_is_one_frame_is_published(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, name: str
) -> None:
    _, asset = await ingest(await make(tmp_path / name, *picture(4.04), *X264))
    assert len(await play(deployment, asset, asset.video[-1], tmp_path)) == 101


async def test_sets_of_streams_with_one_channel_keep_their_order(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    tones = await make_tones(tmp_path, 6)
    codecs = [*X264, "-c:a", "pcm_s16le"]
    _, asset = await ingest(await make(tmp_path / "set.mov", *tones, *picture(), *name_maps(7), *codecs))
    surround = next(track for track in asset.audio if track.channels == 6)
    channels = await decode_sound(deployment, asset, tmp_path, surround)
    # FFmpeg lowers nothing but what a band for low frequencies does not hold: the fourth tone of 800 Hz.
    found = [find_tones(channel) for channel in channels.T]
    assert [found[n] for n in (0, 1, 2, 4, 5)] == [[1], [2], [3], [5], [6]]


async def test_sounds_of_one_language_are_all_published(ingest: Ingest, tmp_path: Path) -> None:
    tones = await make_tones(tmp_path, 3)
    stereo = ["-c:a", "aac", "-ac", "2"]
    _, asset = await ingest(await make(tmp_path / "three.mkv", *tones, *picture(), *name_maps(4), *X264, *stereo))
    assert [(audio.track_id, audio.number) for audio in asset.audio] == [
        ("audio-en-2ch", 1),
        ("audio-en-2-2ch", 2),
        ("audio-en-3-2ch", 3),
    ]


@pytest.mark.parametrize("codec", [[*X264, "-bf", "3"], ["-c:v", "mpeg2video", "-bf", "2"]], ids=["h264", "mpeg2"])
async def test_recording_with_a_hole_is_published_with_a_warning(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, codec: list[str]
) -> None:
    film = await make(tmp_path / "whole.ts", *picture(6, "320x180"), *noise(6), *codec, "-c:a", "ac3")
    data = film.read_bytes()
    hole = len(data) // 2 // 188 * 188
    path = tmp_path / "hole.ts"
    path.write_bytes(data[:hole] + data[hole + len(data) // 5 // 188 * 188 :])
    job, asset = await ingest(path)
    assert len(await play(deployment, asset, asset.video[-1], tmp_path)) == pytest.approx(150, abs=1)
    assert any("stands still for" in warning for warning in job.warnings)


@pytest.mark.parametrize(
    ("name", "codecs", "count"),
    [
        ("joined.ts", [*X264, "-c:a", "ac3"], 3),
        ("joined.m2ts", [*X264, "-bf", "3", "-c:a", "mp2", "-mpegts_m2ts_mode", "1", "-f", "mpegts"], 2),
        ("joined.vob", ["-c:v", "mpeg2video", "-c:a", "ac3"], 2),
        ("joined.ogv", ["-c:v", "libtheora", "-c:a", "libvorbis"], 2),
        ("joined.mkv", [*X264, "-c:a", "ac3"], 3),
        ("joined.mp4", [*X264, "-bf", "3", "-c:a", "aac"], 2),
    ],
)
async def test_short_recordings_with_clocks_of_their_own_are_one_film(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, name: str, codecs: list[str], count: int
) -> None:
    part = await make(tmp_path / f"part{Path(name).suffix}", *picture(2), *noise(2), *codecs)
    path = tmp_path / name
    path.write_bytes(part.read_bytes() * count)
    _, asset = await ingest(path)
    assert asset.duration_ms == pytest.approx(2000 * count, abs=120)
    frames = (await decode_picture(deployment, asset, tmp_path)).astype(int)
    # At a joint a picture may be held until the sound before it ends.
    for first in range(50, 50 * count, 50):
        repeated = min(np.abs(frames[first + late] - frames[0]).mean() for late in range(5))
        assert repeated < 12 < np.abs(frames[first - 1] - frames[0]).mean()
    sound = await decode_sound(deployment, asset, tmp_path)
    assert np.mean(np.abs(sound[: 2 * count * 48_000]) > 0.001) > 0.8


async def test_sounds_of_joined_recordings_may_have_other_rates_and_layouts(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    first = [*picture(3), *noise(3), *X264, "-c:a", "aac", "-ar", "48000", "-ac", "2"]
    second = [*picture(3), *noise(3), *X264, "-c:a", "aac", "-ar", "44100", "-ac", "1"]
    _, asset = await ingest(await join(tmp_path / "joined.ts", first, second))
    sound = await decode_sound(deployment, asset, tmp_path)
    levels = [float(np.abs(sound[n * 48_000 + 4800 : (n + 1) * 48_000 - 4800]).mean()) for n in range(6)]
    assert min(levels) > max(levels) / 4


async def test_sound_that_changes_its_rate_is_not_slowed(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    tone = ["-f", "lavfi", "-i", "sine=f=1000:d=3:r=48000"]
    first = [*picture(3), *tone, *X264, "-c:a", "aac", "-ar", "48000"]
    second = [*picture(3), *tone, *X264, "-c:a", "aac", "-ar", "32000", "-output_ts_offset", "3"]
    _, asset = await ingest(await join(tmp_path / "rates.ts", first, second))
    sound = await decode_sound(deployment, asset, tmp_path)
    # An overlap at the joint is made good within seconds, at two per cent.
    for start_s in (1, 4):
        loud = np.abs(np.fft.rfft(sound[start_s * 48_000 : (start_s + 1) * 48_000]))
        assert int(loud.argmax()) == pytest.approx(1000, abs=25)


@pytest.mark.parametrize(
    ("kept", "rate", "duration_ms", "frames"),
    [
        ("lte(n,29)+eq(n,89)", "30", 3000, 31),  # a long hold before the last frame
        ("not(mod(n,8))*lt(t,1)+not(mod(n,4))*gte(t,1)", "240", 2000, 90),  # the last is shown for a quarter
    ],
)
async def test_last_frame_of_a_varying_rate_is_kept(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, kept: str, rate: str, duration_ms: int, frames: int
) -> None:
    vary = ["-vf", f"select='{kept}'", "-fps_mode", "vfr", *X264, "-bf", "0"]
    _, asset = await ingest(await make(tmp_path / "vary.mp4", *picture(duration_ms / 1000, rate=rate), *vary))
    assert asset.duration_ms == pytest.approx(duration_ms, abs=20)
    shown = (await decode_picture(deployment, asset, tmp_path)).astype(int)
    moves = np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3)) > 1.2
    assert 1 + moves.sum() == pytest.approx(frames, abs=1)
    assert moves[-1]


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("film.avi", [*X264, "-bf", "3"]),
        ("old.avi", ["-c:v", "mpeg4", "-q:v", "2", "-bf", "2"]),
        ("film.asf", [*X264, "-bf", "3"]),
        ("film.h264", [*X264, "-bf", "3"]),
        ("film.hevc", ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=3"]),
    ],
)
async def test_pictures_without_times_of_presentation_are_in_order_and_whole(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, name: str, codecs: list[str]
) -> None:
    film = await make(tmp_path / name, *picture(2), *codecs)
    _, asset = await ingest(film)
    shown = (await decode_picture(deployment, asset, tmp_path)).astype(int)
    wanted = await decode_file(film)
    assert len(shown) == 50
    # The first one repeated and the last one lost would be a frame of difference.
    apart = [np.abs(shown[n] - wanted[n + by]).mean() for n, by in ((1, -1), (1, 0), (48, 0), (48, 1))]
    assert apart[1] < 0.75 * apart[0]
    assert apart[2] < 0.75 * apart[3]


@pytest.mark.parametrize("encoder", ["libsvtav1", "libaom-av1"])
async def test_av1_is_read(deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, encoder: str) -> None:
    quick = ["-preset", "12"] if encoder == "libsvtav1" else ["-cpu-used", "8", "-usage", "realtime"]
    film = [*picture(1), "-c:v", encoder, *quick, "-pix_fmt", "yuv420p"]
    _, asset = await ingest(await make(tmp_path / "film.mkv", *film))
    assert len(await play(deployment, asset, asset.video[-1], tmp_path)) == 25


async def test_captions_in_a_track_of_their_own_are_kept(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    delimited = [*X264, "-bf", "0", "-x264-params", "aud=1", "-f", "h264"]
    stream = await make(tmp_path / "plain.h264", *picture(4), *delimited)
    (tmp_path / "captioned.h264").write_bytes(add_captions(stream.read_bytes(), [(25, "Hello", 50)]))
    film = await make(tmp_path / "captioned.ts", "-r", "25", "-i", "captioned.h264", "-c", "copy")
    captions = ["-f", "lavfi", "-i", f"movie={film.name}[out0+subcc]", "-map", "0:v", "-map", "1:s", "-c:s", "copy"]
    _, asset = await ingest(await make(tmp_path / "film.mov", *picture(4), *captions, *X264))
    assert [text.role for text in asset.text] == ["caption"]
    assert "Hello" in (deployment.objects / "assets" / asset.asset_id / asset.text[0].path).read_text()


def cut(data: bytes) -> bytes:
    return data[: len(data) * 6 // 10]


async def test_what_is_missing_is_named(ingest: Ingest, tmp_path: Path) -> None:
    mpeg4, mp3 = ["-c:v", "mpeg4", "-q:v", "3"], ["-c:a", "mp3"]
    cut_avi = await make(tmp_path / "cut.avi", *picture(6), *noise(6), *mpeg4, *mp3)
    cut_avi.write_bytes(cut(cut_avi.read_bytes()))
    twice = await make(tmp_path / "twice.flv", *picture(2), *noise(2), *X264, "-c:a", "aac")
    data = twice.read_bytes()
    twice.write_bytes(data + data[13:])  # without its header
    early = ["-itsoffset", "0.6", *picture(2), *noise(2), *X264, "-c:a", "mp2"]
    expected = {
        cut_avi: "of 6.0 seconds: the file may be cut short",
        twice: "the clock of the file goes back",
        await make(tmp_path / "early.ts", *early): "seconds before the picture: it is left out until there",
    }
    for path, warning in expected.items():
        job, _ = await ingest(path)
        assert [text for text in job.warnings if warning in text], (path.name, job.warnings)
