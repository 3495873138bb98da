"""A murmuring voice that reads a text letter by letter: not intelligible, but different for each language.

A source (vocal cords, breath) is filtered by formants, frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matinee.lab.demo.sound import RATE, Mono

_HOP, _FRAME = 256, 1024
_FREQUENCIES = np.fft.rfftfreq(_FRAME, 1 / RATE).astype(np.float32)
# Duration in syllables, voicing, breath, and three formants in Hz.
_Sound: TypeAlias = tuple[float, float, float, tuple[float, float, float]]


class Speaker(NamedTuple):
    """A voice: its pitch, syllables per second, how far the pitch moves, and a factor of the formants."""

    pitch_hz: float
    syllables_per_s: float
    melody: float
    formant_scale: float


SPEAKERS = {
    "en": Speaker(112, 4.6, 0.16, 1.0),
    "de": Speaker(186, 4.9, 0.11, 1.14),
    "fr": Speaker(204, 5.6, 0.09, 1.17),
    "ja": Speaker(172, 6.4, 0.07, 1.12),
}
_NEUTRAL, _HISS = (350.0, 1250.0, 2450.0), (5200.0, 6800.0, 7600.0)
_VOWELS = {"aà": (760, 1250, 2500), "eéèêë": (470, 1900, 2600), "iîï": (300, 2250, 3000), "oô": (460, 860, 2500)}
_VOWELS |= {"uùû": (330, 800, 2300), "y": (300, 2100, 2800), "ä": (600, 1750, 2550)}
_VOWELS |= {"ö": (400, 1500, 2300), "ü": (300, 1700, 2200)}
_SOUNDS: dict[str, tuple[_Sound, ...]] = {
    **{letters: ((0.58, 1, 0.02, formants),) for letters, formants in _VOWELS.items()},
    "ptkbdgcçq": ((0.16, 0, 0, _NEUTRAL), (0.07, 0.1, 0.35, _HISS)),
    "sfzhxßvj": ((0.3, 0, 0.3, _HISS),),
    "lmnrw": ((0.26, 0.45, 0, _NEUTRAL),),
    ",;:—": ((0.9, 0, 0, _NEUTRAL),),
    ".?!…": ((1.6, 0, 0, _NEUTRAL),),
}
_OTHER: tuple[_Sound, ...] = ((0.12, 0.15, 0, _NEUTRAL),)
_BY_LETTER = {letter: sounds for letters, sounds in _SOUNDS.items() for letter in letters}


def speak(lines: Iterable[tuple[float, float, str]], language: str, seconds: float) -> Mono:
    """Read lines, each with its start, end and text, in a track of a given length."""
    track = np.zeros(round(seconds * RATE), np.float32)
    for start_s, end_s, text in lines:
        start = round((start_s + 0.05) * RATE)
        speech = _read(text, SPEAKERS[language], end_s - start_s - 0.2)[: max(0, len(track) - start)]
        track[start : start + len(speech)] += speech
    peak = float(np.abs(track).max())
    return track * np.float32(0.5 / peak) if peak else track


def _read(text: str, speaker: Speaker, limit_s: float) -> Mono:
    """Read a text, faster if it would take longer than the limit."""
    sounds = [sound for letter in text.lower() for sound in _BY_LETTER.get(letter, _OTHER)]
    durations_s = np.array([duration for duration, *_ in sounds]) / speaker.syllables_per_s
    durations_s *= min(1.0, limit_s / max(durations_s.sum(), 0.1))
    frames = max(8, round(durations_s.sum() * RATE / _HOP))
    sound_of_frame = np.searchsorted(durations_s.cumsum() * RATE / _HOP, np.arange(frames), side="right")
    rows = np.array([[voiced, breath, *formants] for _, voiced, breath, formants in sounds], np.float32)
    rows = rows[sound_of_frame.clip(0, len(sounds) - 1)]
    rows = np.stack([np.convolve(np.pad(c, 3, mode="edge"), np.ones(7) / 7, mode="valid") for c in rows.T], axis=1)
    return _filter(rows, speaker, np.random.default_rng(len(text)))


def _filter(rows: NDArray[np.floating[Any]], speaker: Speaker, rng: np.random.Generator) -> Mono:
    """Filter the source by formants in overlapping frames; a row has voicing, breath and three formants."""
    length, window = len(rows) * _HOP + _FRAME, np.hanning(_FRAME).astype(np.float32)
    cords, breath = _vocal_cords(len(rows), length, speaker, rng), rng.standard_normal(length, np.float32) * 0.3
    starts = np.arange(len(rows))[:, None] * _HOP + np.arange(_FRAME)[None, :]
    mix = cords[starts] * rows[:, :1] + breath[starts] * rows[:, 1:2]
    gain = np.full((len(rows), len(_FREQUENCIES)), 0.01, np.float32)
    for n, (width, level) in enumerate(((90, 1.0), (130, 0.6), (190, 0.3)), start=2):
        gain += level / (1 + ((_FREQUENCIES[None, :] - rows[:, n : n + 1] * speaker.formant_scale) / width) ** 2)
    frames = np.fft.irfft(np.fft.rfft(mix * window, axis=1) * gain, axis=1)[:, :_FRAME] * window
    speech = np.zeros(length, np.float32)
    for n, frame in enumerate(frames.astype(np.float32)):
        speech[n * _HOP : n * _HOP + _FRAME] += frame
    return speech


def _vocal_cords(frames: int, length: int, speaker: Speaker, rng: np.random.Generator) -> Mono:
    """Return a soft sawtooth whose pitch falls over the line, with accents."""
    along = np.linspace(0, 1, max(2, frames))
    wander = np.convolve(rng.normal(0, 1, len(along) + 80), np.hanning(81) / 40, mode="valid")[: len(along)]
    pitch = speaker.pitch_hz * (1.1 - 0.22 * along) * np.exp(speaker.melody * wander)
    phase = (np.cumsum(np.interp(np.linspace(0, 1, length), along, pitch)) / RATE % 1).astype(np.float32)
    return (1 - phase) ** 3 - np.float32(0.25)
