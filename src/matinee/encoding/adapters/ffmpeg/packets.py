"""The times of a picture's packets as ffprobe lists them, and those of its frames among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from matinee.encoding.adapters.ffmpeg.reading import parse_number
from matinee.encoding.adapters.ffmpeg.survey import unwrap

# What is listed of each packet.
FIELDS = "pts_time,dts_time,duration_time,flags"


def list_shown(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """List the rows of `FIELDS` that are whole and shown."""
    return [row for row in rows if len(row) >= 4 and "D" not in row[3]]


def read_last_duration(rows: Sequence[Sequence[str]]) -> float:
    """Read how long the last frame is shown; 0 where the file does not say it."""
    timed = [(parse_number(row[0]), row[2]) for row in list_shown(rows) if row[0] != "N/A"]
    return parse_number(max(timed)[1]) if timed else 0.0


def list_steps_back(rows: Sequence[Sequence[str]]) -> Iterator[float]:
    """Yield the steps by which the clock of packets goes back."""
    clock = [float(row[1]) for row in list_shown(rows) if row[1] not in ("", "N/A")]
    yield from (before - after for before, after in pairwise(clock) if after < before)


def read_times(rows: Sequence[Sequence[str]], *, restarts: bool = False) -> list[float]:
    """Read the times of packets that are shown, sorted; on one clock where it restarts."""
    shown = list_shown(rows)
    times = [next((field for field in row[:2] if field and field != "N/A"), "") for row in shown]
    if not restarts or any(not time for time in times) or any(row[1] in ("", "N/A") for row in shown):
        return sorted(float(time) for time in times if time)
    clock = [float(row[1]) for row in shown]
    joined = unwrap(clock)
    return sorted(float(time) + new - old for time, new, old in zip(times, joined, clock, strict=True))


def place_frames(packets_s: Sequence[float], decoded_s: Sequence[float], *, is_copy: bool) -> Sequence[float]:
    """Return the times of the decoded frames on the clock of the file that is encoded.

    These are the times of its packets, where each has one frame, and where decoded frames have none.
    """
    has_times = bool(decoded_s) and decoded_s[-1] > decoded_s[0]
    if not packets_s or len(decoded_s) == len(packets_s) or not has_times:
        return packets_s or decoded_s
    # Fields in packets of their own, or frames that cannot be decoded: at the start of a recording for example.
    shift_s = packets_s[-1] - decoded_s[-1] if is_copy else 0.0
    return [time + shift_s for time in decoded_s]
