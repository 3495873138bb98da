"""A pier, a lighthouse, the tide: black and white, on a film stock with weave, flicker and dust."""

from __future__ import annotations

from math import sin

import numpy as np
from PIL import Image, ImageDraw

from matinee.lab.demo.canvas import Frame, Point, Size
from matinee.lab.demo.load import load
from matinee.lab.demo.scene import Frames
from matinee.lab.demo.shapes import Shape, drawing, line, polygon
from matinee.lab.demo.textures import noise, tint

_SECONDS, _HORIZON = 24, 400


def _animate(size: Size) -> Frames:
    """Animate clouds that drift, and two sheets of water that slide over each other, bright where both are high."""
    horizon, width = size.px(_HORIZON), size.width
    depth = size.height - horizon
    clouds = noise(width + size.px(9 * _SECONDS) + 2, horizon, 21, cell=240 * size.k, octaves=6, stretch=2.4) - 0.45
    sky = (np.linspace(60, 196, horizon, dtype=np.float32)[:, None] + clouds * 150).clip(20, 235)
    near, far = (noise(width + size.px(700), depth, seed, cell=26 * size.k, octaves=4, stretch=7) for seed in (3, 9))
    shade = np.linspace(135, 41, depth, dtype=np.float32)[:, None]
    luma = np.empty((size.height, width), np.uint8)

    def animate(index: int) -> Frame:
        t, frame = index / 24, Frame(size)
        drift, left, right = (size.px(x) for x in (9 * t, 20 * t, 480 - 15 * t))
        water = near[:, left : left + width] + far[:, right : right + width] - 1
        luma[:horizon] = sky[:, drift : drift + width] + 3 * sin(index * 2.3) + 2 * sin(index * 0.9)
        luma[horizon:] = (shade + water * 70 + (water - 0.16).clip(0, 0.3) * 420).clip(18, 232)
        frame.y = Image.fromarray(luma)
        return frame

    return animate


def _project(depth: float, side: float, height: float) -> Point:
    """Return a point of the pier in perspective, from the left foreground to near the horizon."""
    near = 1 / (0.16 + depth)
    return 720 - 175 * near + side * 34 * near, 112 + (46 - height * 26) * near


def _pier() -> list[Shape]:
    shapes = []
    for n in range(26, -1, -1):
        depth, tone = n * 0.13, (round(20 + 34 * n / 26),) * 3
        for side in (-1, 1):
            foot, head = _project(depth, side, -3.6), _project(depth, side, 1.25 if n % 2 == 0 else 0)
            shapes.append(line(tone, 5 / (0.16 + depth), foot, head))
        plank = [_project(depth + far, side, 0) for far, side in ((0, -1), (0, 1), (0.11, 1), (0.11, -1))]
        shapes.append(polygon(tone, *plank))
    return shapes + [line("#1e1e1e", 3, *(_project(d * 0.05, side, 1.15) for d in range(68))) for side in (-1, 1)]


def _beam(size: Size) -> Image.Image:
    across = np.linspace(-1, 1, size.px(700), dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, size.px(60), dtype=np.float32)[:, None]
    return tint("#f5f5f5", np.exp(-((down / (0.12 + 0.5 * abs(across))) ** 2)) * (1 - abs(across)) ** 1.6 * 150)


def _add_dust(frame: Frame, index: int) -> None:
    """Add a few specks and hairs, others in each frame."""
    rng, pen = np.random.default_rng(index), ImageDraw.Draw(frame.y)
    width, height = frame.size
    for _ in range(int(rng.integers(0, 4))):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.8, 2.4) * frame.size.k
        pen.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.choice([30, 225])))
    if index % 34 < 4:
        x = width * (0.31 + 0.4 * (index // 34 % 2)) + rng.uniform(-2, 2)
        pen.line((x, 0, x + 3, height), fill=200, width=1)


def _turn(t: float, _: int) -> Point | None:
    """Return the place of the beam, which is seen while the lamp turns this way."""
    return (1010 - 330 * sin(t * 1.15), 262) if sin(t * 1.15) > 0 else None


SCENE = load(
    "salt-and-silver",
    animation=_animate,
    effect=_add_dust,
    beam=_beam,
    turn=_turn,
    pier=drawing(1280, 420, _pier()),
)
