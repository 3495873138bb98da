"""Music for the demo films, synthesised: chords, bass, a melody, and the weather, in a room."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Mono: TypeAlias = NDArray[np.float32]
RATE = 48_000
_TABLE = 4096
_TURN = np.arange(_TABLE + 1, dtype=np.float32) / _TABLE * 2 * np.pi


@dataclass(frozen=True, kw_only=True)
class Score:
    """A piece: `chords` in semitones above `root` (a MIDI note), each for `beats`; the melody walks on `scale`."""

    root: int
    tempo_bpm: float
    chords: Sequence[Sequence[int]]
    beats: int = 4
    scale: Sequence[int] = (0, 2, 4, 7, 9)
    pluck: str = "kalimba"
    density: float = 0.6
    pad: float = 0.5
    bass: float = 0.5
    pulse: float = 0.0
    weather: str = ""
    weather_gain: float = 0.2
    room_s: float = 1.8
    seed: int = 1


# Partials of each voice, and how fast the bright ones die away (seconds to 1/e).
_VOICES: dict[str, tuple[tuple[float, ...], tuple[float, ...], float, float]] = {
    "pad": ((1, 0.4, 0.22, 0.1, 0.05), (), 0, 0),
    "bass": ((1, 0.5, 0.12), (), 1.2, 0),
    "kalimba": ((1, 0, 0.05), (0, 0.5, 0, 0, 0.35, 0.2), 0.7, 0.12),
    "piano": ((1, 0.45, 0.2, 0.1), (0, 0.3, 0.4, 0.3, 0.25, 0.2, 0.1), 1.3, 0.3),
    "bell": ((1, 0.1), (0, 0, 0.4, 0, 0, 0.3, 0, 0, 0.2), 1.9, 0.6),
    "glass": ((1, 0, 0.2), (0, 0, 0, 0.3, 0, 0, 0.15), 2.6, 1.2),
    "string": ((1, 0.7, 0.5, 0.35, 0.25, 0.15), (0, 0.3, 0.4, 0.4, 0.4, 0.4, 0.3), 0.5, 0.15),
}
_WEATHER = {"sea": (1.1, 0.11), "rain": (0.25, 0.0), "wind": (1.5, 0.07), "room": (1.9, 0.0), "city": (1.3, 0.05)}


def compose(score: Score, seconds: float) -> NDArray[np.float32]:
    """The piece in stereo, as long as asked, faded at both ends; its peak is below 1."""
    length = round(seconds * RATE)
    random = np.random.default_rng(score.seed)
    dry = np.zeros((2, length + RATE), np.float32)
    _chords(dry, score)
    _melody(dry, score, random)
    music = _in_a_room(dry[:, :length], score.room_s, random)
    music *= 0.34 / max(float(np.sqrt(np.mean(music**2))) * 3.2, 1e-6)
    if score.weather:
        music += _weather(score.weather, length, random) * score.weather_gain
    return _faded(music, 1.2, 2.5)


def mixed(music: NDArray[np.float32], speech: Mono) -> NDArray[np.float32]:
    """Speech over music, which steps back while somebody speaks."""
    loud = np.abs(np.pad(speech, (0, -len(speech) % 960))).reshape(-1, 960).max(axis=1)
    hull = np.convolve(loud > 0.01, np.ones(25) / 25, mode="same")
    back = np.interp(np.arange(len(speech)), np.linspace(0, len(speech), len(hull)), 1 - 0.5 * hull).astype(np.float32)
    return np.tanh(music * back + speech * 0.9)


def write(path: Path, stereo: NDArray[np.float32]) -> None:
    """A 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((stereo.T.clip(-1, 1) * 32_000).astype("<i2").tobytes())


def _chords(dry: NDArray[np.float32], score: Score) -> None:
    beat_s = 60 / score.tempo_bpm
    bar_s = beat_s * score.beats
    for bar in range(int(dry.shape[1] / RATE / bar_s) + 1):
        chord, start_s = score.chords[bar % len(score.chords)], bar * bar_s
        for n, step in enumerate(chord):
            side = (n / max(1, len(chord) - 1) - 0.5) * 0.8
            for detune in (-0.06, 0.06):
                note = _held("pad", score.root + 12 + step + detune, bar_s + 1.4, attack_s=bar_s * 0.3, release_s=1.6)
                _add(dry, note * score.pad * 0.16, start_s, side + detune * 4)
        _add(dry, _struck("bass", score.root - 12 + chord[0], bar_s * 1.2) * score.bass * 0.5, start_s, 0)
        for beat in range(score.beats * 2 if score.pulse else 0):
            step = chord[beat % len(chord)]
            note = _struck("string", score.root + step, 0.5) * score.pulse * (0.3 if beat % 2 else 0.45)
            _add(dry, note, start_s + beat * beat_s / 2, 0.3 if beat % 2 else -0.3)


