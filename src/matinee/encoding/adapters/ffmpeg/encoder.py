"""`Encoder` by FFmpeg."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from msgspec.structs import asdict

from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.encoding.adapters.failures import translate_failures
from matinee.encoding.adapters.ffmpeg import filters, remux, sounds, timed_text
from matinee.encoding.adapters.ffmpeg.reading import parse_number
from matinee.encoding.model.codecs import CODECS
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import AudioTrackPlan, Chunk, Plan
from matinee.encoding.model.renditions import CAPTIONS
from matinee.encoding.model.source import MediaSource
from matinee.encoding.ports import Loudness, MediaToolFailed, OnProgress

DEADLINE_S = 12 * 3600
_CUES_LATER_S = 3600
# FFmpeg moves text to the start of a film that was cut within a cue. With these it follows the edit, if there is one.
_AS_EDITED = ("-copyts", "-advanced_editlist", "0")
_COLOUR_TAGS = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv")
_REPRODUCIBLE = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")


class FfmpegEncoder:
    """Encodes tracks in FFmpeg processes."""

    def __init__(self, ffmpeg: Ffmpeg) -> None:
        self._ffmpeg = ffmpeg

    async def remux(self, *, master: Path, source: MediaSource, out: Path) -> None:
        async def run(arguments: Sequence[str], folder: Path, level: str) -> list[str]:
            return await self._run(arguments, cwd=folder, level=level)

        await remux.remux(run, master, source, out)

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
        arguments = [*_seek(plan, chunk), *_read_picture(plan.source), *input_arguments(master)]
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

    async def unify_sound(self, *, master: Path, track: AudioTrackPlan, out: Path) -> None:
        """Write a sound whose layout changes as one layout, uncompressed, with the times it has."""
        write = ["-map", "[out]", "-c:a", "pcm_f32le", "-f", "matroska", out.name]
        arguments = [*input_arguments(master), "-filter_complex", f"{sounds.select(track)}[out]", *write]
        await self._run(arguments, cwd=out.parent)

    async def measure_loudness(self, *, master: Path, track: AudioTrackPlan) -> Loudness:
        graph = f"{sounds.select(track)},ebur128=peak=true:framelog=quiet[out]"
        arguments = [*input_arguments(master), "-filter_complex", graph, "-map", "[out]", "-f", "null", "-"]
        return sounds.read_loudness(await self._run(arguments, level="info"))

    async def encode_audio(
        self, *, master: Path, track: AudioTrackPlan, gain_db: float, duration_s: float, out: Path
    ) -> None:
        graph = f"{sounds.fit(track, gain_db, duration_s)}[out]"
        encode = ["-map", "[out]", "-c:a", "aac", "-profile:a", "aac_low", "-b:a", str(track.bps), *_REPRODUCIBLE]
        arguments = [*input_arguments(master), "-filter_complex", graph, *encode, "-f", "mp4", out.name]
        await self._run(arguments, cwd=out.parent)

    async def extract_subtitles(self, *, master: Path, stream: int, codec: str, out: Path) -> int:
        if codec == CAPTIONS:
            await self._extract_captions(master, stream, out)
            return 0
        # A cue before the start of the film would move all of them.
        source = ["-itsoffset", str(_CUES_LATER_S), *input_arguments(master), "-map", f"0:{stream}"]
        start_ms = 0
        if codec == "mov_text":
            is_edited = await self._has_one_edit(source)
            await self._extract_timed_text([*(_AS_EDITED if is_edited else ()), *source], out)
            start_ms = await self._read_start(master) if is_edited else 0
        elif codec == "eia_608":
            await self._run([*source, "-c:s", "webvtt", "-f", "webvtt", out.name], cwd=out.parent)
        else:
            await self._copy_subtitles(source, out)
        return _CUES_LATER_S * 1000 + start_ms

    async def _has_one_edit(self, source: Sequence[str]) -> bool:
        """Return whether no track of an MP4 or MOV file has several edits (ISO/IEC 14496-12 §8.6.6)."""
        log = await self._run([*_AS_EDITED, "-t", "0", *source, "-c", "copy", "-f", "null", "-"], level="warning")
        return not any("multiple edit list entries" in line for line in log)

    async def _read_start(self, master: Path) -> int:
        with translate_failures():
            shown = await self._ffmpeg.probe(master, ("-show_entries", "format=start_time"), deadline_s=DEADLINE_S)
        return round(parse_number(shown["format"].get("start_time")) * 1000)

    async def _copy_subtitles(self, source: Sequence[str], out: Path) -> None:
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

    async def _extract_captions(self, master: Path, stream: int, out: Path) -> None:
        # A filter description has no quotes for every name: the link's has nothing to quote.
        link = out.with_suffix(".film")
        link.unlink(missing_ok=True)
        link.symlink_to(master)
        read = ["-f", "lavfi", "-i", f"movie={link.name}:si={stream}[out0+subcc]", "-map", "0:s"]
        await self._run([*read, "-c:s", "webvtt", "-f", "webvtt", out.name], cwd=out.parent)

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


def _read_picture(source: MediaSource) -> list[str]:
    """Return the options of the input: a changing picture must not restart the filters, which count frames."""
    return [
        *(["-reinit_filter", "0"] if len(source.stretches) > 1 else []),
        *([] if source.autorotate else ["-noautorotate"]),
        *(["-c:v", source.decoder] if source.decoder else []),
    ]


def _build_graph(plan: Plan, chunk: Chunk, rungs: Sequence[Rung]) -> str:
    """Build the filter graph: one decode at the constant rate, one output per rung; a chunk's first frame is at 0."""
    source, seek_s = plan.source, _compute_seek(plan, chunk)
    rate = filters.convert_rate(source, _compute_start(plan, chunk) - seek_s)
    timing = f"settb={source.frame_rate.denominator}/{source.frame_rate.numerator},setpts=N"
    split = f"split={len(rungs)}{''.join(f'[s{n}]' for n in range(len(rungs)))}"
    head = f"[0:{source.report.video.index}]{filters.prepare(source, seek_s)}{rate}"
    # The last frame is held: for its own time, to the end of the sound, and where those at the end cannot be decoded.
    head += f",tpad=stop=-1:stop_mode=clone,{timing}{filters.convert_range(source)},{split}"
    return ";".join([head, *(f"[s{n}]{filters.scale(source, rung)}[v{n}]" for n, rung in enumerate(rungs))])


def _compute_start(plan: Plan, chunk: Chunk) -> Fraction:
    """Compute when a chunk's first frame is shown, after the start of the container; at most the last frame's time."""
    first = min(chunk.first, plan.picture_frames - 1)
    return Fraction(plan.source.start_us - plan.source.late_us, 1_000_000) + first / plan.source.frame_rate


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
