"""`Prober` by FFmpeg and ffprobe."""

from __future__ import annotations

import asyncio
import os
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.drivers.process import ToolFailed
from matinee.encoding.adapters.failures import translate_failures
from matinee.encoding.adapters.ffmpeg import asf, joints, listening, packets, reading, streams, survey
from matinee.encoding.adapters.ffmpeg.survey import Survey
from matinee.encoding.api import AudioStream
from matinee.encoding.model.rates import choose_rate
from matinee.encoding.model.refusals import make_unusable
from matinee.encoding.model.source import Fields, MediaSource, Stretch
from matinee.encoding.ports import MediaToolFailed, OnProgress

PROBE_S = 120
DECODING_S = 6 * 3600
# The first box of an MP4 or MOV file (ISO/IEC 14496-12 §4.2).
_MP4_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")
_EXPORT = "Export it again as MP4, MOV, MKV or WebM."
_COPY = "Copy it again from its source."
# What ffprobe logs where a file ends before its index says so.
_CUT_SHORT = ("partial file", "File ended prematurely")
# Containers of one film, whose header says where it ends.
_WITH_HEADER = frozenset({"mov", "matroska"})
_OTHER_FILMS = "there is another film in the file: it is left out, because its streams differ"
# Of a film that was cut without encoding it again, so many packets may precede the cut.
_CUT_PACKETS = 1000
# No film has a time that is later.
_LONGEST_S = 1e9
# More times than these are not repaired one by one.
MOST_DAMAGED = 100
# What is examined of a picture for lines that are interlaced: places in the film, and seconds at each.
_EXCERPTS, _EXCERPT_S = (0.2, 0.5, 0.8), 4


