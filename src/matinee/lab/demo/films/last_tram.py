"""The last tram home: a city at night passes a wet window."""

from __future__ import annotations

from collections.abc import Iterator
from math import sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from matinee.lab.demo.canvas import Point, Size
from matinee.lab.demo.load import load
from matinee.lab.demo.shapes import Shape, box, drawing
from matinee.lab.demo.textures import typeface

_SECONDS = 22
_LOOP = 2560
_LIT = ("#ffcf87", "#ffb765", "#f7e3b0", "#9fc4d8", "#ff9a6b")
_SIGNS = (
    ("KINO", "#ff3d63", 300, 320),
    ("BAR LUNA", "#35d6c9", 980, 300),
    ("HOTEL", "#ffb03a", 1560, 320),
    ("24 H", "#7d8bff", 2160, 360),
)
_WALLS = ("#0d0f1f", "#12132a", "#160f22")


def _skyline() -> Iterator[Shape]:
    rng, x = np.random.default_rng(7), 0.0
    while x < _LOOP:
        width, top = rng.uniform(40, 120), rng.uniform(60, 230)
        yield box("#171a33", x, top, x + width, 420)
        for _ in range(int(width / 7)):
            left, upper = x + rng.uniform(3, width - 5), rng.uniform(top + 6, 380)
            yield box(f"{rng.choice(_LIT)}96", left, upper, left + 3, upper + 4)
        x += width + rng.uniform(-8, 14)


def _facades() -> Iterator[Shape]:
    rng, x = np.random.default_rng(11), 0.0
    while x < _LOOP - 60:
        width, top = min(rng.uniform(190, 330), _LOOP - x), rng.uniform(40, 240)
        yield box(str(rng.choice(_WALLS)), x, top, x + width, 620)
        for upper in np.arange(top + 24, 430, 58):
            for left in np.arange(x + 18, x + width - 30, 46):
                if rng.random() < 0.42:
                    colour = f"{rng.choice(_LIT)}{int(rng.uniform(120, 235)):02x}"
                    yield box(colour, left, upper, left + 24, upper + 34)
        yield box("#ffcd8ccd", x + 10, 476, x + width - 14, 566)
        x += width + (0 if rng.random() < 0.6 else rng.uniform(30, 90))


def _street(size: Size) -> Image.Image:
    """Return the near façades with their neon signs, smeared by the speed."""
    street = drawing(_LOOP, 620, _facades())(size)
    for text, colour, x, y in _SIGNS:
        street.alpha_composite(_neon(text, colour, size), (size.px(x), size.px(y)))
    return street.filter(ImageFilter.BoxBlur((size.k * 4, 0)))


def _neon(text: str, colour: str, size: Size) -> Image.Image:
    face, at = typeface("bebas-neue", 400, 118 * size.k), (size.px(40), size.px(34))
    sign = Image.new("RGBA", (round(face.getlength(text)) + size.px(80), size.px(190)), f"{colour}00")
    ImageDraw.Draw(sign).text(at, text, font=face, fill=colour)
    halo = sign.filter(ImageFilter.GaussianBlur(15 * size.k))
    for _ in range(2):
        halo.alpha_composite(sign.filter(ImageFilter.GaussianBlur(5 * size.k)))
    ImageDraw.Draw(halo).text(at, text, font=face, fill="#fff0ebeb")
    return halo


def _distance(t: float) -> float:
    """Return how far the tram has gone: it starts, runs, and brakes towards the end."""
    start, brake = min(1.0, t / _SECONDS / 0.12), min(1.0, max(0.0, (t / _SECONDS - 0.86) / 0.14))
    return t * 24 * (0.55 + 0.45 * start) * (1 - 0.08 * brake * brake)


def _run(t: float, n: int, x: float, y: float, speed: float) -> Point:
    """Return the place of a drop on the glass: most stay, some run back and down in jerks."""
    if speed <= 0.8:
        return x, y
    moved = 24 * t * (0.7 + 2 * speed) + 40 * sin(1.2 * t + n)
    return (x - moved * 0.8) % 1240, 30 + (y + moved) % 590


SCENE = load(
    "last-tram",
    skyline=drawing(_LOOP, 420, _skyline()),
    street=_street,
    distance=_distance,
    run=_run,
)
