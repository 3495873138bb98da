"""Compares sound: its offset to the picture, length, loudness and channels."""

from __future__ import annotations

import math
import re

import numpy as np

from matinee.lab.verify.checks import Check, judge
from matinee.lab.verify.media import SAMPLE_RATE_HZ, Sound

OFFSET_S = 0.020
_ALIKE = 0.5
_LENGTH_S = 0.1
_TARGET_LUFS, _TOLERANCE_LU, _PEAK_DBTP = -23.0, 1.0, -4.0
_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS")
MEASURE = "ebur128=peak=true:framelog=quiet"


def find_offset(output: Sound, source: Sound) -> tuple[float, float]:
    """Return the output's time less the source's where they are most alike, and how alike, from 0 to 1."""
    size = 1 << (len(output.samples) + len(source.samples) - 1).bit_length()
    spectrum = np.fft.rfft(output.samples, size) * np.conj(np.fft.rfft(source.samples, size))
    peaks = np.abs(np.fft.irfft(spectrum, size))
    lag = int(peaks.argmax())
    lag -= size if lag > size // 2 else 0
    ours = output.samples[max(0, lag) :]
    theirs = source.samples[max(0, -lag) :]
    count = min(len(ours), len(theirs))
    energy = float(np.linalg.norm(ours[:count]) * np.linalg.norm(theirs[:count]))
    alike = abs(float(np.dot(ours[:count], theirs[:count]))) / energy if energy > 0 else 0.0
    return output.start_s - source.start_s + lag / SAMPLE_RATE_HZ, alike


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
