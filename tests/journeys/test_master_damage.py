"""Recordings with gaps, damaged times and lost packets: what is left stays in its place."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.journeys.encoding_deployment import EncodingDeployment
from tests.journeys.master_rig import X264, Ingest, decode_picture, decode_sound, make, noise, picture
from tests.unit.encoding_rig import FFMPEG

from matinee.encoding.adapters.ffmpeg.reading import Listing, read_source
from matinee.encoding.api import Unusable

H264, MPEG2 = [*X264, "-bf", "2"], ["-c:v", "mpeg2video", "-bf", "2"]
# Loud for a tenth of each second, and never silent: every packet has about as many bytes.
BEEPS = ["-f", "lavfi", "-i", "aevalsrc='(2*random(0)-1)*(0.02+0.9*lt(mod(t,1),0.1))':d=6:s=48000"]
# More than the ten seconds after which FFmpeg takes it that a clock was restarted.
GAP_S = 12


async def decode_reference(folder: Path, seconds: float) -> NDArray[np.int_]:
    """Decode the test picture without anything missing."""
    film = await make(folder / "reference.mkv", *picture(seconds), *X264)
    write = ["-vf", "format=rgb24", "-f", "rawvideo", "reference"]
    await FFMPEG.run(["-i", f"file:{film}", *write], cwd=folder, deadline_s=60)
    return np.fromfile(folder / "reference", np.uint8).reshape(-1, 64, 96, 3).astype(int)


def find_beeps(sound: NDArray[np.float32]) -> list[float]:
    """Find when beeps begin that are a second apart."""
    loud = np.flatnonzero(np.abs(sound) > np.abs(sound).max() / 3)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-48_000) > 24_000)]
    return [float(start) / 48_000 for start in starts]


@pytest.mark.parametrize(("name", "codec"), [("film.ts", H264), ("film.ts", MPEG2), ("film.mpg", MPEG2)])
async def test_long_gap_in_a_recording_loses_nothing_after_it(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, name: str, codec: list[str]
) -> None:
    gap = ["-vf", f"setpts='PTS+if(gte(N,50),{GAP_S},0)/TB'", "-af", f"asetpts='PTS+if(gte(T,2),{GAP_S},0)/TB'"]
    film = [*picture(4), *BEEPS, "-t", str(4 + GAP_S), *gap, "-fps_mode", "passthrough", *codec, "-c:a", "ac3"]
    job, asset = await ingest(await make(tmp_path / name, *film))
    frames, reference = (
        (await decode_picture(deployment, asset, tmp_path)).astype(int),
        await decode_reference(tmp_path, 4),
    )
    held = GAP_S * 25
    kept = np.concatenate([frames[:50], frames[50 + held : 100 + held]])
    # Of a programme stream one more picture may come before the gap.
    assert np.sort(np.abs(kept - reference).mean(axis=(1, 2, 3)))[-2] < 12
    assert any("stands still for 12" in warning for warning in job.warnings)
    beeps = find_beeps(await decode_sound(deployment, asset, tmp_path))
    assert beeps[-2:] == pytest.approx([GAP_S + 2, GAP_S + 3], abs=0.05)


@pytest.mark.parametrize("name", ["film.ts", "film.vob"])
async def test_sound_after_a_gap_in_it_is_in_its_place(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, name: str
) -> None:
    sound = [*noise(16), "-af", "aselect='lt(t,2)+gt(t,14)'"]
    film = await make(tmp_path / name, *picture(16), *sound, *MPEG2, "-c:a", "ac3")
    _, asset = await ingest(film)
    assert asset.duration_ms == pytest.approx(16_000, abs=50)
    samples = np.abs(await decode_sound(deployment, asset, tmp_path))
    levels = [float(samples[at * 48_000 : at * 48_000 + 24_000].mean()) for at in (1, 3, 8, 12, 15)]
    assert min(levels[0], levels[4]) > 100 * max(levels[1:4])


@pytest.mark.parametrize("name", ["film.ts", "film.vob"])
async def test_one_damaged_time_of_the_sound_moves_nothing(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path, name: str
) -> None:
    film = await make(tmp_path / name, *picture(6), *BEEPS, *MPEG2, "-c:a", "mp2")
    data = bytearray(film.read_bytes())
    packet = len(data) // 2
    while data[packet : packet + 4] != b"\0\0\1\xc0" or not data[packet + 7] & 0x80:
        packet += 1
    data[packet + 9] ^= 0x08
    film.write_bytes(data)
    _, asset = await ingest(film)
    assert asset.duration_ms == pytest.approx(6000, abs=120)
    beeps = find_beeps(await decode_sound(deployment, asset, tmp_path))
    assert [beep - round(beep) for beep in beeps] == pytest.approx([0] * 6, abs=0.03)


@pytest.mark.parametrize("name", ["film.ts", "film.vob"])
async def test_one_damaged_time_does_not_make_a_film_of_hours(ingest: Ingest, tmp_path: Path, name: str) -> None:
    film = await make(tmp_path / name, *picture(4), *noise(4), *MPEG2, "-c:a", "mp2")
    data = bytearray(film.read_bytes())
    packet = len(data) // 2
    while data[packet : packet + 4] != b"\0\0\1\xe0" or data[packet + 7] & 0xC0 != 0xC0:  # one with both times
        packet += 1
    data[packet + 9] ^= 0x08  # the highest bit of when it is shown: 13 hours (ISO/IEC 13818-1 §2.4.3.6)
    film.write_bytes(data)
    job, asset = await ingest(film)
    assert asset.duration_ms == pytest.approx(4000, abs=120)
    assert any("is damaged" in warning for warning in job.warnings)


async def test_sound_stays_in_step_where_packets_of_it_are_lost(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    # So many bits that a packet has two or three frames: FFmpeg alone would make up for them by playing slower.
    film = await make(tmp_path / "film.ts", *picture(6), *BEEPS, *X264, "-c:a", "aac", "-b:a", "512k", "-ac", "2")
    data = film.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    starts = [n for n, packet in enumerate(packets) if packet[1] & 0x5F == 0x41 and packet[2] == 1]
    lost: set[int] = set()
    for start, end in [(starts[n], starts[n + 1]) for n in (len(starts) // 4, len(starts) * 7 // 12)]:
        lost |= {n for n in range(start, end) if packets[n][1] & 0x1F == 1 and packets[n][2] == 1}
    path = tmp_path / "lost.ts"
    path.write_bytes(b"".join(packet for n, packet in enumerate(packets) if n not in lost))
    _, asset = await ingest(path)
    beeps = find_beeps(await decode_sound(deployment, asset, tmp_path))
    assert [beep - round(beep) for beep in beeps] == pytest.approx([0] * len(beeps), abs=0.022)
    assert len(beeps) >= 5


async def test_damaged_sound_is_named(ingest: Ingest, tmp_path: Path) -> None:
    film = await make(tmp_path / "film.mp4", *picture(4), *noise(4), *X264, "-c:a", "aac", "-b:a", "256k")
    data = bytearray(film.read_bytes())
    # The packets of sound lie between those of the picture, whose content x264 makes much smaller.
    for at in range(len(data) // 3, len(data) // 2, 97):
        data[at] ^= 0x55
    film.write_bytes(data)
    job, _ = await ingest(film)
    assert any("sound (stream 1) is damaged" in warning for warning in job.warnings)


async def test_pictures_that_cannot_be_decoded_at_the_start_are_named(ingest: Ingest, tmp_path: Path) -> None:
    whole = await make(tmp_path / "whole.ts", *picture(6), *noise(6), *X264, "-g", "75", "-c:a", "mp2")
    master = await make(tmp_path / "film.ts", "-i", f"file:{whole}", "-ss", "2", "-c", "copy", "-copyinkf")
    job, _ = await ingest(master)
    assert [warning for warning in job.warnings if "seconds" in warning] == [
        "the first 1.0 seconds of the picture cannot be decoded: they are left out",
        "the sound begins 1.0 seconds before the picture: it is left out until there",
    ]


async def test_film_that_was_cut_within_a_long_frame_is_in_step(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    # A recorded screen that stands still for a second before the cut and 0.4 s after it.
    still = ["-vf", "select='not(between(n,26,59))'", "-fps_mode", "vfr", *X264, "-bf", "0", "-c:a", "pcm_s16le"]
    whole = await make(tmp_path / "whole.mov", *picture(6), *BEEPS, *still)
    master = await make(tmp_path / "film.mov", "-ss", "2", "-i", f"file:{whole}", "-c", "copy")
    _, asset = await ingest(master)
    reference = await decode_reference(tmp_path, 6)
    first = (await decode_picture(deployment, asset, tmp_path))[0].astype(int)
    assert int(np.argmin(np.abs(reference - first).mean(axis=(1, 2, 3)))) == 60
    beeps = find_beeps(await decode_sound(deployment, asset, tmp_path))
    assert beeps == pytest.approx([0.6, 1.6, 2.6], abs=0.03)


async def test_cut_wmv_is_named(ingest: Ingest, tmp_path: Path) -> None:
    film = await make(tmp_path / "film.wmv", *picture(4), *noise(4), "-c:v", "wmv2", "-c:a", "wmav2")
    data = film.read_bytes()
    film.write_bytes(data[: len(data) * 3 // 4])
    job, _ = await ingest(film)
    assert "the file may be cut short: 25% of it are missing" in job.warnings


async def test_mxf_without_its_last_second_is_named(ingest: Ingest, tmp_path: Path) -> None:
    film = await make(tmp_path / "film.mxf", *picture(4), *noise(4), "-c:v", "mpeg2video", "-g", "12", "-b:v", "4M")
    data = film.read_bytes()
    film.write_bytes(data[: len(data) * 3 // 4])
    job, _ = await ingest(film)
    assert any("seconds: the file may be cut short" in warning for warning in job.warnings)


async def test_sound_that_is_longer_does_not_make_a_film_cut(ingest: Ingest, tmp_path: Path) -> None:
    film = await make(tmp_path / "film.flv", *picture(4), *noise(4.7), "-c:v", "flv1", "-c:a", "mp3", "-ar", "44100")
    job, _ = await ingest(film)
    assert not any("cut short" in warning for warning in job.warnings)


async def test_one_lost_frame_is_named_and_no_other_rate(ingest: Ingest, tmp_path: Path) -> None:
    film = await make(tmp_path / "film.mp4", *picture(4), "-c:v", "libvpx-vp9", "-b:v", "2M", "-g", "100")
    listed, _ = await FFMPEG.probe_rows(film, ["-show_entries", "packet=pos,size"], deadline_s=60)
    size, place = listed[60][:2]
    data = bytearray(film.read_bytes())
    data[int(place) : int(place) + 4] = b"\0\0\0\0"
    film.write_bytes(data)
    job, _ = await ingest(film)
    assert int(size) > 4
    assert [warning for warning in job.warnings if "audio" not in warning] == [
        "the picture is damaged: 1 of 100 frames cannot be decoded"
    ]


async def test_frames_that_are_never_shown_are_not_lost(ingest: Ingest, tmp_path: Path) -> None:
    encode = ["-c:v", "libvpx", "-b:v", "200k", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-arnr-maxframes", "7"]
    encode += ["-passlogfile", str(tmp_path / "log")]
    await FFMPEG.run([*picture(8), *encode, "-pass", "1", "-f", "null", "-"], cwd=tmp_path, deadline_s=60)
    film = await make(tmp_path / "film.webm", *picture(8), *encode, "-pass", "2")
    job, asset = await ingest(film)
    assert (asset.duration_ms, job.warnings) == (8000, ["the film has no audio"])


async def test_rate_is_right_where_a_programme_stream_does_not_state_every_time(ingest: Ingest, tmp_path: Path) -> None:
    encode = ["-c:v", "mpeg1video", "-q:v", "3", "-bf", "2", "-g", "12", "-c:a", "mp2"]
    film = await make(tmp_path / "film.mpg", *picture(7, size="640x360", rate="50"), *noise(7), *encode)
    rows, _ = await FFMPEG.probe_rows(film, ["-select_streams", "v", "-show_entries", "packet=pts_time"], deadline_s=60)
    assert any(row[0] == "N/A" for row in rows)
    job, asset = await ingest(film)
    assert (asset.duration_ms, job.warnings) == (7000, [])


async def test_picture_with_impossible_times_is_refused(ingest: Ingest, tmp_path: Path) -> None:
    whole = await make(tmp_path / "whole.ogv", *picture(4), *noise(4), "-c:v", "libtheora", "-c:a", "libvorbis")
    master = await make(tmp_path / "film.ogv", "-ss", "1.3", "-i", f"file:{whole}", "-c", "copy")
    with pytest.raises(Unusable, match="the times of its frames are damaged"):
        await ingest(master)


async def test_sounds_of_one_channel_need_not_begin_or_end_together(
    deployment: EncodingDeployment, ingest: Ingest, tmp_path: Path
) -> None:
    tones = [
        "-f",
        "lavfi",
        "-i",
        "sine=f=400:d=4:r=48000",
        "-itsoffset",
        "1",
        "-f",
        "lavfi",
        "-i",
        "sine=f=800:d=1:r=48000",
    ]
    maps = ["-map", "0", "-map", "1", "-map", "2", "-c:a", "pcm_s16le"]
    _, asset = await ingest(await make(tmp_path / "set.mov", *picture(4), *tones, *maps, *X264))
    levels = np.abs(await decode_sound(deployment, asset, tmp_path, asset.audio[0]))
    left, right = (
        [float(levels[int(at * 48_000) :][:12_000, side].mean()) for at in (0.3, 1.3, 2.5)] for side in (0, 1)
    )
    assert min(left) > max(left) / 2
    assert right[1] > 10 * max(right[0], right[2])


def test_size_is_that_of_the_cropped_picture() -> None:
    crop = {"side_data_type": "Frame Cropping", "crop_top": 0, "crop_bottom": 0, "crop_left": 9, "crop_right": 9}
    stream = {
        "index": 0,
        "codec_type": "video",
        "codec_name": "prores",
        "width": 720,
        "height": 576,
        "sample_aspect_ratio": "59:54",
        "side_data_list": [crop],
    }
    shown = {"streams": [stream], "format": {"format_name": "mov", "duration": "1"}}
    source = read_source(shown, stream, Listing([0.0, 0.04]), 1)
    assert (source.report.video.width_px, source.report.video.height_px) == (767, 576)
