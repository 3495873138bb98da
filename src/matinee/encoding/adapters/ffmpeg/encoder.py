"""`Encoder` by FFmpeg."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from msgspec.structs import asdict

from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.encoding.adapters.failures import translate_failures
from matinee.encoding.adapters.ffmpeg import filters, timed_text
from matinee.encoding.model.codecs import CODECS
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import AudioTrackPlan, Chunk, Plan
from matinee.encoding.ports import Loudness, MediaToolFailed, OnProgress

DEADLINE_S = 12 * 3600
SAMPLE_RATE_HZ = 48_000
_COLOUR_TAGS = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv")
_REPRODUCIBLE = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")
_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS")


class FfmpegEncoder:
    """Encodes tracks in FFmpeg processes."""

    def __init__(self, ffmpeg: Ffmpeg) -> None:
        self._ffmpeg = ffmpeg

    async def encode_chunk(
        self,
        *,
        master: Path,
        plan: Plan,
        chunk: Chunk,
        outputs: Mapping[Rung, Path],
        threads: int,
        progress: OnProgress,
    ) -> None:
        arguments = [*_seek(plan, chunk), *input_arguments(master)]
        arguments += ["-filter_complex", _build_graph(plan, chunk, list(outputs))]
        for n, (rung, file) in enumerate(outputs.items()):
            arguments += _describe_output(n, plan, chunk, rung, file, threads)
        folder = next(iter(outputs.values())).parent
        await self._run(arguments, cwd=folder, progress=progress)

    async def join_chunks(self, *, parts: Sequence[Path], timescale: int, out: Path) -> None:
        listing = out.with_suffix(".txt")
        listing.write_text("".join(f"file {part.name}\n" for part in parts))
        read = ["-f", "concat", "-i", listing.name]
        write = ["-map", "0:v:0", "-c", "copy", "-video_track_timescale", str(timescale), *_REPRODUCIBLE, out.name]
        await self._run([*read, *write], cwd=out.parent)
        listing.unlink()

    async def measure_loudness(self, *, master: Path, track: AudioTrackPlan) -> Loudness:
        graph = f"[0:{track.stream}]{_set_layout(track)},ebur128=peak=true:framelog=quiet[out]"
        arguments = [*input_arguments(master), "-filter_complex", graph, "-map", "[out]", "-f", "null", "-"]
        log = "\n".join(await self._run(arguments, level="info"))
        return Loudness(_find_last(_INTEGRATED, log), _find_last(_PEAK, log))

    async def encode_audio(
        self, *, master: Path, track: AudioTrackPlan, gain_db: float, duration_s: float, out: Path
    ) -> None:
        # Gaps are filled and overlaps dropped, so that audio stays in sync with the picture.
        resample = f"aresample={SAMPLE_RATE_HZ}:async=1000:first_pts=0,asetpts=N/SR/TB"
        shift = f"asetpts=PTS-{track.delay_us / 1e6:.6f}/TB"
        fit = f"volume={gain_db:.2f}dB,apad=whole_dur={duration_s:.6f},atrim=end={duration_s:.6f}"
        graph = f"[0:{track.stream}]{shift},{resample},{_set_layout(track)},{fit}[out]"
        encode = ["-map", "[out]", "-c:a", "aac", "-profile:a", "aac_low", "-b:a", str(track.bps), *_REPRODUCIBLE]
        arguments = [*input_arguments(master), "-filter_complex", graph, *encode, "-f", "mp4", out.name]
        await self._run(arguments, cwd=out.parent)

    async def extract_subtitles(self, *, master: Path, stream: int, codec: str, out: Path) -> None:
        source = [*input_arguments(master), "-map", f"0:{stream}"]
        if codec == "mov_text":
            await self._extract_timed_text(source, out)
            return
        # Packets are copied: FFmpeg's decoders stop at text that is not UTF-8, and show drawings as text.
        form = "webvtt" if out.suffix == ".vtt" else out.suffix[1:]
        await self._run([*source, "-c:s", "copy", "-f", form, out.name], cwd=out.parent)

    async def _extract_timed_text(self, source: Sequence[str], out: Path) -> None:
        """Convert timed text with its italics, or without them where it is not UTF-8."""
        with contextlib.suppress(MediaToolFailed):
            if not await self._run([*source, "-c:s", "srt", "-f", "srt", out.name], cwd=out.parent):
                return
        packets, listing = out.with_suffix(".packets"), out.with_suffix(".times")
        times = ["-map", source[-1], "-c:s", "copy", "-f", "framecrc", listing.name]
        await self._run([*source, "-c:s", "copy", "-f", "data", packets.name, *times], cwd=out.parent)
        timed_text.write_subrip(packets, listing, out)

    async def _run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        progress: OnProgress | None = None,
        level: str = "error",
    ) -> list[str]:
        with translate_failures():
            return await self._ffmpeg.run(arguments, cwd=cwd, deadline_s=DEADLINE_S, progress=progress, level=level)


def _build_graph(plan: Plan, chunk: Chunk, rungs: Sequence[Rung]) -> str:
    """Build the filter graph: one decode at the constant rate, one output per rung; a chunk's first frame is at 0."""
    source = plan.source
    rate = filters.convert_rate(source, _compute_start(plan, chunk) - _compute_seek(plan, chunk))
    # A file with a varying rate may end a frame early when it is read from the middle.
    pad = ",tpad=stop=2:stop_mode=clone" if not source.constant else ""
    timing = f"settb={source.frame_rate.denominator}/{source.frame_rate.numerator},setpts=N"
    split = f"split={len(rungs)}{''.join(f'[s{n}]' for n in range(len(rungs)))}"
    head = f"[0:{source.report.video.index}]{rate}{pad},{timing}{filters.convert_range(source)},{split}"
    return ";".join([head, *(f"[s{n}]{filters.scale(source, rung)}[v{n}]" for n, rung in enumerate(rungs))])


