"""The times of a picture's packets as ffprobe lists them, and those of its frames among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from matinee.drivers.ffmpeg import Ffmpeg
from matinee.encoding.adapters.failures import translate_failures
from matinee.encoding.adapters.ffmpeg.joints import REORDERED, STEP_AHEAD_S
from matinee.encoding.adapters.ffmpeg.reading import parse_number
from matinee.encoding.adapters.ffmpeg.survey import unwrap

LISTING_S = 1200
_HIDDEN_S = 0.002
# A programme stream need not state the time of every frame; what it then has is when that is decoded.
_UNSTATED = 0.25
# What is listed of each packet.
FIELDS = "pts_time,dts_time,duration_time,flags"
# No frame is shown this much earlier or later than it is decoded, unless there is a gap: one of its times is damaged.
LONGEST_REORDER_S = 10.0


async def list_packets(
    ffmpeg: Ffmpeg, path: Path, selected: str, fields: str, *options: str
) -> tuple[list[list[str]], list[str]]:
    """Return the packets of the selected streams as rows of fields, and the end of ffprobe's log."""
    select = ("-select_streams", selected) if selected else ()
    show = (*select, "-show_entries", f"packet={fields}", *options)
    with translate_failures():
        return await ffmpeg.probe_rows(path, show, deadline_s=LISTING_S)


def list_shown(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """List the rows of `FIELDS` that are whole and shown."""
    return [row for row in rows if len(row) >= 4 and "D" not in row[3]]


def count_frames(rows: Sequence[Sequence[str]]) -> int:
    """Count the frames in packets: one that VP8 never shows has the time of the next, or is a millisecond earlier."""
    times = sorted(float(time) for time in choose_times(rows) if time)
    return len(rows) - sum(after - before < _HIDDEN_S for before, after in pairwise(times))


def measure_delay(rows: Sequence[Sequence[str]], edited: Sequence[Sequence[str]]) -> float:
    """Return how much later than FFmpeg says (`rows`) a picture begins by its edit list (`edited`).

    FFmpeg moves the first frame after the start of an edit to that start. Where there are several edits, return 0.
    """
    pairs = [(float(a[0]), float(b[0])) for a, b in zip(rows, edited, strict=False) if _is_timed(a) and _is_timed(b)]
    delays = [later - time for time, later in pairs]
    return delays[0] if delays and max(delays) - min(delays) < _HIDDEN_S else 0.0


def _is_timed(row: Sequence[str]) -> bool:
    return len(row) >= 4 and row[0] not in ("", "N/A") and "D" not in row[3]


def read_last_duration(rows: Sequence[Sequence[str]]) -> float:
    """Read how long the last frame is shown; 0 where the file does not say it."""
    shown = list_shown(rows)
    timed = [(float(time), row[2]) for time, row in zip(choose_times(shown), shown, strict=True) if row[0] != "N/A"]
    return parse_number(max(timed)[1]) if timed else 0.0


def list_steps(rows: Sequence[Sequence[str]]) -> Iterator[float]:
    """Yield the steps by which the clock of packets goes back (below 0), or so far ahead that it may have restarted."""
    clock = [float(row[1]) for row in list_shown(rows) if row[1] not in ("", "N/A")]
    yield from (step for before, after in pairwise(clock) if not 0 <= (step := after - before) <= STEP_AHEAD_S)


def read_times(rows: Sequence[Sequence[str]], *, restarts: bool = False) -> list[float]:
    """Read the times of packets that are shown, sorted; on one clock where it restarts."""
    shown = list_shown(rows)
    times = choose_times(shown)
    if not restarts or any(not time for time in times) or any(row[1] in ("", "N/A") for row in shown):
        return sorted(float(time) for time in times if time)
    stated = [row for row in shown if row[0] not in ("", "N/A")]
    if 0 < len(shown) - len(stated) <= len(shown) * _UNSTATED and not any(list_steps(rows)):
        return _fill(sorted(float(time) for time in choose_times(stated)), len(shown) - len(stated))
    clock = [float(row[1]) for row in shown]
    joined = unwrap(clock)
    return sorted(float(time) + new - old for time, new, old in zip(times, joined, clock, strict=True))


def _fill(times: list[float], missing: int) -> list[float]:
    """Fill so many missing times into the longest gaps between others."""
    gap_s = median(after - before for before, after in pairwise(times)) if len(times) > 1 else 0.0
    for after, before in sorted(((b, a) for a, b in pairwise(times)), key=lambda gap: gap[1] - gap[0])[:missing]:
        fit = max(0, min(missing, round((after - before) / gap_s) - 1)) if gap_s else 0
        times += [before + (after - before) * n / (fit + 1) for n in range(1, fit + 1)]
        missing -= fit
    # What has no gap is at the end: the first frame states its time.
    return sorted(times) + [max(times, default=0.0) + gap_s * n for n in range(1, missing + 1)]


def choose_times(rows: Sequence[Sequence[str]]) -> list[str]:
    """Choose when each packet is shown, or decoded where that is missing or damaged; "" without both.

    A single time of decoding that is far ahead of those around it is damaged too.
    """
    damaged = find_damaged(rows)
    times = [
        row[1] if number in damaged else next((field for field in row[:2] if field not in ("", "N/A")), "")
        for number, row in enumerate(rows)
    ]
    for number, (row, before, after) in enumerate(zip(rows[1:-1], times, times[2:], strict=False), start=1):
        is_decoded = row[0] in ("", "N/A") and times[number] and before and after
        if is_decoded and float(times[number]) - max(float(before), float(after)) > LONGEST_REORDER_S:
            times[number] = before
    return times


def find_damaged(rows: Sequence[Sequence[str]]) -> dict[int, float]:
    """Find the packets whose time is damaged, by number: how much later than they are decoded they would be shown.

    They are far from the time of their decoding, and the clock does not follow: before a gap in a picture the frames
    after it are far from theirs too.
    """
    clock = [parse_number(row[1]) if row[1] != "N/A" else None for row in rows]
    damaged: dict[int, float] = {}
    for number, (row, decoded_s) in enumerate(zip(rows, clock, strict=True)):
        if decoded_s is None or row[0] in ("", "N/A"):
            continue
        delay_s = float(row[0]) - decoded_s
        if -LONGEST_REORDER_S <= delay_s <= LONGEST_REORDER_S:
            continue
        following = [time for time in clock[number + 1 : number + 1 + REORDERED] if time is not None]
        if delay_s < 0 or not following or following[-1] < float(row[0]) - LONGEST_REORDER_S:
            damaged[number] = delay_s
    return damaged


def place_frames(packets_s: Sequence[float], decoded_s: Sequence[float], last_s: float | None) -> Sequence[float]:
    """Return the times of the decoded frames on the clock of the file that is encoded.

    These are the times of its packets, where each has one frame, and where decoded frames have none. For a copy,
    `last_s` is the time of the last packet in the original, on the clock of the decoded frames.
    """
    has_times = bool(decoded_s) and decoded_s[-1] > decoded_s[0]
    if not packets_s or len(decoded_s) == len(packets_s) or not has_times:
        return packets_s or decoded_s
    # Fields in packets of their own, or frames that cannot be decoded: at the start of a recording for example.
    shift_s = 0.0 if last_s is None else packets_s[-1] - last_s
    return [time + shift_s for time in decoded_s]
