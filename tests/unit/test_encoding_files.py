"""Probing of master files: what is read from valid ones, and why invalid ones are refused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.unit.encoding_rig import FFMPEG, make_clip, make_film

from matinee.drivers.ffmpeg import Ffmpeg
from matinee.drivers.process import ToolFailed
from matinee.encoding.adapters.ffmpeg import FfmpegProber
from matinee.encoding.api import Unusable

PROBER = FfmpegProber(FFMPEG)
X264 = ("-c:v", "libx264", "-preset", "ultrafast")


def write_empty(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("this is no film\n" * 50)


def write_playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")


def write_listing(path: Path) -> None:
    path.write_text("ffconcat version 1.0\nfile /etc/passwd\n")


def make_folder(path: Path) -> None:
    path.mkdir()


def write_nothing(path: Path) -> None:
    """Leave the file missing."""


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (write_empty, "empty"),
        (write_text, "not a film"),
        (write_playlist, "not a film"),
        (write_listing, "not a film"),
        (make_folder, "not a file"),
        (write_nothing, "cannot be read (No such file or directory)"),
    ],
)
async def test_file_that_is_no_film_is_refused(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    path = tmp_path / 'it\'s a "film" 🎬.mp4'
    make(path)
    with pytest.raises(Unusable) as refused:
        await PROBER.probe(path=path, name=path.name)
    assert reason in str(refused.value)
    assert refused.value.file == path.name
    assert refused.value.remedy
    assert "\n" not in str(refused.value)


async def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = await make_clip(tmp_path / "a.mp4", *X264)
    path.write_bytes(path.read_bytes()[:-1200])
    with pytest.raises(Unusable, match="cut short"):
        await PROBER.probe(path=path, name="a.mp4")


async def test_file_without_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    await FFMPEG.run(["-f", "lavfi", "-i", "sine=d=1", f"file:{path}"], deadline_s=30)
    with pytest.raises(Unusable, match="picture: it has none"):
        await PROBER.probe(path=path, name="a.mkv")
    assert [stream.channels for stream in await PROBER.probe_audio(path=path, name="a.mkv")] == [1]


async def test_cover_image_is_not_a_video_stream(tmp_path: Path) -> None:
    cover = await make_clip(tmp_path / "cover.png", "-frames:v", "1")
    path = tmp_path / "song.m4a"
    inputs = ["-f", "lavfi", "-i", "sine=d=1", "-i", f"file:{cover}", "-map", "0", "-map", "1"]
    await FFMPEG.run([*inputs, "-c:v", "mjpeg", "-disposition:v", "attached_pic", f"file:{path}"], deadline_s=30)
    with pytest.raises(Unusable, match="picture: it has none"):
        await PROBER.probe(path=path, name="song.m4a")


async def test_long_tags_are_ignored(tmp_path: Path) -> None:
    tags = tmp_path / "tags.txt"
    tags.write_text(f";FFMETADATA1\ntitle={'x' * (2 << 20)}\n[STREAM]\ntitle={'y' * (2 << 20)}\n")
    path = await make_clip(
        tmp_path / "film.mkv", "-i", f"file:{tags}", "-map_metadata", "1", "-map_metadata:s:v", "1:s", *X264
    )
    assert path.stat().st_size > 4 << 20
    assert (await PROBER.probe(path=path, name=path.name)).report.video.codec == "h264"


class LostListing(Ffmpeg):
    """FFmpeg that cannot list the packets of a file."""

    async def probe_rows(
        self, path: Path, show: Sequence[str], *, deadline_s: float
    ) -> tuple[list[list[str]], list[str]]:
        raise ToolFailed("ffprobe", 1, ["Invalid data found when processing input"])


async def test_picture_whose_frames_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    path = await make_clip(tmp_path / "film.mkv", *X264)
    with pytest.raises(Unusable) as refused:
        await FfmpegProber(LostListing()).probe(path=path, name=path.name)
    assert "its frames cannot be listed" in str(refused.value)


async def test_undecodable_picture_is_refused(tmp_path: Path) -> None:
    path = await make_clip(tmp_path / "a.mp4", *X264)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 4
    length = int.from_bytes(data[at - 8 : at - 4], "big") - 8
    data[at : at + length] = bytes(length)
    path.write_bytes(data)
    with pytest.raises(Unusable, match="decoded"):
        await PROBER.probe(path=path, name="a.mp4")


@pytest.mark.parametrize("name", ["a b.mp4", "it's.mp4", 'say "hi".mp4', "🎬é.mp4", "-dash%d.mp4", "a:b,c[1];d.mp4"])
async def test_any_file_name_is_accepted(tmp_path: Path, name: str) -> None:
    path = await make_clip(tmp_path / name, *X264)
    source = await PROBER.probe(path=path, name=name)
    assert (source.rate, source.constant, source.report.video.frames) == ("25/1", True, 25)


async def test_odd_size_depth_and_rate_are_probed(tmp_path: Path) -> None:
    odd = ("-vf", "format=yuv444p10le,scale=97:65,setsar=1", "-c:v", "ffv1")
    path = await make_clip(tmp_path / "a.mkv", *odd, rate="25/2", seconds=2)
    source = await PROBER.probe(path=path, name="a.mkv")
    video = source.report.video
    assert (video.width_px, video.height_px, video.bit_depth, source.rate) == (97, 65, 10, "25/2")
    source = await PROBER.survey(original=path, path=path, source=source, progress=lambda _: None)
    assert (source.picture_frames, source.rate, source.constant) == (25, "25/2", True)


async def test_pixel_shape_and_rotation_change_the_size(tmp_path: Path) -> None:
    wide = await make_clip(tmp_path / "wide.mkv", "-vf", "setsar=16/11", *X264, size="72x58")
    video = (await PROBER.probe(path=wide, name="wide")).report.video
    assert (video.width_px, video.height_px) == (105, 58)
    plain, rotated = await make_clip(tmp_path / "plain.mp4", *X264), tmp_path / "rotated.mp4"
    await FFMPEG.run(["-display_rotation", "90", "-i", f"file:{plain}", "-c", "copy", f"file:{rotated}"], deadline_s=30)
    video = (await PROBER.probe(path=rotated, name="rotated")).report.video
    assert (video.width_px, video.height_px, video.rotation_deg) == (64, 96, 90)


async def test_audio_and_subtitle_streams_are_listed(tmp_path: Path) -> None:
    report = (await PROBER.probe(path=await make_film(tmp_path / "a.mkv", seconds=1), name="a.mkv")).report
    assert [stream.channels for stream in report.audio] == [6]
    assert [stream.codec for stream in report.subtitles] == ["subrip"]
    assert 950 <= report.duration_ms <= 2100
