"""Synthesised music for the demo films: chords, bass, a melody and the sound of the weather, with reverberation."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Mono: TypeAlias = NDArray[np.float32]
Stereo: TypeAlias = NDArray[np.float32]
RATE = 48_000
_TABLE = 4096
_PHASES = np.arange(_TABLE, dtype=np.float32) / _TABLE * 2 * np.pi


class Score(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece: `chords` and the melody's `scale` are in semitones above `root`, a MIDI note."""

    root: int
    tempo_bpm: float
    chords: tuple[tuple[int, ...], ...]
    beats_per_chord: int = 4
    scale: tuple[int, ...] = (0, 2, 4, 7, 9)
    pluck: str = "kalimba"
    density: float = 0.6
    pad: float = 0.5
    pulse: float = 0.0
    weather: str = ""
    weather_gain: float = 0.2
    reverb_s: float = 1.8
    seed: int = 1


_PAD = (1, 0.4, 0.22, 0.1, 0.05)
# Mellow and bright partials of each plucked voice, and the seconds in which either fade to 1/e.
_VOICES: dict[str, tuple[tuple[float, ...], tuple[float, ...], float, float]] = {
    "bass": ((1, 0.5, 0.12), (0,), 1.2, 1),
    "kalimba": ((1, 0, 0.05), (0, 0.5, 0, 0, 0.35, 0.2), 0.7, 0.12),
    "piano": ((1, 0.45, 0.2, 0.1), (0, 0.3, 0.4, 0.3, 0.25, 0.2, 0.1), 1.3, 0.3),
    "bell": ((1, 0.1), (0, 0, 0.4, 0, 0, 0.3, 0, 0, 0.2), 1.9, 0.6),
    "glass": ((1, 0, 0.2), (0, 0, 0, 0.3, 0, 0, 0.15), 2.6, 1.2),
    "string": ((1, 0.7, 0.5, 0.35, 0.25, 0.15), (0, 0.3, 0.4, 0.4, 0.4, 0.4, 0.3), 0.5, 0.15),
}
# Slope of the spectrum and frequency of the swell.
_WEATHER = {"sea": (1.1, 0.11), "rain": (0.25, 0.0), "wind": (1.5, 0.07), "city": (1.3, 0.05)}


def compose(score: Score, seconds: float) -> Stereo:
    """Return the piece with the given length, faded at both ends; its peak is below 1."""
    length, rng = round(seconds * RATE), np.random.default_rng(score.seed)
    dry = np.zeros((2, length + RATE), np.float32)
    _add_chords(dry, score)
    _add_melody(dry, score, rng)
    music = _reverberate(dry[:, :length], score.reverb_s, rng)
    music *= 0.34 / max(float(np.sqrt(np.mean(music**2))) * 3.2, 1e-6)
    if score.weather:
        music += _weather(score.weather, length, rng) * score.weather_gain
    t = _seconds(length)
    fade: Mono = np.minimum(np.minimum(1, t / 1.2), np.minimum(1, (seconds - t) / 2.5))
    return np.asarray(np.tanh(music) * fade)


def mix_voice(music: Stereo, speech: Mono) -> Stereo:
    """Mix speech with music; the music is softer during speech."""
    loud = np.abs(np.pad(speech, (0, -len(speech) % 960))).reshape(-1, 960).max(axis=1) > 0.01
    level = 1 - 0.5 * np.convolve(loud, np.ones(25) / 25, mode="same")
    gain = np.interp(np.arange(len(speech)), np.linspace(0, len(speech), len(level)), level)
    return np.asarray(np.tanh(music * gain + speech * 0.9), np.float32)