def _compute_start(plan: Plan, chunk: Chunk) -> Fraction:
    """Compute when a chunk's first frame is shown, after the start of the container."""
    return Fraction(plan.source.start_us, 1_000_000) + chunk.first / plan.source.frame_rate


def _compute_seek(plan: Plan, chunk: Chunk) -> Fraction:
    """Compute where to start reading for a chunk."""
    return max(Fraction(0), _compute_start(plan, chunk) - plan.source.seek_lead_s) if chunk.first else Fraction(0)


def _seek(plan: Plan, chunk: Chunk) -> list[str]:
    """Seek to the keyframe before the chunk: the frame shown at its start may be an earlier one."""
    seek_s = _compute_seek(plan, chunk)
    return ["-noaccurate_seek", "-ss", filters.format_seconds(seek_s)] if seek_s else []


def _describe_output(n: int, plan: Plan, chunk: Chunk, rung: Rung, file: Path, threads: int) -> Iterator[str]:
    codec = CODECS[rung.codec]
    yield from ("-map", f"[v{n}]", "-frames:v", str(chunk.frames), "-fps_mode", "passthrough")
    yield from codec.arguments.format(**asdict(rung), gop_frames=plan.gop_frames, threads=threads).split()
    yield from (*_COLOUR_TAGS, "-video_track_timescale", str(plan.timescale), *_REPRODUCIBLE)
    yield from ("-f", codec.container, file.name)


def _set_layout(track: AudioTrackPlan) -> str:
    layout = "5.1" if track.channels == 6 else "stereo"
    return f"aformat=sample_fmts=fltp:channel_layouts={layout}"


def _find_last(pattern: re.Pattern[str], log: str) -> float:
    """Find the last figure that matches, which is the summary's; minus infinity for silence."""
    figures = pattern.findall(log)
    value = float(figures[-1]) if figures else -math.inf
    return -math.inf if math.isnan(value) else value
