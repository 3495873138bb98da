"""Masters of every kind: nothing of them is lost, moved or shown otherwise without a word."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.journeys.encoding_deployment import EncodingDeployment
from tests.journeys.master_rig import (
    FILM,
    X264,
    Ingest,
    decode_picture,
    decode_sound,
    find_start,
    join,
    make,
    noise,
    picture,
    play,
    worker,
)
from tests.unit.captions import add_captions
from tests.unit.encoding_rig import FFMPEG

from matinee.catalogue.api import Chapter
from matinee.encoding.api import Order, Unusable
from matinee.encoding.ports import Encoder, MediaToolFailed


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("late.ts", [*X264, "-c:a", "mp2"]),
        ("late.mpg", ["-c:v", "mpeg2video", "-c:a", "mp2"]),
        ("late.ogv", ["-c:v", "libtheora", "-c:a", "libvorbis"]),
        ("late.flv", [*X264, "-c:a", "aac"]),
        ("late.mkv", [*X264, "-c:a", "flac"]),
    ],
)
async def test_sound_keeps_its_offset_in_every_container(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, name: str, codecs: list[str]
) -> None:
    late = ["-itsoffset", "0.7", *noise(1.3), "-map", "0", "-map", "1", *codecs]
    _, asset = await ingest(await make(tmp_path / name, *picture(), *late))
    assert find_start(await decode_sound(deployment, asset, tmp_path)) == pytest.approx(0.7, abs=0.02)
    assert asset.duration_ms == pytest.approx(2000, abs=80)


async def test_picture_that_begins_late_keeps_its_frames_and_offset(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    film = await make(tmp_path / "film.mkv", *picture(), *X264)
    late = ["-itsoffset", "0.8", "-i", film.name, *noise(1.8), "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "mp2"]
    _, asset = await ingest(await make(tmp_path / "late.ts", *late))
    assert len(await play(deployment, asset, asset.video[-1], tmp_path)) == 50
    sound = await decode_sound(deployment, asset, tmp_path)
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    assert (loud[0] / 48_000, loud[-1] / 48_000) == pytest.approx((0, 1.0), abs=0.05)


async def test_recordings_with_clocks_of_their_own_are_one_film(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    # A step back of ten seconds or less can be a fault of one stream.
    part = [*picture(11), *noise(11), *X264, "-c:a", "mp2"]
    _, asset = await ingest(await join(tmp_path / "joined.ts", part, part, part))
    frames = len(await play(deployment, asset, asset.video[-1], tmp_path))
    assert frames == pytest.approx(3 * 11 * 25, abs=2)  # one is held at each joint, to the end of the sound
    sound = await decode_sound(deployment, asset, tmp_path)
    assert np.mean(np.abs(sound[: 33 * 48_000]) > 0.001) > 0.8


async def test_picture_that_changes_its_size_keeps_every_frame_and_its_shape(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    narrow = [*picture(1, "72x58"), "-vf", "drawbox=c=red:t=fill,setsar=16/11", *X264]
    tall = [*picture(1, "96x96"), "-vf", "drawbox=c=blue:t=fill", *X264, "-output_ts_offset", "1"]
    wide = [*picture(1, "128x72"), "-vf", "drawbox=c=lime:t=fill", *X264, "-output_ts_offset", "2"]
    job, asset = await ingest(await join(tmp_path / "changes.ts", narrow, tall, wide))
    assert (asset.video[-1].width_px, asset.video[-1].height_px, asset.duration_ms) == (96, 96, 3000)
    frames = (await decode_picture(deployment, asset, tmp_path)).astype(int)
    assert len(frames) == 75
    # 72x58 with pixels of 16:11 is 105x58, shown as 96x53; 128x72 as 96x54.
    shown = [(10, 0, 53), (35, 2, 96), (60, 1, 54)]
    for number, colour, height in shown:
        middle = frames[number, :, 48, :]
        assert middle[48].argmax() == colour
        lit = middle.max(axis=1) > 100
        assert int(lit.sum()) == pytest.approx(height, abs=3)
    assert any("changes its size" in warning for warning in job.warnings)


async def test_sound_that_changes_its_layout_has_one_loudness(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    quiet = [*picture(3), *noise(3), "-af", "volume=-12dB,aformat=channel_layouts=stereo", *X264, "-c:a", "ac3"]
    loud = [*picture(3), *noise(3), "-af", "aformat=channel_layouts=5.1", *X264, "-c:a", "ac3"]
    _, asset = await ingest(await join(tmp_path / "layout.ts", quiet, [*loud, "-output_ts_offset", "3"]))
    sound = await decode_sound(deployment, asset, tmp_path)
    before, after = (np.abs(part).mean() for part in (sound[24_000:120_000], sound[168_000:264_000]))
    assert before > 0.001
    assert after > 2 * before
    log = await FFMPEG.run(
        ["-f", "f32le", "-ar", "48000", "-ac", "1", "-i", "raw", "-af", "ebur128", "-f", "null", "-"],
        cwd=tmp_path,
        deadline_s=60,
        level="info",
    )
    loudness = float(re.findall(r"I:\s+(-[\d.]+) LUFS", "\n".join(log))[-1])
    assert loudness == pytest.approx(-23, abs=4)  # decoded to one channel


async def test_last_picture_stands_to_the_end_of_the_sound(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    job, asset = await ingest(await make(tmp_path / "screen.mkv", *picture(1), *noise(7), *X264, "-c:a", "aac"))
    assert asset.duration_ms == pytest.approx(7000, abs=60)
    frames = await decode_picture(deployment, asset, tmp_path)
    assert np.abs(frames[-1].astype(int) - frames[30]).mean() < 4
    assert any("longer than the picture" in warning for warning in job.warnings)


async def test_every_picture_of_a_varying_rate_is_kept(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    thinned = "select='if(lt(t,1),1,if(lt(t,2),not(mod(n,12)),not(mod(n,2))))'"
    vary = ["-vf", thinned, "-fps_mode", "vfr", "-enc_time_base", "1/60", *X264]
    film = await make(tmp_path / "vary.mkv", *picture(3, rate="60"), *vary)
    _, asset = await ingest(film)
    assert Fraction(asset.video[-1].frame_rate) == 60
    assert len(await play(deployment, asset, asset.video[-1], tmp_path)) == pytest.approx(180, abs=1)


@pytest.mark.parametrize("codec", [["dvvideo", "-pix_fmt", "yuv420p"], ["mjpeg", "-q:v", "2"]], ids=["flagged", "not"])
async def test_interlacing_that_only_frames_tell_is_removed(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, codec: list[str]
) -> None:
    moving = "geq=lum='if(lt(mod(X-8*N\\,64)\\,32)\\,235\\,16)':cb=128:cr=128,tinterlace=interleave_top,setfield=tff"
    film = [*picture(1, "720x576", "50"), "-vf", moving, "-c:v", *codec]
    job, asset = await ingest(await make(tmp_path / "film.avi", *film))
    assert any("interlaced" in warning for warning in job.warnings)
    grey = (await decode_picture(deployment, asset, tmp_path))[10, :, :, 0].astype(int)
    assert np.abs(np.diff(grey, axis=0)).mean() < 2  # combed lines differ by 40 on average


async def test_transparent_parts_are_black_and_wide_colours_are_converted(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    hidden = "format=rgba,geq=r='255*lt(X,48)':g='255*gte(X,48)':b=0:a='255*lt(X,48)'"
    _, asset = await ingest(await make(tmp_path / "alpha.mov", *picture(1), "-vf", hidden, "-c:v", "qtrle"))
    frame = (await decode_picture(deployment, asset, tmp_path))[5].astype(int)
    assert frame[32, 20] == pytest.approx([255, 0, 0], abs=8)
    assert frame[32, 80] == pytest.approx([0, 0, 0], abs=8)


async def test_wide_gamut_and_high_range_are_shown_as_they_are_meant(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    red = "color=c=red:s=96x64:r=25:d=1,format=gbrp,zscale=pin=bt709:tin=bt709:min=gbr:rin=pc:p=bt2020:t=bt2020-10"
    red += (
        ":m=bt2020nc:r=tv,format=yuv444p10le,setparams=color_primaries=bt2020:color_trc=bt2020-10:colorspace=bt2020nc"
    )
    _, asset = await ingest(await make(tmp_path / "wide.mkv", "-f", "lavfi", "-i", red, "-c:v", "ffv1"))
    frame = (await decode_picture(deployment, asset, tmp_path))[5].astype(int)
    assert frame[32, 48] == pytest.approx([255, 0, 0], abs=8)


async def test_white_of_high_range_is_near_full_white(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    # 10-bit code values of 203 and 1,000 nits (SMPTE ST 2084).
    levels = "color=s=96x64:r=25:d=1,format=yuv420p10le,geq=lum='if(lt(X,48),573,723)':cb=512:cr=512"
    levels += ",setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    x265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-crf", "8"]
    _, asset = await ingest(await make(tmp_path / "hdr.mp4", "-f", "lavfi", "-i", levels, *x265))
    frame = (await decode_picture(deployment, asset, tmp_path))[5].astype(int)
    assert 228 <= frame[32, 20, 0] <= 246 < frame[32, 80, 0]


async def test_captions_in_the_picture_become_a_track(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    delimited = [*X264, "-bf", "0", "-x264-params", "aud=1", "-f", "h264"]
    stream = await make(tmp_path / "plain.h264", *picture(4), *delimited)
    (tmp_path / "captioned.h264").write_bytes(add_captions(stream.read_bytes(), [(25, "Hello", 50), (70, "World", 90)]))
    _, asset = await ingest(await make(tmp_path / "film.mp4", "-r", "25", "-i", "captioned.h264", "-c", "copy"))
    assert [(text.role, text.language) for text in asset.text] == [("caption", "en")]
    cues = (deployment.objects / "assets" / asset.asset_id / asset.text[0].path).read_text()
    assert "Hello" in cues
    assert "World" in cues


async def test_chapters_and_cover_are_kept(ingest: Ingest, deployment: EncodingDeployment, tmp_path: Path) -> None:
    marks = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle={}\n"
    chapters = ";FFMETADATA1\n" + marks.format(0, 1000, "One") + marks.format(1000, 2000, "Two")
    (tmp_path / "chapters.txt").write_text(chapters)
    cover = await make(tmp_path / "cover.jpg", *picture(1, "400x600"), "-vf", "drawbox=c=lime:t=fill", "-frames:v", "1")
    inputs = ["-i", cover.name, *picture(), "-i", "chapters.txt", "-map", "0", "-map", "1", "-map_metadata", "2"]
    film = await make(tmp_path / "film.mkv", *inputs, "-c:v:0", "copy", "-c:v:1", "libx264", "-disposition:v:0", "0")
    _, asset = await ingest(film)
    assert (asset.duration_ms, asset.chapters) == (2000, [Chapter(0, "One"), Chapter(1000, "Two")])
    artwork = {art.kind: art for art in (await deployment.catalogue.title(title_id=FILM)).artwork}
    assert (artwork["poster"].width_px, artwork["poster"].height_px) == (400, 600)
    assert int(artwork["poster"].colour[3:5], 16) > 200
    assert artwork["card"].width_px == 96


async def test_one_programme_of_a_multiplex_is_used(ingest: Ingest, tmp_path: Path) -> None:
    programmes = ["-program", "title=One:program_num=1:st=0:st=1", "-program", "title=Two:program_num=2:st=2:st=3"]
    inputs = [*picture(2, "128x72"), *noise(), *picture(2), "-f", "lavfi", "-i", "sine=d=2"]
    maps = ["-map", "0", "-map", "1", "-map", "2", "-map", "3"]
    job, asset = await ingest(await make(tmp_path / "two.ts", *inputs, *maps, *programmes, *X264, "-c:a", "mp2"))
    assert (asset.video[-1].width_px, len(asset.audio)) == (128, 1)
    assert "of several programmes “One” is used; left out: “Two”" in job.warnings


async def test_matrix_that_does_not_fit_is_ignored(ingest: Ingest, tmp_path: Path) -> None:
    film = await make(tmp_path / "film.mp4", *picture(), *X264)
    odd = ["-i", film.name, "-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=8"]
    job, _ = await ingest(await make(tmp_path / "odd.mp4", *odd))
    assert "the colour matrix ycgco does not fit the pixel format: it is ignored" in job.warnings


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
async def test_file_that_is_cut_short_is_refused(deployment: EncodingDeployment, tmp_path: Path, name: str) -> None:
    film = [*picture(6, "320x180"), *noise(6), *X264, "-c:a", "aac"]
    path = await make(tmp_path / name, *film, *(["-movflags", "+faststart"] if name.endswith("mp4") else []))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 55 // 100])
    with pytest.raises(Unusable, match=r"it is cut short: the last \d\.\d of 6\.\d seconds are missing"):
        await deployment.encoding.submit(order=Order(title_id=FILM, path=str(path)))


async def test_encrypted_file_is_called_so(deployment: EncodingDeployment, tmp_path: Path) -> None:
    film = await make(tmp_path / "film.mp4", *picture(), *X264)
    key = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "7" * 32, "-encryption_kid", "a" * 32]
    path = await make(tmp_path / "secret.mp4", "-i", film.name, "-c", "copy", *key)
    with pytest.raises(Unusable, match=r"it is encrypted\. Export it without copy protection"):
        await deployment.encoding.submit(order=Order(title_id=FILM, path=str(path)))


class FailingEncoder:
    """An encoder that fails at every picture."""

    def __init__(self, encoder: Encoder, failure: MediaToolFailed) -> None:
        self._encoder = encoder
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    async def encode_chunk(self, **_options: object) -> None:
        raise self._failure


@pytest.mark.parametrize(
    ("repeats", "state", "reason"),
    [
        (True, "failed", "film.mkv: picture: it cannot be encoded. Export"),
        (False, "queued", "A media tool was stopped"),
    ],
)
async def test_failure_that_would_repeat_is_final_and_in_our_words(
    deployment: EncodingDeployment, tmp_path: Path, repeats: bool, state: str, reason: str
) -> None:
    path = await make(tmp_path / "film.mkv", *picture(), *X264)
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(path)))
    failure = MediaToolFailed("ffmpeg ended with status 1: [libx264 @ 0x55] boom", repeats=repeats)
    await worker(deployment, encoder=FailingEncoder(deployment.tools.encoder, failure)).run_next()
    ended = await deployment.encoding.get_job(job_id=job.job_id)
    assert ended.state == state
    assert ended.reason.startswith(reason)
    assert "boom" not in ended.reason
