"""FFmpeg filters of sounds, and what its loudness meter logs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from matinee.encoding.model.plan import AudioTrackPlan
from matinee.encoding.ports import Loudness

SAMPLE_RATE_HZ = 48_000
# Gaps are filled and overlaps dropped, so that sound stays in sync with the picture. Only what is shorter than two
# frames of AAC is made up for by playing slower or faster.
_FOLLOW = f"aresample={SAMPLE_RATE_HZ}:async=1000:min_hard_comp=0.03:first_pts=0"
# How FFmpeg logs that the parameters of a sound change in the middle, where filters start anew.
_CHANGES = re.compile(r"audio parameters changed")
_DAMAGED = re.compile(r"Error submitting packet to decoder|error decoding the audio block")
# The usual order of the streams of a set (SMPTE ST 2035): L R C LFE Ls Rs.
_SET = ("FL", "FR", "FC", "LFE", "BL", "BR")
_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS")


def select(track: AudioTrackPlan) -> str:
    """Return the filters from the streams of a track to its layout."""
    layout = "5.1" if track.channels == 6 else "stereo"
    set_layout = f"aformat=sample_fmts=fltp:channel_layouts={layout}"
    if len(track.streams) == 1:
        return f"[0:{track.streams[0]}]{set_layout}"
    joined = "5.1" if len(track.streams) == 6 else "stereo"
    # Each begins at the start of the container, and they need not end together.
    places = list(zip(track.streams, _SET, strict=False))
    channels = (f"[0:{index}]{_FOLLOW},pan={joined}|{place}=c0[{place}]" for index, place in places)
    mix = f"{''.join(f'[{place}]' for _, place in places)}amix=inputs={len(places)}:normalize=0"
    return f"{';'.join(channels)};{mix},{set_layout}"


def fit(track: AudioTrackPlan, gain_db: float, duration_s: float) -> str:
    """Return the filters that give a track its gain, and exactly the duration of the picture."""
    resample = f"{_FOLLOW},asetpts=N/SR/TB"
    shift = f"asetpts=PTS-{track.delay_us / 1e6:.6f}/TB"
    trim = f"volume={gain_db:.2f}dB,apad=whole_dur={duration_s:.6f},atrim=end={duration_s:.6f}"
    return f"{select(track)},{shift},{resample},{trim}"


def read_loudness(log: Sequence[str]) -> Loudness:
    """Read the meter's summary, whether the parameters of the sound change, and whether parts cannot be decoded."""
    text = "\n".join(log)
    is_damaged = any(_DAMAGED.search(line) for line in log)
    return Loudness(_find_last(_INTEGRATED, text), _find_last(_PEAK, text), is_changing(log), is_damaged)


def is_changing(log: Sequence[str]) -> bool:
    """Return whether the log of decoding a sound says that its layout or rate changes in the middle."""
    return any(_CHANGES.search(line) for line in log)


def _find_last(pattern: re.Pattern[str], log: str) -> float:
    """Find the last figure that matches, which is the summary's; minus infinity for silence."""
    figures = pattern.findall(log)
    value = float(figures[-1]) if figures else -math.inf
    return -math.inf if math.isnan(value) else value
