"""How the artwork of the demo titles is composed."""

from __future__ import annotations

from matinee.lab.demo.reel import Look

SLOW_BOAT = Look(
    poster_s=9,
    card_s=12,
    backdrop_s=15,
    focus=0.32,
    font="fraunces",
    at="top",
    ink="#fff1cf",
    shade="#1b2440",
    scrim=0.5,
    by="Maren Holt",
)
PAPER_GARDEN = Look(
    poster_s=19,
    card_s=19,
    backdrop_s=15,
    focus=0.2,
    font="fraunces",
    weight=800,
    at="top",
    ink="#b03a2e",
    shade="#f9e6c8",
    scrim=0.5,
    by="Yuki & Tom Brandt",
)
LAST_TRAM = Look(
    poster_s=10,
    card_s=10,
    backdrop_s=13,
    focus=0.62,
    font="bebas-neue",
    at="top",
    capitals=True,
    tracking=0.02,
    ink="#ffd9a0",
    shade="#05060d",
    scrim=0.9,
    by="Adèle Marchetti",
)
LIGHT_STOPS = Look(
    poster_s=12.2,
    card_s=19.5,
    backdrop_s=14,
    focus=0.96,
    font="jost",
    weight=300,
    tracking=0.03,
    ink="#d8f6ff",
    shade="#01040a",
    scrim=0.8,
    by="Naoko Ishii",
)
SALT_AND_SILVER = Look(
    poster_s=9,
    card_s=13,
    backdrop_s=16,
    focus=0.0,
    font="cormorant-italic",
    weight=600,
    at="top",
    ink="#f4f1ea",
    shade="#0c0c0c",
    scrim=0.72,
    by="Conrad Lind",
)
RAIN = Look(
    poster_s=4,
    card_s=8,
    backdrop_s=6,
    focus=0.92,
    font="syne",
    weight=700,
    at="top",
    ink="#fff5df",
    shade="#20323c",
    scrim=0.5,
    by="Edda Quist",
)
ONE_STREET = Look(
    poster_s=19.5,
    card_s=22,
    backdrop_s=24,
    focus=0.33,
    font="fraunces",
    weight=500,
    ink="#ffe9c4",
    shade="#15111d",
    scrim=1.3,
    by="Lena Okafor",
)
LETTERS = Look(
    poster_s=18.6,
    card_s=18,
    backdrop_s=19,
    focus=0.7,
    font="space-mono",
    ink="#f3e7cf",
    shade="#1d1a22",
    scrim=1.7,
    by="Paul Amsel",
)
SNOW = Look(poster_s=6, card_s=9, backdrop_s=9)
WAVES = Look(
    poster_s=5,
    card_s=5.6,
    backdrop_s=21,
    focus=0.75,
    font="jost",
    weight=700,
    ink="#fff4dc",
    shade="#0b1026",
    scrim=1.25,
    by="Ada Moreau",
)
SMALL_CITIES = Look(
    poster_s=15,
    card_s=15,
    backdrop_s=18,
    focus=0.62,
    font="syne",
    weight=800,
    ink="#ffe3a8",
    shade="#050a14",
    scrim=0.85,
    by="Ivo Castellan",
)
FOG = Look(poster_s=6, card_s=7, backdrop_s=9)
