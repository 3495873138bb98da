"""Compares sound: its offset to the picture, length, loudness and channels."""

from __future__ import annotations

import math
import re

import numpy as np

from matinee.lab.verify.checks import Check, judge
from matinee.lab.verify.media import SAMPLE_RATE_HZ, Sound

OFFSET_S = 0.020
_ALIKE = 0.5
_SAME_PEAK = 0.9
# Of the usual level: what is quieter is a gap.
_GAP = 0.1
_LENGTH_S = 0.1
_TARGET_LUFS, _TOLERANCE_LU, _PEAK_DBTP = -23.0, 1.0, -4.0
_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS")
MEASURE = "ebur128=peak=true:framelog=quiet"


def find_offset(output: Sound, source: Sound, likely_s: float) -> tuple[float, float]:
    """Return the output's time less the source's where they are most alike, and how alike, from 0 to 1.

    Of a sound that repeats itself it is the time nearest to the likely one.
    """
    size = 1 << (len(output.samples) + len(source.samples) - 1).bit_length()
    spectrum = np.fft.rfft(output.samples, size) * np.conj(np.fft.rfft(source.samples, size))
    peaks = np.abs(np.fft.irfft(spectrum, size))
    alike = np.flatnonzero(peaks >= _SAME_PEAK * peaks.max())
    lags = np.where(alike > size // 2, alike - size, alike)
    likely = (likely_s - output.start_s + source.start_s) * SAMPLE_RATE_HZ
    lag = int(lags[np.abs(lags - likely).argmin()])
    ours = output.samples[max(0, lag) :]
    theirs = source.samples[max(0, -lag) :]
    count = min(len(ours), len(theirs))
    energy = float(np.linalg.norm(ours[:count]) * np.linalg.norm(theirs[:count]))
    share = abs(float(np.dot(ours[:count], theirs[:count]))) / energy if energy > 0 else 0.0
    return output.start_s - source.start_s + lag / SAMPLE_RATE_HZ, share


def check_gaps(name: str, output: Sound, source: Sound, offset_s: float) -> Check:
    """Check that there is sound where the source has sound, and silence where it is silent, second by second."""
    first = math.ceil(max(output.start_s, source.start_s + offset_s))
    last = math.floor(min(output.end_s, source.end_s + offset_s))
    seconds = [(_measure_rms(output, at), _measure_rms(source, at - offset_s)) for at in range(first, max(first, last))]
    ours, theirs = (np.array(values) for values in zip(*seconds, strict=True)) if seconds else (np.ones(1), np.ones(1))
    loudness = float(np.linalg.norm(ours) / max(float(np.linalg.norm(theirs)), 1e-9))
    clear = _GAP * np.sqrt((theirs**2).mean())
    lost = (theirs > clear) & (ours < _GAP * loudness * theirs)
    added = (ours > loudness * clear) & (theirs < _GAP * ours / loudness)
    faults = [f"{int(where.sum())} s {what}" for where, what in ((lost, "lost"), (added, "added")) if where.any()]
    return judge("gaps", name, not faults, ", ".join(faults) or f"none in {len(seconds)} s")


def _measure_rms(sound: Sound, at_s: float) -> float:
    """Measure the level of a second, without its edges."""
    first = round((at_s - sound.start_s + 0.1) * SAMPLE_RATE_HZ)
    part = sound.samples[max(0, first) : first + round(0.8 * SAMPLE_RATE_HZ)].astype(np.float64)
    return float(np.sqrt((part**2).mean())) if len(part) else 0.0


def is_silent(sound: Sound) -> bool:
    """Return whether nothing can be heard."""
    return float(np.abs(sound.samples).max(initial=0)) < 1e-4


def check_offset(name: str, offset_s: float, picture_offset_s: float, alike: float) -> Check:
    """Check that sound and picture are moved by the same time."""
    if alike < _ALIKE:
        return judge("sound", name, False, f"it is not the source's (correlation {alike:.2f})")
    difference_s = offset_s - picture_offset_s
    found = f"{difference_s * 1000:+.0f} ms to the picture, correlation {alike:.2f}"
    return judge("sound", name, abs(difference_s) <= OFFSET_S, found)


def check_length(name: str, sound: Sound, end_s: float) -> Check:
    """Check that a track ends with the picture."""
    found = f"{sound.start_s:.3f} to {sound.end_s:.3f} s, the picture to {end_s:.3f} s"
    is_right = abs(sound.end_s - end_s) <= _LENGTH_S and abs(sound.start_s) <= _LENGTH_S
    return judge("length", name, is_right, found)


def check_loudness(name: str, log: list[str]) -> Check:
    """Check the loudness that FFmpeg measured against the target, or the peaks that limit it."""
    loudness, peak = (_find_last(pattern, "\n".join(log)) for pattern in (_INTEGRATED, _PEAK))
    found = f"{loudness:.1f} LUFS, peaks at {peak:.1f} dBTP"
    if not math.isfinite(loudness) or loudness <= -69:
        return judge("loudness", name, True, "silence")
    is_limited = loudness < _TARGET_LUFS and peak >= _PEAK_DBTP
    return judge("loudness", name, abs(loudness - _TARGET_LUFS) <= _TOLERANCE_LU or is_limited, found)


def _find_last(pattern: re.Pattern[str], log: str) -> float:
    figures = pattern.findall(log)
    return float(figures[-1]) if figures else -math.inf
