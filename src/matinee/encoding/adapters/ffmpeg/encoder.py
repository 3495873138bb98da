"""FFmpeg as `Encoder`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.encoding.adapters.ffmpeg import filters
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import AudioTrackPlan, Chunk, Plan
from matinee.encoding.ports import Loudness, Progress

HOURS_S = 12 * 3600
SAMPLE_RATE_HZ = 48_000
_TAGS = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv")
_EXACT = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")
_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS")


class FfmpegEncoder:
    """Makes renditions by supervised FFmpeg processes."""

    def __init__(self, ffmpeg: Ffmpeg) -> None:
        self._ffmpeg = ffmpeg

    async def encode_chunk(
        self, *, master: Path, plan: Plan, chunk: Chunk, into: Path, threads: int, progress: Progress
    ) -> list[Path]:
        files = [into / f"{rung.name}-{chunk.index:05}.mp4" for rung in plan.rungs]
        outputs = (_output(n, plan, chunk, threads, file) for n, file in enumerate(files))
        argv = [*_seek(plan, chunk), *input_arguments(master), "-filter_complex", graph(plan, chunk)]
        argv += [argument for output in outputs for argument in output]
        await self._ffmpeg.run(argv, cwd=into, deadline_s=HOURS_S, progress=progress)
        return files

    async def join_chunks(self, *, parts: Sequence[Path], timescale: int, out: Path) -> None:
        listing = out.with_suffix(".txt")
        listing.write_text("".join(f"file {part.name}\n" for part in parts))
        read = ["-f", "concat", "-i", listing.name]
        write = ["-map", "0:v:0", "-c", "copy", "-video_track_timescale", str(timescale), *_EXACT, out.name]
        await self._ffmpeg.run([*read, *write], cwd=out.parent, deadline_s=HOURS_S)
        listing.unlink()

    async def measure_loudness(self, *, master: Path, sound: AudioTrackPlan) -> Loudness:
        graph = f"[0:{sound.stream}]{_layout(sound)},ebur128=peak=true:framelog=quiet[out]"
        argv = [*input_arguments(master), "-filter_complex", graph, "-map", "[out]", "-f", "null", "-"]
        said = "\n".join(await self._ffmpeg.run(argv, deadline_s=HOURS_S, level="info"))
        return Loudness(_last(_INTEGRATED, said), _last(_PEAK, said))

    async def encode_audio(
        self, *, master: Path, sound: AudioTrackPlan, gain_db: float, duration_s: float, out: Path
    ) -> None:
        # Gaps are filled and what overlaps is dropped, so that sound stays with the picture to the end.
        steady = f"aresample={SAMPLE_RATE_HZ}:async=1000:first_pts=0,asetpts=N/SR/TB"
        placed = f"asetpts=PTS-{sound.delay_us / 1e6:.6f}/TB,{steady}"
        fitted = f"volume={gain_db:.2f}dB,apad=whole_dur={duration_s:.6f},atrim=end={duration_s:.6f}"
        graph = f"[0:{sound.stream}]{placed},{_layout(sound)},{fitted}[out]"
        coded = ["-map", "[out]", "-c:a", "aac", "-profile:a", "aac_low", "-b:a", str(sound.bps), *_EXACT]
        argv = [*input_arguments(master), "-filter_complex", graph, *coded, "-f", "mp4", out.name]
        await self._ffmpeg.run(argv, cwd=out.parent, deadline_s=HOURS_S)

    async def extract_subtitles(self, *, master: Path, stream: int, out: Path) -> None:
        argv = [*input_arguments(master), "-map", f"0:{stream}", "-c:s", "webvtt", "-f", "webvtt", out.name]
        await self._ffmpeg.run(argv, cwd=out.parent, deadline_s=HOURS_S)


def graph(plan: Plan, chunk: Chunk) -> str:
    """One decode, one constant rate, one picture a rung; a chunk's first frame is at 0."""
    source, rungs = plan.source, plan.rungs
    rate = filters.constant_rate(source, _start(plan, chunk) - _begin(plan, chunk))
    # A file whose frames do not keep the rate may end a frame early when it is read from the middle.
    held = ",tpad=stop=2:stop_mode=clone" if not source.constant else ""
    timed = f"settb={source.frame_rate.denominator}/{source.frame_rate.numerator},setpts=N"
    fanned = f"split={len(rungs)}{''.join(f'[s{n}]' for n in range(len(rungs)))}"
    head = f"[0:{source.report.video.index}]{rate}{held},{timed}{filters.standard_range(source)},{fanned}"
    return ";".join([head, *(f"[s{n}]{filters.sized(source, rung)}[v{n}]" for n, rung in enumerate(rungs))])


def _start(plan: Plan, chunk: Chunk) -> Fraction:
    """When a chunk's first frame is shown, after the start of the container."""
    return Fraction(plan.source.start_us, 1_000_000) + chunk.first / plan.source.frame_rate


def _begin(plan: Plan, chunk: Chunk) -> Fraction:
    """Where a chunk begins to be read."""
    return max(Fraction(0), _start(plan, chunk) - plan.source.seek_lead_s) if chunk.first else Fraction(0)


def _seek(plan: Plan, chunk: Chunk) -> list[str]:
    """Read from the keyframe before the chunk: the frame that is held into it may be older than its beginning."""
    begin_s = _begin(plan, chunk)
    return ["-noaccurate_seek", "-ss", filters.seconds(begin_s)] if begin_s else []


def _output(n: int, plan: Plan, chunk: Chunk, threads: int, file: Path) -> Iterator[str]:
    yield from ("-map", f"[v{n}]", "-frames:v", str(chunk.frames), "-fps_mode", "passthrough")
    yield from _x264(plan.rungs[n], plan.gop_frames, threads)
    yield from ("-video_track_timescale", str(plan.timescale), *_EXACT, "-f", "mp4", file.name)


def _x264(rung: Rung, gop_frames: int, threads: int) -> Iterator[str]:
    yield from ("-c:v", "libx264", "-preset", rung.preset, "-profile:v", "high", "-threads", str(threads))
    yield from ("-crf", str(rung.crf), "-maxrate", str(rung.max_bps), "-bufsize", str(rung.buffer_bits), *_TAGS)
    yield from ("-g", str(gop_frames), "-keyint_min", str(gop_frames), "-x264-params", "scenecut=0:open-gop=0")


def _layout(sound: AudioTrackPlan) -> str:
    layout = "5.1" if sound.channels == 6 else "stereo"
    return f"aformat=sample_fmts=fltp:channel_layouts={layout}"


def _last(pattern: re.Pattern[str], said: str) -> float:
    """The last figure of its kind: the summary's. Silence is minus infinity."""
    figures = pattern.findall(said)
    value = float(figures[-1]) if figures else -math.inf
    return -math.inf if math.isnan(value) else value
