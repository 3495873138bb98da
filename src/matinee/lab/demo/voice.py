"""A murmured voice that reads a text letter by letter: speech-like, and different for each language.

A source (vocal cords, breath) is shaped by formants, frame by frame. Nobody will understand a word; everybody hears
that somebody speaks, and which of two tracks it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matinee.lab.demo.sound import RATE, Mono

_HOP, _FRAME = 256, 1024
_FREQUENCIES = np.fft.rfftfreq(_FRAME, 1 / RATE).astype(np.float32)


@dataclass(frozen=True)
class Speaker:
    """Pitch in Hz, syllables a second, how much the pitch moves, and the size of the mouth."""

    pitch_hz: float
    pace: float
    melody: float
    mouth: float


SPEAKERS = {
    "en": Speaker(112, 4.6, 0.16, 1.0),
    "de": Speaker(186, 4.9, 0.11, 1.14),
    "fr": Speaker(204, 5.6, 0.09, 1.17),
    "ja": Speaker(172, 6.4, 0.07, 1.12),
}


class _Sound(NamedTuple):
    seconds: float
    voiced: float
    breath: float
    formants: tuple[float, float, float]


_VOWELS: dict[str, tuple[float, float, float]] = {
    "a": (760, 1250, 2500),
    "e": (470, 1900, 2600),
    "i": (300, 2250, 3000),
    "o": (460, 860, 2500),
    "u": (330, 800, 2300),
    "y": (300, 2100, 2800),
    "ä": (600, 1750, 2550),
    "ö": (400, 1500, 2300),
    "ü": (300, 1700, 2200),
}
_ACCENTED = str.maketrans("éèêëàâîïôûùç", "eeeeaaiioouc")
_NEUTRAL = (350.0, 1250.0, 2450.0)
_HISS = (5200.0, 6800.0, 7600.0)


def speak(lines: Iterable[tuple[float, float, str]], language: str, seconds: float) -> Mono:
    """Lines as start, end and text, read in one track of a length."""
    track = np.zeros(round(seconds * RATE), np.float32)
    speaker = SPEAKERS[language]
    for start_s, end_s, text in lines:
        start = round((start_s + 0.05) * RATE)
        spoken = _read(text, speaker, end_s - start_s - 0.2)[: max(0, len(track) - start)]
        track[start : start + len(spoken)] += spoken
    peak = float(np.abs(track).max())
    return track * np.float32(0.5 / peak) if peak else track


def _read(text: str, speaker: Speaker, limit_s: float) -> Mono:
    sounds = [sound for letter in text.lower().translate(_ACCENTED) for sound in _sounds(letter, speaker)]
    length_s = sum(sound.seconds for sound in sounds)
    hurry = min(1.0, limit_s / max(length_s, 0.1))
    frames = max(8, round(length_s * hurry * RATE / _HOP))
    ends = np.cumsum([s.seconds * hurry for s in sounds]) * RATE / _HOP
    which = np.searchsorted(ends, np.arange(frames), side="right").clip(0, len(sounds) - 1)
    rows = np.array([[s.voiced, s.breath, *s.formants] for s in sounds], np.float32)[which]
    rows = np.stack([np.convolve(np.pad(c, 3, mode="edge"), np.ones(7) / 7, mode="valid") for c in rows.T], axis=1)
    return _shaped(rows, speaker, np.random.default_rng(len(text)))


def _sounds(letter: str, speaker: Speaker) -> Iterable[_Sound]:
    unit = 1 / speaker.pace
    if letter in _VOWELS:
        yield _Sound(0.58 * unit, 1, 0.02, _VOWELS[letter])
    elif letter in "ptkbdgcq":
        yield _Sound(0.16 * unit, 0, 0, _NEUTRAL)
        yield _Sound(0.07 * unit, 0.1, 0.35, _HISS)
    elif letter in "sfzhxßvj":
        yield _Sound(0.3 * unit, 0, 0.3, _HISS)
    elif letter.isalpha():
        yield _Sound(0.26 * unit, 0.45, 0, _NEUTRAL)
    elif letter in ",;—":
        yield _Sound(0.9 * unit, 0, 0, _NEUTRAL)
    elif letter in ".?!…":
        yield _Sound(1.6 * unit, 0, 0, _NEUTRAL)
    else:
        yield _Sound(0.12 * unit, 0.15, 0, _NEUTRAL)


def _shaped(rows: NDArray[np.float64], speaker: Speaker, random: np.random.Generator) -> Mono:
    """Source through formants by overlapping frames; `rows`: voiced, breath and three formants a frame."""
    length = len(rows) * _HOP + _FRAME
    cords, breath = _cords(len(rows), length, speaker, random), random.standard_normal(length, np.float32) * 0.3
    starts = np.arange(len(rows))[:, None] * _HOP + np.arange(_FRAME)[None, :]
    window = np.hanning(_FRAME).astype(np.float32)
    filters = _filters(rows[:, 2:5].astype(np.float32) * np.float32(speaker.mouth))
    mix = cords[starts] * rows[:, :1] + breath[starts] * rows[:, 1:2]
    frames = np.fft.irfft(np.fft.rfft(mix * window, axis=1) * filters, axis=1)[:, :_FRAME] * window
    spoken = np.zeros(length, np.float32)
    for n, frame in enumerate(frames.astype(np.float32)):
        spoken[n * _HOP : n * _HOP + _FRAME] += frame
    return spoken


def _cords(frames: int, length: int, speaker: Speaker, random: np.random.Generator) -> Mono:
    """Vocal cords: a soft sawtooth whose pitch falls over the line, with accents."""
    along = np.linspace(0, 1, max(2, frames))
    wander = np.convolve(random.normal(0, 1, len(along) + 80), np.hanning(81) / 40, mode="valid")[: len(along)]
    pitch = speaker.pitch_hz * (1.1 - 0.22 * along) * np.exp(speaker.melody * wander)
    turns = np.cumsum(np.interp(np.linspace(0, 1, length), along, pitch)) / RATE
    phase = (turns % 1).astype(np.float32)
    return (1 - phase) ** 3 - np.float32(0.25)


def _filters(formants: NDArray[np.float32]) -> NDArray[np.float32]:
    gain = np.full((len(formants), len(_FREQUENCIES)), 0.01, np.float32)
    for n, (width, level) in enumerate(((90, 1.0), (130, 0.6), (190, 0.3))):
        away = (_FREQUENCIES[None, :] - formants[:, n : n + 1]) / width
        gain += level / (1 + away * away)
    return gain
