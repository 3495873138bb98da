"""FFmpeg and ffprobe as `Prober`."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.drivers.process import ToolFailed
from matinee.encoding.adapters.ffmpeg import filters, reading
from matinee.encoding.api import AudioStream
from matinee.encoding.model.refusals import make_unusable
from matinee.encoding.model.source import MediaSource
from matinee.encoding.ports import Progress

PROBE_S = 120
HOURS_S = 6 * 3600
# What an MP4 or MOV file begins with (ISO/IEC 14496-12 §4.2).
_MP4_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")
_EXPORT = "Export it again as MP4, MOV, MKV or WebM."


class FfmpegProber:
    """Says what media files hold."""

    def __init__(self, ffmpeg: Ffmpeg) -> None:
        self._ffmpeg = ffmpeg

    async def probe(self, *, path: Path, name: str) -> MediaSource:
        size_bytes = _readable(path, name)
        found = await self._show(path, name)
        moving = reading.pictures(found)
        if not moving:
            raise make_unusable(name, "picture", "it has none", "Hand in a file with a video stream.")
        stream = moving[0]
        if not stream.get("codec_name") or not stream.get("width") or not stream.get("height"):
            raise make_unusable(name, _nth(stream), "its format is not known or damaged", _EXPORT)
        await self._decodes(path, name, stream)
        return reading.read_source(found, stream, await self._times(path, stream["index"]), size_bytes)

    async def probe_audio(self, *, path: Path, name: str) -> list[AudioStream]:
        _readable(path, name)
        if streams := reading.read_sounds(await self._show(path, name)):
            return streams
        raise make_unusable(name, "sound", "there is no sound in it", "Hand in a file that has an audio stream.")

    async def count_frames(self, *, path: Path, source: MediaSource, progress: Progress) -> tuple[int, int]:
        start_s = Fraction(source.start_us, 1_000_000)
        graph = f"[0:{source.report.video.index}]split[a][b];[b]{filters.constant_rate(source, start_s)}[c]"
        with tempfile.TemporaryDirectory(prefix="matinee-count-") as folder:
            logs = [Path(folder, "decoded"), Path(folder, "constant")]
            outputs = [_counted(label, log) for label, log in zip(("[a]", "[c]"), logs, strict=True)]
            argv = [*input_arguments(path), "-filter_complex", graph, *outputs[0], *outputs[1]]
            await self._ffmpeg.run(argv, cwd=Path(folder), deadline_s=HOURS_S, progress=progress)
            decoded, constant = (log.read_bytes().count(b"\n") for log in logs)
        return decoded, constant

    async def list_keyframes(self, *, path: Path) -> tuple[int, list[int]]:
        show = ("-select_streams", "v:0", "-show_entries", "packet=pts,flags")
        rows = await self._ffmpeg.probe_rows(path, show, deadline_s=PROBE_S * 10)
        shown = sorted((int(pts), flags) for pts, flags, *_ in rows)
        return len(shown), [n for n, (_, flags) in enumerate(shown) if "K" in flags]

    async def _show(self, path: Path, name: str) -> dict[str, Any]:
        try:
            found = await self._ffmpeg.probe(path, reading.SHOW, deadline_s=PROBE_S)
        except ToolFailed as failure:
            why = await asyncio.to_thread(_why, failure, path)
            raise make_unusable(name, "file", why, _EXPORT) from failure
        return found if "format" in found else {**found, "format": {}}

    async def _decodes(self, path: Path, name: str, stream: dict[str, Any]) -> None:
        """Refuse a picture of which not one frame can be decoded."""
        seen = [0]
        try:
            argv = [*input_arguments(path), "-map", f"0:{stream['index']}", "-frames:v", "1", "-f", "null", "-"]
            await self._ffmpeg.run(argv, deadline_s=PROBE_S, progress=seen.append)
        except ToolFailed as failure:
            raise make_unusable(name, _nth(stream), "not one frame of it can be decoded", _EXPORT) from failure
        if not max(seen):
            raise make_unusable(name, _nth(stream), "not one frame of it can be decoded", _EXPORT)

    async def _times(self, path: Path, index: int) -> list[float]:
        show = ("-select_streams", str(index), "-show_entries", "packet=pts_time,dts_time")
        rows = await self._ffmpeg.probe_rows(path, show, deadline_s=PROBE_S * 10)
        told = [next((field for field in row if field and field != "N/A"), "") for row in rows]
        return sorted(float(time) for time in told if time)


def _readable(path: Path, name: str) -> int:
    """The file's size. Refuses what is no file, cannot be read or is empty."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise make_unusable(name, "file", "this is not a file", "Name one film file.")
        os.close(os.open(path, os.O_RDONLY))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise make_unusable(
            name, "file", f"it cannot be read ({reason})", "Check the path and who may read it."
        ) from error
    if status.st_size == 0:
        raise make_unusable(name, "file", "it is empty", "Copy it again from where it came.")
    return status.st_size


def _why(failure: ToolFailed, path: Path) -> str:
    with path.open("rb") as file:
        is_mp4 = file.read(8)[4:] in _MP4_BOXES
    if is_mp4 and any("moov atom not found" in line for line in failure.tail):
        return "it is cut short: its index (moov) is missing"
    return "it took too long to read" if failure.status is None else "it is not a film in a format that is known here"


def _nth(stream: dict[str, Any]) -> str:
    return f"picture (stream {stream['index']})"


def _counted(label: str, log: Path) -> list[str]:
    stats = ("-stats_enc_pre", log.name, "-stats_enc_pre_fmt", "{n}")
    return ["-map", label, "-fps_mode", "passthrough", *stats, "-f", "null", "-"]
