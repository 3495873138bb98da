"""A dive to where the light stops: marine snow, jellyfish, and a fish with a lantern of its own."""

from __future__ import annotations

from math import pi, sin

import numpy as np
from PIL import Image, ImageFilter

from matinee.lab.demo.canvas import Art, Point, Size
from matinee.lab.demo.motion import ease
from matinee.lab.demo.scene import Scene, Sprite, scatter
from matinee.lab.demo.shapes import Shape, arc, disc, drawing, line, oval, polygon, sector
from matinee.lab.demo.textures import glow, gradient, tint

_PHASES = 12
_WATER = ((0, "#1b6d86"), (0.12, "#0f4866"), (0.3, "#0a2a48"), (0.55, "#061529"), (0.8, "#030914"), (1, "#010409"))
# Each jellyfish: x, depth in units, size, colour, phase of its beat.
_JELLIES: list[tuple[float, float, float, str, float]] = [
    (250, 900, 1.0, "#78d6ff", 0.0),
    (860, 1180, 1.5, "#ff8cc4", 0.4),
    (520, 1500, 0.8, "#96ffd6", 0.7),
    (1040, 1720, 0.7, "#78d6ff", 0.2),
]
_ROD = [(120 - 118 * n / 20, 92 - 74 * sin(n / 20 * pi * 0.82)) for n in range(21)]
_ANGLER = [
    line("#345c60", 3, *_ROD),
    oval("#0d1a24", 70, 72, 300, 228),
    polygon("#0b161f", (276, 150), (372, 92), (350, 150), (374, 214)),
    polygon("#0b161f", (150, 86), (206, 50), (232, 86)),
    polygon("#020509", (74, 150), (156, 158), (88, 196), (66, 180)),
    *(polygon("#b8e2d6eb", (x, 143 + x / 11), (x + 4, 170), (x + 8, 144 + x / 11)) for x in range(76, 153, 11)),
    *(
        polygon("#96c8bedc", (x, 206 - x / 4.6), (x + 4, 179 - x / 11), (x + 8, 205 - x / 4.3))
        for x in range(76, 153, 11)
    ),
    oval("#96ebd6", 112, 108, 132, 128),
    oval("#020609", 117, 113, 127, 123),
    arc("#40807e", 2.4, 150, 262, (70, 72), (300, 228)),
    disc("#e2fff4", _ROD[-1][0] + 8, _ROD[-1][1], 9),
]


def _depth(t: float) -> float:
    return 2280 * ease(t / 24)


def _shafts(size: Size) -> Image.Image:
    """Return sunlight that falls in slanted curtains."""
    x, y = np.meshgrid(np.arange(size.px(1360)) / size.k, np.arange(size.px(760)) / size.k)
    slant = x - y * 0.34
    light = np.sin(slant / 47) * 0.5 + np.sin(slant / 21 + 1.3) * 0.3 + np.sin(slant / 91 + 0.4) * 0.6
    return tint("#b0e8e2", (light.clip(0, 1.4) / 1.4) ** 1.6 * np.exp(-y / 290) * 108)


def _jelly(phase: float, zoom: float, colour: str) -> Art:
    """Return a jellyfish at one point of its beat."""
    squeeze = sin(phase * 2 * pi)
    wide, high = 78 - 15 * squeeze, 88 + 16 * squeeze
    body = []
    for inset, alpha in ((0, "36"), (13, "3e"), (26, "54")):
        corner = (120 - wide + inset, 114 - high + inset * 0.9)
        body.append(sector(colour + alpha, 180, 360, corner, (120 + wide - inset, 114 + high * 0.55 - inset * 0.5)))
    rim = arc(colour + "d2", 2.2, 180, 360, (120 - wide, 114 - high), (120 + wide, 114 + high * 0.55))
    shapes = [*(_arm(n, phase, wide, colour) for n in range(9)), *body, rim]
    art = drawing(240, 400, shapes, ground=colour + "00", zoom=zoom)

    def paint(size: Size) -> Image.Image:
        image = art(size)
        halo = image.filter(ImageFilter.GaussianBlur(11 * size.k * zoom))
        halo.alpha_composite(image)
        return halo

    return paint


def _arm(n: int, phase: float, wide: float, colour: str) -> Shape:
    """Return an arm of a jellyfish; it follows the beat late."""
    root, step, late = 120 + (n - 4) / 4 * wide * 0.8, 9 + n % 3 * 1.6, phase * 2 * pi - 0.9
    sways = [(7 + j * 0.5) * sin(late - j * 0.34 + n * 0.6) - (n - 4) * j * 0.25 for j in range(24)]
    points = [(root + sway, 112 + j * step) for j, sway in enumerate(sways)]
    return line(f"{colour}{74 + 22 * (n % 3):02x}", 1.4 + n % 2, *points)


def _swim(t: float, n: int, x: float, y: float, *_: object) -> Point | None:
    top = y - _depth(t) * (0.62 + 0.1 * n) - 15.6 * t + 10 * sin(t + n)
    return (x + 18 * sin(t * 0.4 + n * 2), top) if -600 < top < 720 else None


def _sink(t: float, n: int, x: float, y: float, near: float) -> Point:
    return (x + 12 * sin(t * 0.6 + n)) % 1320 - 20, (y - _depth(t) * near * 0.8 + 16 * t * near) % 800 - 40


def _flash(t: float, n: int, x: float, y: float, when: float) -> Point | None:
    """Return the place of a small animal that shines for a moment; there are more of them in the deep."""
    if _depth(t) < 300 + n * 38 or (t + when) % 6 >= 1.6:
        return None
    return x + 20 * sin(t + n), (y - _depth(t) * 0.5) % 760 - 20


SCENE = Scene(
    sprites=[
        Sprite(gradient(_WATER, height=3000), lambda t, _: (0, -_depth(t))),
        Sprite(_shafts, lambda t, _: (14 * sin(t * 0.5) - 40, -_depth(t) * 0.9), end_s=10),
        Sprite(
            [glow(r, "#cfe6ea", strength=s, power=1.2) for r, s in ((2, 0.5), (3, 0.6), (5, 0.34))],
            _sink,
            rows=scatter(2, 110, (0, 1320), (0, 800), (0.35, 1.2)),
        ),
        Sprite(
            [_jelly(phase / _PHASES, zoom, colour) for _, _, zoom, colour, _ in _JELLIES for phase in range(_PHASES)],
            _swim,
            rows=_JELLIES,
            pick=lambda t, n, *jelly: n * _PHASES + int((t * 0.55 + jelly[-1]) % 1 * _PHASES),
        ),
        Sprite(
            [glow(radius, colour, strength=0.95) for radius, colour in ((7, "#5df2ff"), (10, "#7dffcf"))],
            _flash,
            rows=scatter(8, 46, (20, 1250), (0, 760), (0, 6)),
        ),
        Sprite(
            [glow(190, "#9dffe0", strength=0.62, power=3.2), drawing(380, 260, _ANGLER)],
            lambda t, _, x, y: (1330 - 96 * (t - 15) + 10 * sin(t) + x, 330 + 20 * sin(t * 0.8) + y),
            rows=[(-202, -184), (0, -30)],
        ),
    ]
)
