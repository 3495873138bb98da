"""A dive to where the light stops: sunlight under water, jellyfish, and small animals that shine for a moment."""

from __future__ import annotations

from math import pi, sin

import numpy as np
from PIL import Image

from matinee.lab.demo.canvas import Art, Point, Size
from matinee.lab.demo.load import load
from matinee.lab.demo.motion import ease
from matinee.lab.demo.shapes import Shape, arc, drawing, halo, line, sector
from matinee.lab.demo.textures import tint

_PHASES = 12


def _shafts(size: Size) -> Image.Image:
    """Return sunlight that falls in slanted curtains."""
    x, y = np.meshgrid(np.arange(size.px(1360)) / size.k, np.arange(size.px(760)) / size.k)
    slant = x - y * 0.34
    light = np.sin(slant / 47) * 0.5 + np.sin(slant / 21 + 1.3) * 0.3 + np.sin(slant / 91 + 0.4) * 0.6
    return tint("#b0e8e2", (light.clip(0, 1.4) / 1.4) ** 1.6 * np.exp(-y / 290) * 108)


def _jelly(zoom: float, colour: str) -> list[Art]:
    """Return the pictures of a jellyfish during a beat."""
    return [_jelly_at(n / _PHASES * 2 * pi, zoom, colour) for n in range(_PHASES)]


def _jelly_at(phase: float, zoom: float, colour: str) -> Art:
    wide, high = 78 - 15 * sin(phase), 88 + 16 * sin(phase)
    body = []
    for inset, alpha in ((0, "36"), (13, "3e"), (26, "54")):
        corner = (120 - wide + inset, 114 - high + inset * 0.9)
        body.append(sector(colour + alpha, 180, 360, corner, (120 + wide - inset, 114 + high * 0.55 - inset * 0.5)))
    rim = arc(colour + "d2", 2.2, 180, 360, (120 - wide, 114 - high), (120 + wide, 114 + high * 0.55))
    shapes = [*(_arm(n, phase, wide, colour) for n in range(9)), *body, rim]
    return halo(drawing(240, 400, shapes, ground=colour + "00", zoom=zoom), 11 * zoom)


def _arm(n: int, phase: float, wide: float, colour: str) -> Shape:
    """Return an arm of a jellyfish; it follows the beat late."""
    root, step = 120 + (n - 4) / 4 * wide * 0.8, 9 + n % 3 * 1.6
    sways = [(7 + j * 0.5) * sin(phase - 0.9 - j * 0.34 + n * 0.6) - (n - 4) * j * 0.25 for j in range(24)]
    points = [(root + sway, 112 + j * step) for j, sway in enumerate(sways)]
    return line(f"{colour}{74 + 22 * (n % 3):02x}", 1.4 + n % 2, *points)


def _flash(t: float, n: int, x: float, y: float, when: float) -> Point | None:
    """Return the place of a small animal that shines for a moment; there are more of them in the deep."""
    depth = 2280 * ease(t / 24)
    if depth < 300 + n * 38 or (t + when) % 6 >= 1.6:
        return None
    return x + 20 * sin(t + n), (y - depth * 0.5) % 760 - 20


SCENE = load("light-stops", shafts=_shafts, jelly=_jelly, flash=_flash)
