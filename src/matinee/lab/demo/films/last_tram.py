"""The last tram home: a city at night passes a wet window."""

from __future__ import annotations

from collections.abc import Iterator
from math import sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from matinee.lab.demo.canvas import Art, Point, Size
from matinee.lab.demo.scene import Scene, Sprite, scatter
from matinee.lab.demo.shapes import Shape, box, drawing, oval, polygon
from matinee.lab.demo.textures import glow, gradient, typeface

_SECONDS = 22
_LOOP = 2560
_INK = "#07070c"
_LIT = ("#ffcf87", "#ffb765", "#f7e3b0", "#9fc4d8", "#ff9a6b")
_WALLS = ("#0d0f1f", "#12132a", "#160f22")
_SIGNS = (("KINO", "#ff3d63", 300), ("BAR LUNA", "#35d6c9", 980), ("HOTEL", "#ffb03a", 1560), ("24 H", "#7d8bff", 2160))
_SHOULDERS = ((830, 640), (842, 560), (886, 520), (940, 500), (1096, 504), (1170, 532), (1214, 640))
_NECK = ((940, 500), (962, 470), (940, 440), (1098, 450), (1080, 478), (1096, 504))
_WINDOW = [
    box(_INK, 0, 0, 1280, 720),
    box("#00000000", 46, 34, 1234, 622, 46),
    box("#2c2834", 0, 640, 1280, 648),
    polygon(_INK, *_SHOULDERS),
    polygon(_INK, *_NECK),
    oval(_INK, 934, 308, 1108, 492),
    polygon(_INK, (936, 392), (914, 424), (930, 434), (944, 470)),
]


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
    for text, colour, x in _SIGNS:
        street.alpha_composite(_neon(text, colour, size), (size.px(x), size.px(300 + x % 70)))
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


def _lamp(t: float, n: int, above: float = 140) -> Point:
    return 1540 - (_distance(t) * 34 + n * 520) % 2600, 250 - above + 14 * (n % 3)


def _drop(radius: float, alpha: int) -> Art:
    edge = 2 * radius
    body = oval(f"#101224{alpha:02x}", 0, 0, edge, edge * 1.25)
    shine = oval(f"#d6c4be{alpha // 2:02x}", edge * 0.16, edge * 0.5, edge * 0.84, edge * 1.18)
    spot = oval(f"#fffaf0{alpha:02x}", edge * 0.24, edge * 0.14, edge * 0.46, edge * 0.36)
    return drawing(edge, edge * 1.3, [body, shine, spot], blur=0.5)


def _run(t: float, n: int, x: float, y: float, speed: float) -> Point:
    """Return the place of a drop on the glass: most stay, some run back and down in jerks."""
    if speed <= 0.8:
        return x, y
    moved = 24 * t * (0.7 + 2 * speed) + 40 * sin(1.2 * t + n)
    return (x - moved * 0.8) % 1240, 30 + (y + moved) % 590


SCENE = Scene(
    gradient([(0, "#0a0f22"), (0.5, "#1c2140"), (0.72, "#43304c"), (1, "#0b0a14")]),
    [
        Sprite(drawing(_LOOP, 420, _skyline()), lambda t, n: (n * _LOOP - 3 * _distance(t) % _LOOP, 180), count=2),
        Sprite(_street, lambda t, n: (n * _LOOP - 13 * _distance(t) % _LOOP, 60), count=2),
        Sprite(drawing(320, 20, [box("#ffe2b0d2", 30, 6, 290, 14, 4)], blur=2.2), lambda t, n: _lamp(t, n, 0), count=5),
        Sprite(glow(150, "#ffc27a", strength=0.8, power=2.6), _lamp, count=5),
        Sprite(
            drawing(250, 720, [box("#04050ae1", 60, 0, 190, 720)], smear=26),
            lambda t, _: (2600 - _distance(t) * 82 % 5200, 0),
        ),
        Sprite(
            [_drop(radius, alpha) for radius, alpha in ((3, 150), (4.5, 170), (6.5, 190))],
            _run,
            rows=scatter(5, 130, (40, 1240), (30, 620), (0, 1)),
        ),
        Sprite(drawing(1280, 720, _WINDOW, blur=0.8)),
    ],
)
