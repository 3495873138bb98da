"""What is read of a file's sounds: whether they can be decoded, where they end, whether their times are damaged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.drivers.process import ToolFailed
from matinee.encoding.adapters.ffmpeg import joints, reading
from matinee.encoding.adapters.ffmpeg.packets import LISTING_S, list_packets
from matinee.encoding.model.source import MediaSource

_PROBE_S = 120
# How much of a sound is decoded to see that it can be, and how much of the end of a file is read to find its end.
_SOUND_PACKETS = 60
_TAIL_S = 30


async def has_stray_times(ffmpeg: Ffmpeg, path: Path, source: MediaSource) -> bool:
    """Return whether the clock of a sound is far ahead for some packets: their times are damaged."""
    latest: dict[str, float] = {}
    rows, _ = await list_packets(ffmpeg, path, "a", "stream_index,dts_time") if source.report.audio else ([], [])
    for index, time in (row[:2] for row in rows if len(row) >= 2 and row[1] not in ("", "N/A")):
        if float(time) < latest.get(index, 0.0) - joints.STEP_AHEAD_S:
            return True
        latest[index] = float(time)
    return False


async def leave_out_silent(ffmpeg: Ffmpeg, path: Path, source: MediaSource) -> MediaSource:
    """Return the source without the sounds of which nothing can be decoded."""
    sounds = source.report.audio
    if not sounds:
        return source
    decoded = await _count_samples(ffmpeg, path, "a", _SOUND_PACKETS * len(sounds))
    silent = [s for s in sounds if not decoded[s.index]]
    silent = [s for s in silent if not (await _count_samples(ffmpeg, path, str(s.index), _SOUND_PACKETS))[s.index]]
    silent = [s for s in silent if not await _can_decode(ffmpeg, path, s.index)]
    if not silent:
        return source
    notes = (f"sound (stream {s.index}, {s.codec}) is left out: it cannot be decoded" for s in silent)
    left = {s.index for s in silent}
    return replace(
        source,
        report=replace(source.report, audio=[s for s in sounds if s.index not in left]),
        remux=tuple(index for index in source.remux if index not in left),
        notes=(*source.notes, *notes),
    )


async def _can_decode(ffmpeg: Ffmpeg, path: Path, index: int) -> bool:
    """Return whether ffmpeg decodes a sound, which reads what ffprobe cannot (Matroska compressed by zlib)."""
    show = ["-map", f"0:{index}", "-af", "ashowinfo", "-frames:a", "1", "-f", "null", "-"]
    try:
        log = await ffmpeg.run([*input_arguments(path), *show], deadline_s=_PROBE_S, level="info")
    except ToolFailed:
        return False
    return any("ashowinfo" in line and " pts:" in line for line in log)


async def _count_samples(ffmpeg: Ffmpeg, path: Path, selected: str, count: int) -> Counter[int]:
    """Count the decoded frames of sounds among so many first packets of a file."""
    show = ("-select_streams", selected, "-read_intervals", f"%+#{count}", "-show_entries", "frame=stream_index")
    try:
        rows, _ = await ffmpeg.probe_rows(path, show, deadline_s=LISTING_S)
    except ToolFailed:
        return Counter()
    return Counter(int(row[0]) for row in rows if row[0].isdigit())


async def find_end(ffmpeg: Ffmpeg, path: Path, source: MediaSource, shown: dict[str, Any]) -> float:
    """Find the end of the longest sound, in the times of the file."""
    kept = {str(sound.index) for sound in source.report.audio}
    if not kept:
        return 0.0
    start_s = reading.parse_number(shown["format"].get("start_time"))
    tail_s = start_s + reading.parse_number(shown["format"].get("duration")) - _TAIL_S
    fields, options = "stream_index,pts_time,duration_time", ("-read_intervals", f"{max(start_s, tail_s):.3f}%")
    rows, _ = await list_packets(ffmpeg, path, "a", fields, *options)
    ends = [
        reading.parse_number(row[1]) + reading.parse_number(row[2])
        for row in rows
        if len(row) >= 3 and row[0] in kept and row[1] != "N/A"
    ]
    return max(ends, default=0.0)