def _melody(dry: NDArray[np.float32], score: Score, random: np.random.Generator) -> None:
    """Half-beat steps through the scale around the chord; strong beats take chord notes, phrases leave air."""
    half_s = 30 / score.tempo_bpm
    at = 4
    for step in range(int(dry.shape[1] / RATE / half_s)):
        chord = score.chords[step // (score.beats * 2) % len(score.chords)]
        rest = step % (score.beats * 4) >= score.beats * 4 - 3
        if rest or random.random() > score.density * (1.25 if step % 2 == 0 else 0.6):
            continue
        at = int(np.clip(at + random.integers(-2, 3), 0, 2 * len(score.scale) - 1))
        octave, degree = divmod(at, len(score.scale))
        semitones = score.scale[degree] + 12 * octave
        if step % 4 == 0:
            semitones = min((c + 12 * o for c in chord for o in range(3)), key=lambda s: abs(s - semitones))
        note = _struck(score.pluck, score.root + 12 + semitones, 3) * float(random.uniform(0.22, 0.36))
        _add(dry, note, step * half_s + float(random.normal(0, 0.006)), float(random.uniform(-0.5, 0.5)))


def _struck(voice: str, note: float, seconds: float) -> Mono:
    mellow, bright, slow_s, fast_s = _VOICES[voice]
    t = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    tone = _cycle(mellow, note, len(t)) * np.exp(-t / slow_s)
    if bright:
        tone += _cycle(bright, note, len(t)) * np.exp(-t / fast_s)
    return tone * np.minimum(1, t / 0.004) * np.minimum(1, (seconds - t) / 0.1)


def _held(voice: str, note: float, seconds: float, *, attack_s: float, release_s: float) -> Mono:
    t = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    shape = np.minimum(np.minimum(1, t / attack_s), np.minimum(1, (seconds - t) / release_s))
    swell: Mono = np.sin(shape * np.pi / 2) ** 2
    return _cycle(_VOICES[voice][0], note, len(t)) * swell


def _cycle(partials: Sequence[float], note: float, length: int) -> Mono:
    """A steady tone read from a table of one turn: many partials for the price of one."""
    table = sum(np.sin(_TURN[:-1] * (n + 1)) * gain for n, gain in enumerate(partials) if gain)
    turns_a_sample = 440 * 2 ** ((note - 69) / 12) / RATE
    places = (np.arange(length, dtype=np.float64) * (turns_a_sample * _TABLE)).astype(np.int64) & (_TABLE - 1)
    tone: Mono = np.asarray(table, np.float32)[places]
    return tone


def _add(dry: NDArray[np.float32], note: Mono, start_s: float, side: float) -> None:
    start = max(0, round(start_s * RATE))
    end = min(dry.shape[1], start + len(note))
    if end > start:
        left, right = np.cos((side + 1) * np.pi / 4), np.sin((side + 1) * np.pi / 4)
        dry[0, start:end] += note[: end - start] * np.float32(left)
        dry[1, start:end] += note[: end - start] * np.float32(right)


def _in_a_room(dry: NDArray[np.float32], room_s: float, random: np.random.Generator) -> NDArray[np.float32]:
    """The sound and its echoes: noise that dies away, a different one for each ear."""
    t = np.arange(round(room_s * RATE), dtype=np.float32) / RATE
    wet = np.empty_like(dry)
    size = 1 << (dry.shape[1] + len(t) - 1).bit_length()
    for ear in range(2):
        burst = random.standard_normal(len(t), np.float32) * np.exp(-t * (4.6 / room_s)) * np.minimum(1, t / 0.02)
        echoes = np.convolve(burst, np.ones(6, np.float32) / 6, mode="same")
        sound = np.fft.irfft(np.fft.rfft(dry[ear], size) * np.fft.rfft(echoes, size), size)[: dry.shape[1]]
        wet[ear] = sound / max(float(np.sqrt(np.sum(echoes**2))), 1e-6)
    return dry + wet * np.float32(0.5)


def _weather(kind: str, length: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Noise of one colour that comes and goes."""
    colour, breath_hz = _WEATHER[kind]
    size = 1 << (min(length, RATE * 8) - 1).bit_length()
    spectrum = np.arange(1, size // 2 + 2, dtype=np.float32) ** (-colour / 2 * 1.4)
    ears = []
    for ear in range(2):
        phases = random.uniform(0, 2 * np.pi, len(spectrum))
        loop = np.fft.irfft(spectrum * np.exp(1j * phases), size).astype(np.float32)
        t = np.arange(length, dtype=np.float32) / RATE
        breath = 0.6 + 0.4 * np.sin(2 * np.pi * breath_hz * t + ear * 0.6 - 1.2) if breath_hz else np.float32(1)
        ears.append(np.resize(loop / (np.abs(loop).max() + 1e-9), length) * breath)
    return np.stack(ears).astype(np.float32)


def _faded(stereo: NDArray[np.float32], start_s: float, end_s: float) -> NDArray[np.float32]:
    t = np.arange(stereo.shape[1], dtype=np.float32) / RATE
    seconds = stereo.shape[1] / RATE
    faded: NDArray[np.float32] = np.tanh(stereo) * np.minimum(1, t / start_s) * np.minimum(1, (seconds - t) / end_s)
    return faded
