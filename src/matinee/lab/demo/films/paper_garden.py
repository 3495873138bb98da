"""A garden of cut paper, animated by hand: each picture is photographed anew, and nothing lies quite still."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageFilter

from matinee.lab.demo.canvas import Art, Point, Size, to_image
from matinee.lab.demo.motion import overshoot
from matinee.lab.demo.scene import Scene, Sprite
from matinee.lab.demo.shapes import Shape, box, disc, drawing, line, oval, polygon
from matinee.lab.demo.textures import add_texture, gradient, noise

_SIZES = 7
_SKY = gradient([(0, "#f4d9b8"), (0.6, "#f6e6cc"), (1, "#efd3b0")])


def _around(share: float, x: float, y: float, radius: float, turn: float = 0) -> Point:
    """Return a point on a circle."""
    return x + radius * cos(share * 2 * pi + turn), y + radius * sin(share * 2 * pi + turn)


_RAYS = [[_around(n / 16, 105, 105, r, turn) for r, turn in ((104, 0), (76, -0.14), (76, 0.14))] for n in range(16)]
_SUN = [*(polygon("#f2a33a", *ray) for ray in _RAYS), disc("#f6c453", 105, 105, 74)]
_PUFFS = ((60, 72, 34), (112, 56, 46), (170, 70, 38), (205, 84, 24))
_CLOUD = [line("#b79f86", 2, (120, 0), (120, 40)), *(disc("#fffaf0", *puff) for puff in _PUFFS)]
_SNAIL = [
    box("#d9a066", 8, 66, 118, 84, 9),
    oval("#d9a066", 6, 48, 34, 80),
    *(line("#d9a066", 3, (x, 52), (x - 5, 34)) for x in (14, 24)),
    *(disc(("#a63d40", "#e9b872")[n % 2], 72 + n * 2, 42 + n * 2, r) for n, r in enumerate((36, 26, 16, 7))),
]
_STEM = [
    line("#2f5d46", 9, (75, 300), (75, 90)),
    polygon("#3f7d5a", (75, 210), (105, 180), (133, 184), (109, 206)),
    polygon("#3f7d5a", (75, 250), (45, 220), (17, 224), (41, 246)),
]
_CUP = ((30, 40), (52, 70), (75, 24), (98, 70), (120, 40), (116, 110), (96, 140), (54, 140), (34, 110))


def _flower(petal: str, heart: str, count: int) -> list[Shape]:
    petals = [disc(petal, *_around(n / count, 75, 76, 42), 25) for n in range(count)]
    return [*_STEM, *petals, disc(heart, 75, 76, 26)]


def _blade(n: int) -> Shape:
    angle, length = (n - 4) * 0.3 - pi / 2, 250 - 22 * abs(n - 4)
    tip = (75 + length * 0.32 * cos(angle), 300 + length * sin(angle))
    side = (75 + length * 0.26 * cos(angle + 0.35), 300 + length * 0.5 * sin(angle))
    return polygon(("#2f5d46", "#3f7d5a", "#6aa376")[n % 3], (70, 300), tip, side, (82, 300))


_PLANTS = (
    _flower("#e4572e", "#f6c453", 8),
    [*_STEM, polygon("#d8477b", *_CUP)],
    [_blade(n) for n in range(9)],
    _flower("#fff4e0", "#e8a33d", 11),
    [*_STEM, polygon("#5b5ea6", *_CUP)],
)


def _hill(colour: str, n: int) -> Shape:
    top = [(x, 60 + 38 * sin(x / 210 + n * 1.9) + 14 * sin(x / 70 + n)) for x in range(0, 1401, 14)]
    return polygon(colour, (0, 330), *top, (1400, 330))


def _bird(wing_tip: Point) -> list[Shape]:
    return [
        oval("#2f4b7c", 22, 38, 92, 74),
        oval("#2f4b7c", 76, 30, 104, 58),
        polygon("#f2a33a", (102, 40), (119, 46), (102, 51)),
        polygon("#5b7fb5", (38, 50), wing_tip, (74, 52)),
        polygon("#5b7fb5", (28, 54), (0, 44), (4, 64)),
        oval("#fffaf0", 90, 38, 95, 43),
    ]


def _paper(width: float, height: float, shapes: Sequence[Shape], zoom: float = 1) -> Art:
    """Return shapes cut out of paper: with a grain, and a soft shadow on what lies below."""
    art = drawing(width, height, shapes, zoom=zoom)

    def paint(size: Size) -> Image.Image:
        image, margin = art(size), size.px(14)
        alpha = Image.new("L", (image.width + 2 * margin, image.height + 2 * margin))
        alpha.paste(image.getchannel("A"), (margin + size.px(5), margin + size.px(8)))
        sheet = Image.new("RGBA", alpha.size, (30, 24, 40, 0))
        sheet.putalpha(alpha.filter(ImageFilter.GaussianBlur(6 * size.k)).point([round(n * 0.42) for n in range(256)]))
        pixels = np.asarray(image).astype(np.float32)
        pixels[:, :, :3] += (noise(*image.size, image.width, cell=7, octaves=2) - 0.5)[:, :, None] * 16
        sheet.alpha_composite(to_image(pixels), (margin, margin))
        return sheet

    return paint


def _shake(t: float, which: int, x: float, y: float) -> Point:
    """Move a piece as a hand does between two photographs."""
    dx, dy = np.random.default_rng(round(t * 8) * 131 + which).normal(0, 0.9, 2).tolist()
    return x + dx, y + dy


def _plant(n: int) -> Sprite:
    """Return one of 21 plants that grow from a bud; nearer rows are taller and later."""
    rng, (column, row) = np.random.default_rng(n), divmod(n, 3)
    zoom = (150 + 60 * row + rng.uniform(-24, 40)) / 300
    x, y = 90 + column * 178 + row * 52 + rng.uniform(-26, 26), 560 + 66 * row
    return Sprite(
        [_paper(150, 300, _PLANTS[(2 * n + row) % 5], zoom * step / (_SIZES - 1)) for step in range(1, _SIZES + 1)],
        lambda t, _: _shake(t, 40 + n, x + 3 * sin(t * 1.4 + n), y),
        pick=lambda t, _: max(0, round(overshoot(t / 1.5) * (_SIZES - 2))),
        anchor=(0.5, 1),
        start_s=2.4 + row * 1.4 + float(rng.uniform(0, 5)),
    )


def _row(n: int, colour: str) -> list[Sprite]:
    """Return a hill and the plants on it."""
    hill = Sprite(
        _paper(1400, 330, [_hill(colour, n)]),
        lambda t, _: _shake(t, 5 + n, -60, 760 - (360 - 84 * n) * overshoot((t - 0.3 * n) / 1.3)),
    )
    return [hill, *(_plant(m) for m in range(n, 21, 3))]


def _drop_cloud(t: float, n: int) -> Point:
    y = 190 * overshoot((t - 1.4 - 0.4 * n) / 1.2) - 130 + 34 * (n % 2)
    return _shake(t, 1 + n, 60 + 470 * n + 9 * t * (1 + n * 0.4), y)


SCENE = Scene(
    add_texture(_SKY, 13, seed=6, cell=12, octaves=3),
    [
        Sprite(_paper(210, 210, _SUN), lambda t, _: _shake(t, 0, 930, 400 - 320 * overshoot((t - 0.4) / 2.4))),
        Sprite(_paper(240, 110, _CLOUD), _drop_cloud, count=3),
        *_row(0, "#7fa98a"),
        *_row(1, "#5d8c70"),
        *_row(2, "#3f6f5a"),
        Sprite(
            [_paper(120, 90, _bird(tip)) for tip in ((34, 88), (34, 4))],
            lambda t, _: _shake(t, 20, 190 * t - 160, 190 + 46 * sin(t * 1.3)),
            pick=lambda t, _: int(t * 4),
            start_s=11,
        ),
        Sprite(_paper(130, 90, _SNAIL), lambda t, _: _shake(t, 21, 1300 - 30 * t - 8 * sin(t * 3), 596)),
    ],
)
