"""The music of the demo films."""

from __future__ import annotations

from matinee.lab.demo.sound import Score

SLOW_BOAT = Score(
    root=57,
    tempo_bpm=72,
    chords=[(0, 7, 12, 16), (-3, 4, 9, 14), (5, 9, 12, 16), (7, 11, 14, 17)],
    weather="sea",
    weather_gain=0.16,
)
PAPER_GARDEN = Score(
    root=60,
    tempo_bpm=104,
    chords=[(0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7), (-3, 0, 4), (5, 9, 12), (7, 11, 14), (0, 4, 7)],
    beats=4,
    density=0.85,
    pad=0.2,
    pulse=0.28,
    room_s=0.9,
    seed=4,
)
LAST_TRAM = Score(
    root=50,
    tempo_bpm=112,
    chords=[(0, 3, 7, 10), (-4, 0, 3, 7), (5, 8, 12, 15), (-2, 2, 5, 8)],
    scale=(0, 3, 5, 7, 10),
    pluck="piano",
    density=0.4,
    pulse=0.5,
    weather="city",
    weather_gain=0.2,
    seed=8,
)
LIGHT_STOPS = Score(
    root=45,
    tempo_bpm=52,
    chords=[(0, 7, 14, 15), (-4, 3, 10, 12), (-7, 0, 8, 15)],
    scale=(0, 2, 3, 7, 10),
    pluck="glass",
    density=0.34,
    pad=0.8,
    weather="wind",
    weather_gain=0.14,
    room_s=3.0,
    seed=5,
)
SALT_AND_SILVER = Score(
    root=52,
    tempo_bpm=60,
    chords=[(0, 3, 7), (-2, 2, 5), (-4, 0, 3), (-5, -1, 2)],
    scale=(0, 2, 3, 7, 8),
    pluck="piano",
    density=0.42,
    pad=0.3,
    weather="sea",
    weather_gain=0.3,
    room_s=2.4,
    seed=2,
)
RAIN = Score(
    root=55,
    tempo_bpm=84,
    chords=[(0, 3, 7, 10), (5, 8, 12), (-2, 2, 5, 9), (3, 7, 10)],
    scale=(0, 3, 5, 7, 10),
    pluck="piano",
    pad=0.25,
    weather="rain",
    weather_gain=0.18,
    seed=3,
)
ONE_STREET = Score(
    root=53,
    tempo_bpm=66,
    chords=[(0, 4, 7, 11), (-1, 2, 7, 11), (-3, 0, 4, 9), (-7, 0, 5, 9)],
    pluck="piano",
    density=0.5,
    pad=0.35,
    weather="city",
    weather_gain=0.1,
    seed=14,
)
LETTERS = Score(
    root=58,
    tempo_bpm=80,
    chords=[(0, 4, 7, 14), (-3, 0, 4, 11), (-7, 0, 5, 9), (-5, -1, 2, 9)],
    pluck="piano",
    density=0.55,
    pad=0.15,
    room_s=1.4,
    seed=6,
)
SNOW = Score(
    root=57,
    tempo_bpm=66,
    chords=[(0, 4, 7, 11), (2, 5, 9, 12), (-3, 0, 4, 7), (-5, -1, 2, 7)],
    pluck="bell",
    density=0.5,
    weather="wind",
    weather_gain=0.12,
    seed=9,
)
WAVES = Score(
    root=48,
    tempo_bpm=96,
    chords=[(0, 7, 12, 14), (-2, 5, 10, 14), (-4, 3, 10, 12), (-5, 2, 9, 12)],
    scale=(0, 2, 5, 7, 9),
    pluck="kalimba",
    density=0.9,
    pulse=0.2,
    seed=11,
)
SMALL_CITIES = Score(
    root=54,
    tempo_bpm=120,
    chords=[(0, 5, 7, 12), (3, 7, 10, 15), (-4, 3, 8, 12), (-2, 5, 10, 14)],
    scale=(0, 3, 5, 7, 10),
    pluck="bell",
    density=0.7,
    pad=0.5,
    pulse=0.2,
    seed=21,
)
FOG = Score(
    root=50,
    tempo_bpm=58,
    chords=[(0, 5, 9, 14), (-2, 5, 9, 12), (-5, 2, 7, 11), (-3, 4, 9, 12)],
    pluck="glass",
    density=0.4,
    pad=0.7,
    weather="wind",
    weather_gain=0.1,
    room_s=2.6,
    seed=13,
)
