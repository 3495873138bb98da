"""A garden of cut paper, animated by hand: each picture is photographed anew, and nothing lies quite still."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageFilter

from matinee.lab.demo.canvas import Art, Point, Size, to_image
from matinee.lab.demo.load import load
from matinee.lab.demo.motion import Axis, Sway, Trajectory, overshoot
from matinee.lab.demo.scene import Sprite
from matinee.lab.demo.shapes import Shape, disc, drawing, line, polygon
from matinee.lab.demo.textures import noise

_SIZES = 7


def _around(share: float, x: float, y: float, radius: float, turn: float = 0) -> Point:
    """Return a point on a circle."""
    return x + radius * cos(share * 2 * pi + turn), y + radius * sin(share * 2 * pi + turn)


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


def _plant(n: int) -> Sprite:
    """Return one of 21 plants that grow from a bud; nearer rows are taller and later."""
    rng, (column, row) = np.random.default_rng(n), divmod(n, 3)
    zoom = (150 + 60 * row + rng.uniform(-24, 40)) / 300
    x, y = 90 + column * 178 + row * 52 + rng.uniform(-26, 26), 560 + 66 * row
    return Sprite(
        [_paper(150, 300, _PLANTS[(2 * n + row) % 5], zoom * step / (_SIZES - 1)) for step in range(1, _SIZES + 1)],
        Trajectory(x=Axis(at=x, sways=(Sway(3, 1.4, phase=n),)), y=Axis(at=y), jitter=40 + n),
        pick=lambda t, _: max(0, round(overshoot(t / 1.5) * (_SIZES - 2))),
        anchor=(0.5, 1),
        start_s=2.4 + row * 1.4 + float(rng.uniform(0, 5)),
    )


SCENE = load(
    "paper-garden",
    paper=_paper,
    far=[_plant(n) for n in range(0, 21, 3)],
    middle=[_plant(n) for n in range(1, 21, 3)],
    near=[_plant(n) for n in range(2, 21, 3)],
)