def write_wav(path: Path, stereo: Stereo) -> None:
    """Write a 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((stereo.T.clip(-1, 1) * 32_000).astype("<i2").tobytes())


def _seconds(length: int) -> Mono:
    return np.arange(length, dtype=np.float32) / np.float32(RATE)


def _add_chords(dry: Stereo, score: Score) -> None:
    beat_s = 60 / score.tempo_bpm
    bar_s = beat_s * score.beats_per_chord
    for bar in range(int(dry.shape[1] / RATE / bar_s) + 1):
        chord, start_s = score.chords[bar % len(score.chords)], bar * bar_s
        for n, step in enumerate(chord):
            side = (n / max(1, len(chord) - 1) - 0.5) * 0.8
            for detune in (-0.06, 0.06):
                note = _swell(score.root + 12 + step + detune, bar_s) * score.pad * 0.16
                _add(dry, note, start_s, side + detune * 4)
        _add(dry, _pluck("bass", score.root - 12 + chord[0], bar_s * 1.2) * 0.25, start_s, 0)
        for beat in range(score.beats_per_chord * 2 if score.pulse else 0):
            note = _pluck("string", score.root + chord[beat % len(chord)], 0.5) * score.pulse
            _add(dry, note * (0.3 if beat % 2 else 0.45), start_s + beat * beat_s / 2, 0.3 if beat % 2 else -0.3)


def _add_melody(dry: Stereo, score: Score, rng: np.random.Generator) -> None:
    """Walk through the scale in half beats; strong beats take notes of the chord, phrases end with rests."""
    half_s, at = 30 / score.tempo_bpm, 4
    for step in range(int(dry.shape[1] / RATE / half_s)):
        chord = score.chords[step // (score.beats_per_chord * 2) % len(score.chords)]
        rest = step % (score.beats_per_chord * 4) >= score.beats_per_chord * 4 - 3
        if rest or rng.random() > score.density * (1.25 if step % 2 == 0 else 0.6):
            continue
        at = int(np.clip(at + rng.integers(-2, 3), 0, 2 * len(score.scale) - 1))
        octave, degree = divmod(at, len(score.scale))
        semitones = score.scale[degree] + 12 * octave
        if step % 4 == 0:
            semitones = min((c + 12 * o for c in chord for o in range(3)), key=lambda s: abs(s - semitones))
        note = _pluck(score.pluck, score.root + 12 + semitones, 3) * float(rng.uniform(0.22, 0.36))
        _add(dry, note, step * half_s + float(rng.normal(0, 0.006)), float(rng.uniform(-0.5, 0.5)))


def _pluck(voice: str, note: float, seconds: float) -> Mono:
    mellow, bright, slow_s, fast_s = _VOICES[voice]
    t = _seconds(round(seconds * RATE))
    tone = _tone(mellow, note, len(t)) * np.exp(-t / slow_s) + _tone(bright, note, len(t)) * np.exp(-t / fast_s)
    return np.asarray(tone * np.minimum(1, t / 0.004) * np.minimum(1, (seconds - t) / 0.1))


def _swell(note: float, bar_s: float) -> Mono:
    """Return a note that rises during a bar and fades into the next one."""
    t = _seconds(round((bar_s + 1.4) * RATE))
    level: Mono = np.minimum(np.minimum(1, t / (bar_s * 0.3)), np.minimum(1, (bar_s + 1.4 - t) / 1.6))
    return np.asarray(_tone(_PAD, note, len(t)) * np.sin(level * np.pi / 2) ** 2)


def _tone(partials: Sequence[float], note: float, length: int) -> Mono:
    """Return a steady tone, read from a table of one period: many partials cost as much as one."""
    table = sum((np.sin(_PHASES * (n + 1)) * gain for n, gain in enumerate(partials) if gain), np.zeros_like(_PHASES))
    step = 440 * 2 ** ((note - 69) / 12) / RATE * _TABLE
    return np.asarray(table[(np.arange(length, dtype=np.float64) * step).astype(np.int64) & (_TABLE - 1)])


def _add(dry: Stereo, note: Mono, start_s: float, side: float) -> None:
    start = max(0, round(start_s * RATE))
    end = max(start, min(dry.shape[1], start + len(note)))
    for ear, level in enumerate((np.cos((side + 1) * np.pi / 4), np.sin((side + 1) * np.pi / 4))):
        dry[ear, start:end] += note[: end - start] * np.float32(level)


def _reverberate(dry: Stereo, reverb_s: float, rng: np.random.Generator) -> Stereo:
    """Add echoes: fading noise, a different one for each ear."""
    t, wet = _seconds(round(reverb_s * RATE)), np.empty_like(dry)
    size = 1 << (dry.shape[1] + len(t) - 1).bit_length()
    for ear in range(2):
        burst = rng.standard_normal(len(t), np.float32) * np.exp(-t * (4.6 / reverb_s)) * np.minimum(1, t / 0.02)
        echoes = np.convolve(burst, np.ones(6, np.float32) / 6, mode="same")
        sound = np.fft.irfft(np.fft.rfft(dry[ear], size) * np.fft.rfft(echoes, size), size)[: dry.shape[1]]
        wet[ear] = sound / max(float(np.sqrt(np.sum(echoes**2))), 1e-6)
    return np.asarray(dry + wet * np.float32(0.5))


def _weather(kind: str, length: int, rng: np.random.Generator) -> Stereo:
    """Return noise of one colour that swells and ebbs."""
    (slope, swell_hz), ears = _WEATHER[kind], []
    size = 1 << (min(length, RATE * 8) - 1).bit_length()
    spectrum = np.arange(1, size // 2 + 2, dtype=np.float32) ** (-slope * 0.7)
    for ear in range(2):
        loop = np.fft.irfft(spectrum * np.exp(1j * rng.uniform(0, 2 * np.pi, len(spectrum))), size)
        swell = 0.6 + 0.4 * np.sin(2 * np.pi * swell_hz * _seconds(length) + ear * 0.6 - 1.2) if swell_hz else 1
        ears.append(np.resize(loop / (np.abs(loop).max() + 1e-9), length) * swell)
    return np.stack(ears).astype(np.float32)