class FfmpegProber:
    """Analyses media files."""

    def __init__(self, ffmpeg: Ffmpeg) -> None:
        self._ffmpeg = ffmpeg

    async def probe(self, *, path: Path, name: str) -> MediaSource:
        size_bytes = _check_readable(path, name)
        shown = await self._show(path, name)
        stream, listing = await self._choose_picture(path, name, shown)
        source = reading.read_source(shown, stream, listing, size_bytes)
        if source.report.container == "asf":
            stated_bytes = await asyncio.to_thread(asf.read_stated_bytes, path)
            source = replace(source, notes=(*source.notes, *reading.list_missing(size_bytes, stated_bytes)))
        source = await listening.leave_out_silent(self._ffmpeg, path, source)
        if reading.has_restarts(shown) and (listing.steps_s or source.report.container == "ogg"):
            places = await self._find_joints(path, source, shown)
            return await self._find_parts(path, source, places)
        if reading.has_restarts(shown) and await listening.has_stray_times(self._ffmpeg, path, source):
            return replace(source, clock_step_s=2 * joints.STEP_AHEAD_S)
        if source.report.container in _WITH_HEADER and (places := await asyncio.to_thread(joints.find_films, path)):
            joined = await self._find_parts(path, replace(source, remux=reading.list_remuxed(source.report)), places)
            return joined if joined.parts else replace(source, notes=(*source.notes, _OTHER_FILMS))
        return source

    async def _choose_picture(
        self, path: Path, name: str, shown: dict[str, Any]
    ) -> tuple[dict[str, Any], reading.Listing]:
        """Choose the picture among the video streams, and list its frames. Raises Unusable."""
        videos = streams.list_videos(shown)
        for stream in videos:
            if not stream.get("codec_name") or not stream.get("width") or not stream.get("height"):
                raise make_unusable(name, _name_picture(stream), "its format is unknown or damaged", _EXPORT)
            await self._check_decodable(path, name, stream)
            listing = await self._list_frames(path, name, stream, shown)
            # A still picture beside a sound or a film is a cover, whether it is flagged or not.
            if len(listing.times_s) > 1 or stream["codec_name"] not in streams.STILL_CODECS:
                return stream, listing
        raise make_unusable(name, "picture", "it has none", "Use a file with a video stream.")

    async def _find_parts(self, path: Path, source: MediaSource, places: Sequence[int]) -> MediaSource:
        """Return the source with the recordings that are joined in the file, if they have the same streams."""
        parts = joints.split(places, source.report.size_bytes)
        if parts:
            source = replace(source, clock_step_s=source.clock_step_s or joints.STEP_AHEAD_S)
        first: list[tuple[object, ...]] = []
        for part in parts:
            try:
                recording = await self._ffmpeg.probe(path, reading.SHOW_UNTITLED, span=part, deadline_s=PROBE_S)
            except ToolFailed:
                return source
            kinds = reading.list_kinds(recording, source.remux)
            first = first or kinds
            if kinds != first:
                return source
        # FFmpeg logs an error where another Ogg file begins.
        notes = tuple(note for note in source.notes if not parts or note != reading.UNREADABLE)
        return replace(source, parts=parts, notes=notes)

    async def _find_joints(self, path: Path, source: MediaSource, shown: dict[str, Any]) -> list[int]:
        if source.report.container == "ogg":
            return await asyncio.to_thread(joints.find_chains, path)
        rows, _ = await packets.list_packets(self._ffmpeg, path, "", "stream_index,pts_time,dts_time,pos,flags")
        kept = {source.report.video.index, *(sound.index for sound in source.report.audio)}
        # A broadcast that was recorded may begin with any frame.
        any_starts = source.report.container == "mpegts"
        placed = (
            joints.PacketPlace(int(row[0]), float(row[2]), int(row[3]), _read_delay(row), any_starts or "K" in row[4])
            for row in rows
            if len(row) >= 5 and row[0].isdigit() and int(row[0]) in kept and "N/A" not in row[2:4]
        )
        places = await asyncio.to_thread(joints.find_restarts, placed, kept)
        if source.report.container == "mpeg":
            return [joints.find_pack(path, place) for place in places]
        pids = {int(stream.get("id", "0"), 0) for stream in shown["streams"]}
        return [joints.find_tables(path, place, pids) for place in places]

    async def probe_audio(self, *, path: Path, name: str) -> list[AudioStream]:
        _check_readable(path, name)
        if found := streams.read_audio(await self._show(path, name)):
            return found
        raise make_unusable(name, "sound", "there is no sound in it", "Use a file that has an audio stream.")

    async def survey(self, *, original: Path, path: Path, source: MediaSource, progress: OnProgress) -> MediaSource:
        found = Survey()

        def on_line(line: str) -> None:
            found.add(line)
            progress(len(found.times_s))

        # Of a remuxed file the original, whose frames have their own pixel shapes: a copy has one for all.
        index = source.remux[0] if source.remux else source.report.video.index
        show = ("-select_streams", str(index), "-threads", str(os.cpu_count() or 1), *survey.SHOW)
        log: list[str] = []
        for part in source.parts or (None,):
            found.begin_part()
            with translate_failures():
                _, lines = await self._ffmpeg.probe_lines(
                    original, show, span=part, on_line=on_line, deadline_s=DECODING_S
                )
            log += lines
        frames = len(found.times_s) or await self._count_frames(path, source, progress)
        if not frames:
            return replace(source, picture_frames=0)
        shown = await self._show(path, path.name)
        stream = next(s for s in shown["streams"] if s["index"] == source.report.video.index)
        rows, _ = await packets.list_packets(self._ffmpeg, path, str(stream["index"]), packets.FIELDS)
        decoded, shown_rows = found.order_times(restarts=bool(source.clock_step_s)), packets.list_shown(rows)
        last_s = None
        if source.remux and decoded:  # where the clock restarts, the last packet is taken to be decoded
            last_s = decoded[-1] if source.clock_step_s else source.last_us / 1_000_000
        times: Sequence[float] = packets.place_frames(packets.read_times(rows), decoded, last_s)
        # Fields in packets of their own, and what a copy or a broadcast ends with, are no lost frames.
        lost = packets.count_frames(shown_rows) - frames
        is_lost = lost > (1 if source.remux else 0) and not found.interlaced
        notes = [*source.notes, *survey.list_faults(lost if is_lost else 0, len(shown_rows), log)]
        if source.remux and not source.parts:  # a copy begins with the first keyframe
            lost_s = (source.picture_frames - len(shown_rows)) / float(source.frame_rate)
            notes += survey.list_lost_start(lost_s)
        source = replace(source, notes=tuple(notes))
        if not source.remux and decoded and any(row[0] == "N/A" for row in shown_rows):
            times, delay_s = survey.undelay(decoded, reading.parse_number(stream.get("start_time")))
            source = replace(source, shift_us=-round(delay_s * 1_000_000))
        return await self._complete(path, source, found, times, packets.read_last_duration(rows), shown, stream)

    async def _count_frames(self, path: Path, source: MediaSource, progress: OnProgress) -> int:
        """Count the frames that ffmpeg decodes, which has decoders that ffprobe lacks (AV1)."""
        counted = [0]

        def count(frames: int) -> None:
            counted.append(frames)
            progress(frames)

        arguments = [*input_arguments(path), "-map", f"0:{source.report.video.index}", "-f", "null", "-"]
        with translate_failures():
            await self._ffmpeg.run(arguments, deadline_s=DECODING_S, progress=count)
        return max(counted)

    async def _complete(
        self,
        path: Path,
        source: MediaSource,
        found: Survey,
        times: Sequence[float],
        last_s: float,
        shown: dict[str, Any],
        stream: dict[str, Any],
    ) -> MediaSource:
        """Return the source with what only its decoded frames tell."""
        offset_s = reading.parse_number(shown["format"].get("start_time"))
        first_s = times[0] + source.late_us / 1_000_000
        rate, constant, phase = choose_rate(times, reading.list_stated_rates(stream))
        video = source.report.video
        stretches = found.find_stretches(times, offset_s, video.rotation_deg % 180 != 0)
        width, height = _choose_canvas(stretches) if stretches else (video.width_px, video.height_px)
        flagged = source.deinterlacing == "none" and found.interlaced > 0
        if not flagged and source.deinterlacing == "none" and video.height_px in survey.INTERLACED_LINES:
            fields = await self._find_fields(path, source)
            source = replace(source, fields=fields, deinterlacing="all" if fields else "none")
        return replace(
            source,
            report=replace(
                source.report,
                video=replace(
                    video,
                    width_px=width,
                    height_px=height,
                    interlaced=video.interlaced or flagged or bool(source.fields),
                ),
            ),
            rate=f"{rate.numerator}/{rate.denominator}",
            constant=constant or (source.constant and source.rate == f"{rate.numerator}/{rate.denominator}"),
            shift_us=source.shift_us + round(phase / float(rate) * 1_000_000),
            start_us=max(0, round((first_s - offset_s) * 1_000_000)),
            sound_end_us=round(
                max(0.0, await listening.find_end(self._ffmpeg, path, source, shown) - offset_s) * 1_000_000
            ),
            picture_frames=survey.count_places(times, rate, phase, last_s),
            deinterlacing="flagged" if flagged else source.deinterlacing,
            stretches=stretches,
            captions=found.captioned > 0,
            notes=(
                *source.notes,
                *filter(None, [reading.describe_early_sound(shown, source.report, first_s)]),
                *survey.list_holes(times, rate),
            ),
        )

    async def _find_fields(self, path: Path, source: MediaSource) -> Fields:
        """Find the first field of a picture whose lines are interlaced although nothing in the file says so."""
        counts: Counter[str] = Counter()
        for share in _EXCERPTS:
            start = ["-ss", f"{source.report.duration_ms * share / 1000:.3f}", "-t", str(_EXCERPT_S)]
            graph = ["-map", f"0:{source.report.video.index}", "-vf", "idet", "-f", "null", "-"]
            with translate_failures():
                log = await self._ffmpeg.run([*start, *input_arguments(path), *graph], deadline_s=PROBE_S, level="info")
            counts.update(survey.read_fields(log))
        return survey.choose_fields(counts)

    async def list_keyframes(self, *, path: Path) -> tuple[int, list[int]]:
        rows, _ = await packets.list_packets(self._ffmpeg, path, "v:0", "pts,flags")
        frames = sorted((int(pts), flags) for pts, flags, *_ in rows)
        return len(frames), [n for n, (_, flags) in enumerate(frames) if "K" in flags]

    async def _list_frames(
        self, path: Path, name: str, stream: dict[str, Any], shown: dict[str, Any]
    ) -> reading.Listing:
        """List a picture's frames. Raises Unusable, also where the file ends early."""
        try:
            rows, log = await packets.list_packets(self._ffmpeg, path, str(stream["index"]), packets.FIELDS)
        except MediaToolFailed as failure:
            raise make_unusable(name, _name_picture(stream), "its frames cannot be listed", _EXPORT) from failure
        times = packets.read_times(rows, restarts=reading.has_restarts(shown))
        if times and times[-1] > _LONGEST_S:
            raise make_unusable(name, _name_picture(stream), "the times of its frames are damaged", _EXPORT)
        if any(sign in line for line in log for sign in _CUT_SHORT):
            stated_s = reading.parse_number(stream.get("duration")) or reading.parse_number(
                shown["format"].get("duration")
            )
            lost_s = stated_s - (times[-1] - times[0] if times else 0)
            what = (
                f"the last {lost_s:.1f} of {stated_s:.1f} seconds are missing" if lost_s > 0.1 else "its end is missing"
            )
            raise make_unusable(name, "file", f"it is cut short: {what}", _COPY)
        delays = packets.find_damaged(packets.list_shown(rows)).values()
        return reading.Listing(
            times,
            tuple(packets.list_steps(rows)),
            reading.is_damaged(shown, rows, log),
            tuple(round(delay_s * 1_000_000) for delay_s in delays)[:MOST_DAMAGED],
            await self._find_delay(path, stream, rows[:_CUT_PACKETS]),
        )

    async def _find_delay(self, path: Path, stream: dict[str, Any], rows: Sequence[Sequence[str]]) -> int:
        """Return how many microseconds after the start that FFmpeg says a picture begins that was cut."""
        if not any("D" in row[3] for row in rows if len(row) > 3):
            return 0
        options = ("-advanced_editlist", "0", "-read_intervals", f"%+#{_CUT_PACKETS}")
        edited, _ = await packets.list_packets(self._ffmpeg, path, str(stream["index"]), packets.FIELDS, *options)
        return max(0, round(packets.measure_delay(rows, edited) * 1_000_000))

    async def _show(self, path: Path, name: str) -> dict[str, Any]:
        try:
            try:
                shown = await self._ffmpeg.probe(path, reading.SHOW, deadline_s=PROBE_S)
            except ToolFailed as failure:
                if not failure.too_long:
                    raise
                shown = await self._ffmpeg.probe(path, reading.SHOW_UNTITLED, deadline_s=PROBE_S)
        except ToolFailed as failure:
            what = await asyncio.to_thread(_explain, failure, path)
            raise make_unusable(name, "file", what, _EXPORT) from failure
        return shown if "format" in shown else {**shown, "format": {}}

    async def _check_decodable(self, path: Path, name: str, stream: dict[str, Any]) -> None:
        """Raise Unusable where no frame of the picture can be decoded."""
        frames, failure = [0], None
        # A picture of which two thirds fail before the first frame has another format at its start.
        fails = ["-max_error_rate", "0.667"]
        show = ["-map", f"0:{stream['index']}", "-frames:v", "1", "-f", "null", "-"]
        arguments = [*fails, *input_arguments(path), *show]
        try:
            await self._ffmpeg.run(arguments, deadline_s=PROBE_S, progress=frames.append)
        except ToolFailed as error:
            failure = error
        if failure is not None or not max(frames):
            if await self._is_encrypted(path, stream):
                what, remedy = "it is encrypted", "Export it without copy protection."
            else:
                what, remedy = "no frame at its start can be decoded", _EXPORT
            raise make_unusable(name, _name_picture(stream), what, remedy) from failure

    async def _is_encrypted(self, path: Path, stream: dict[str, Any]) -> bool:
        """Return whether the packets of a stream carry what a decryption needs (ISO/IEC 23001-7)."""
        if stream.get("codec_tag_string", "").startswith("enc"):
            return True
        show = ("-select_streams", str(stream["index"]), "-read_intervals", "%+#1", "-show_packets")
        try:
            lines, _ = await self._ffmpeg.probe_lines(path, (*show, "-show_data"), deadline_s=PROBE_S)
        except ToolFailed:
            return False
        return any("encryption info" in line.lower() for line in lines)


def _read_delay(row: Sequence[str]) -> float:
    """Read how much later than it is decoded a packet is shown; 0 where the file does not say it."""
    return 0.0 if row[1] in ("", "N/A") else float(row[1]) - float(row[2])


def _choose_canvas(stretches: Sequence[Stretch]) -> tuple[int, int]:
    largest = max(stretches, key=lambda one: one.width_px * one.height_px)
    return largest.width_px, largest.height_px


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
        raise make_unusable(name, "file", "it is empty", _COPY)
    return status.st_size


def _explain(failure: ToolFailed, path: Path) -> str:
    with path.open("rb") as file:
        is_mp4 = file.read(8)[4:] in _MP4_BOXES
    if is_mp4 and any("moov atom not found" in line for line in failure.tail):
        return "it is cut short: its index (moov) is missing"
    return "it took too long to read" if failure.status is None else "it is not a film in a known format, or damaged"


def _name_picture(stream: dict[str, Any]) -> str:
    return f"picture (stream {stream['index']})"
