"""`Prober` by FFmpeg and ffprobe."""

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
from matinee.encoding.adapters.failures import translate_failures
from matinee.encoding.adapters.ffmpeg import filters, reading
from matinee.encoding.api import AudioStream
from matinee.encoding.model.refusals import make_unusable
from matinee.encoding.model.source import MediaSource
from matinee.encoding.ports import MediaToolFailed, OnProgress

PROBE_S = 120
LISTING_S = 10 * PROBE_S
DECODING_S = 6 * 3600
# The first box of an MP4 or MOV file (ISO/IEC 14496-12 §4.2).
_MP4_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")
_EXPORT = "Export it again as MP4, MOV, MKV or WebM."


class FfmpegProber:
    """Analyses media files."""

    def __init__(self, ffmpeg: Ffmpeg) -> None:
        self._ffmpeg = ffmpeg

    async def probe(self, *, path: Path, name: str) -> MediaSource:
        size_bytes = _check_readable(path, name)
        shown = await self._show(path, name)
        videos = reading.list_videos(shown)
        if not videos:
            raise make_unusable(name, "picture", "it has none", "Use a file with a video stream.")
        stream = videos[0]
        if not stream.get("codec_name") or not stream.get("width") or not stream.get("height"):
            raise make_unusable(name, _name_stream(stream), "its format is unknown or damaged", _EXPORT)
        await self._check_decodable(path, name, stream)
        try:
            times = await self._list_times(path, stream["index"])
        except MediaToolFailed as failure:
            raise make_unusable(name, _name_stream(stream), "its frames cannot be listed", _EXPORT) from failure
        return reading.read_source(shown, stream, times, size_bytes)

    async def probe_audio(self, *, path: Path, name: str) -> list[AudioStream]:
        _check_readable(path, name)
        if streams := reading.read_audio(await self._show(path, name)):
            return streams
        raise make_unusable(name, "sound", "there is no sound in it", "Use a file that has an audio stream.")

    async def count_frames(self, *, path: Path, source: MediaSource, progress: OnProgress) -> tuple[int, int]:
        start_s = Fraction(source.start_us, 1_000_000)
        graph = f"[0:{source.report.video.index}]split[a][b];[b]{filters.convert_rate(source, start_s)}[c]"
        with tempfile.TemporaryDirectory(prefix="matinee-count-") as folder:
            logs = [Path(folder, "decoded"), Path(folder, "constant")]
            outputs = [_describe_count(label, log) for label, log in zip(("[a]", "[c]"), logs, strict=True)]
            arguments = [*input_arguments(path), "-filter_complex", graph, *outputs[0], *outputs[1]]
            with translate_failures():
                await self._ffmpeg.run(arguments, cwd=Path(folder), deadline_s=DECODING_S, progress=progress)
            decoded, constant = (log.read_bytes().count(b"\n") for log in logs)
        return decoded, constant

    async def list_keyframes(self, *, path: Path) -> tuple[int, list[int]]:
        packets = sorted((int(pts), flags) for pts, flags, *_ in await self._list_packets(path, "v:0", "pts,flags"))
        return len(packets), [n for n, (_, flags) in enumerate(packets) if "K" in flags]

    async def _list_packets(self, path: Path, stream: str, fields: str) -> list[list[str]]:
        show = ("-select_streams", stream, "-show_entries", f"packet={fields}")
        with translate_failures():
            return await self._ffmpeg.probe_rows(path, show, deadline_s=LISTING_S)

    async def _list_times(self, path: Path, index: int) -> list[float]:
        rows = await self._list_packets(path, str(index), "pts_time,dts_time")
        times = [next((field for field in row if field and field != "N/A"), "") for row in rows]
        return sorted(float(time) for time in times if time)

    async def _show(self, path: Path, name: str) -> dict[str, Any]:
        try:
            shown = await self._ffmpeg.probe(path, reading.SHOW, deadline_s=PROBE_S)
        except ToolFailed as failure:
            what = await asyncio.to_thread(_explain, failure, path)
            raise make_unusable(name, "file", what, _EXPORT) from failure
        return shown if "format" in shown else {**shown, "format": {}}

    async def _check_decodable(self, path: Path, name: str, stream: dict[str, Any]) -> None:
        """Raise Unusable where no frame of the picture can be decoded."""
        problem = make_unusable(name, _name_stream(stream), "no frame of it can be decoded", _EXPORT)
        frames = [0]
        arguments = [*input_arguments(path), "-map", f"0:{stream['index']}", "-frames:v", "1", "-f", "null", "-"]
        try:
            await self._ffmpeg.run(arguments, deadline_s=PROBE_S, progress=frames.append)
        except ToolFailed as failure:
            raise problem from failure
        if not max(frames):
            raise problem


def _check_readable(path: Path, name: str) -> int:
    """Return a file's size. Raises Unusable where it is no file, cannot be read or is empty."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise make_unusable(name, "file", "this is not a file", "Name one film file.")
        os.close(os.open(path, os.O_RDONLY))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise make_unusable(name, "file", f"it cannot be read ({reason})", "Check its path and permissions.") from error
    if status.st_size == 0:
        raise make_unusable(name, "file", "it is empty", "Copy it again from its source.")
    return status.st_size


def _explain(failure: ToolFailed, path: Path) -> str:
    with path.open("rb") as file:
        is_mp4 = file.read(8)[4:] in _MP4_BOXES
    if is_mp4 and any("moov atom not found" in line for line in failure.tail):
        return "it is cut short: its index (moov) is missing"
    return "it took too long to read" if failure.status is None else "it is not a film in a known format"


def _name_stream(stream: dict[str, Any]) -> str:
    return f"picture (stream {stream['index']})"


def _describe_count(label: str, log: Path) -> list[str]:
    stats = ("-stats_enc_pre", log.name, "-stats_enc_pre_fmt", "{n}")
    return ["-map", label, "-fps_mode", "passthrough", *stats, "-f", "null", "-"]
