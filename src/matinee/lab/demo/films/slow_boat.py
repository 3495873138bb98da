"""A small boat goes north past mountains while the sun goes down: flat colours in parallax."""

from __future__ import annotations

from math import pi, sin

import numpy as np
from PIL import Image

from matinee.lab.demo.canvas import Art, Size, to_image
from matinee.lab.demo.scene import Scene, Sprite
from matinee.lab.demo.shapes import disc, drawing, line, oval, polygon
from matinee.lab.demo.textures import glow, gradient, ridge

_HORIZON = 430
_SKY = ((0, "#27344f"), (0.22, "#5a5878"), (0.42, "#c9787a"), (0.56, "#f2a877"), (0.62, "#f9d19b"), (1, "#f9d19b"))
_WATER = ((0, "#f0b183"), (0.12, "#b9788a"), (0.5, "#56507a"), (1, "#262b4c"))
_WAVES = ("#8e6a8a", "#6b5a86", "#4f4c7b", "#383d69", "#242a4d")
_BOAT = [
    polygon("#f6e3c5", (146, 18), (146, 196), (42, 196)),
    polygon("#e0b58f", (146, 18), (146, 196), (112, 196), (132, 90)),
    polygon("#d9534a", (158, 44), (246, 196), (158, 196)),
    polygon("#b53f41", (158, 44), (182, 196), (158, 196)),
    line("#2d2238", 5, (152, 6), (152, 214)),
    polygon("#2d2238", (20, 208), (276, 208), (246, 254), (62, 254)),
    polygon("#f6e3c5", (24, 214), (272, 214), (269, 220), (28, 220)),
    oval("#2d2238", 196, 182, 212, 198),
    polygon("#2d2238", (192, 210), (198, 196), (212, 196), (217, 210)),
]


def _mountains(colour: str, seed: int, base: float, swing: float) -> Art:
    heights = ridge(2280, seed, base=base, swing=swing, rough=0.42, cell=360)
    outline = [(x, 230 - max(4.0, height)) for x, height in enumerate(heights)]
    return drawing(2280, 232, [polygon(colour, (0, 240), *outline, (2280, 240))])


def _waves(first: int, end: int) -> Sprite:
    """Return waves, from far to near, that repeat every 160 units."""
    art = []
    for n in range(first, end):
        crest = [(x, 16 + (3 + 1.9 * n) * sin(x / 80 * pi) + 2 * sin(x / 40 * pi + n)) for x in range(0, 1462, 2)]
        art.append(drawing(1460, 300, [polygon(_WAVES[n], (0, 300), *crest, (1462, 300))]))
    return Sprite(
        art,
        lambda t, _, n: (-((30 + 34 * n) * t % 160), 438 + 18 * n + 9 * n * n + 4 * sin(t * 1.7 + n * 1.3)),
        rows=[(n,) for n in range(first, end)],
    )


def _sea(size: Size) -> Image.Image:
    """Return the water with the reflection of the sun."""
    pixels = np.asarray(gradient(*_WATER, height=720 - _HORIZON)(size)).astype(np.float32)
    rng = np.random.default_rng(4)
    for _ in range(150):
        depth = rng.random() ** 1.6
        y, half = int(depth * len(pixels)), (26 + 90 * depth) * size.k * rng.random()
        x, thick = (820 + rng.normal(0, 22 + 60 * depth)) * size.k, max(1, size.px(1 + 3 * depth))
        pixels[y : y + thick, int(x - half) : int(x + half)] += np.array([46, 34, 14])
    return to_image(pixels)


def _bird(wing: float) -> Art:
    return drawing(44, 26, [line("#3d3350", 2.4, (2, 13 + wing), (14, 11), (22, 15), (30, 11), (42, 13 + wing))])


SCENE = Scene(
    gradient(*_SKY),
    [
        Sprite(glow(330, "#ffdfa6", strength=0.55), lambda t, _: (490, 5.2 * t - 94)),
        Sprite(drawing(132, 132, [disc("#fff1cf", 66, 66, 65)]), lambda t, _: (754, 170 + 5.2 * t)),
        Sprite(_mountains("#b87680", 5, 96, 74), lambda t, _: (-12 * t, _HORIZON - 230)),
        Sprite(_mountains("#8f6179", 8, 66, 62), lambda t, _: (-24 * t, _HORIZON - 230)),
        Sprite(_mountains("#5d4a68", 13, 34, 46), lambda t, _: (-48 * t, _HORIZON - 230)),
        Sprite(
            [_bird(wing) for wing in (-9, -2, 6, -2)],
            lambda t, n: (60 + 46 * t + n * 58 - n % 2 * 24, 150 + 26 * sin(n * 2.1) + 8 * sin(t * 0.9 + n)),
            count=5,
            pick=lambda t, n: int(t * 6 + n * 1.7),
        ),
        Sprite(_sea, lambda t, _: (0, _HORIZON)),
        _waves(0, 3),
        Sprite(drawing(300, 290, _BOAT), lambda t, _: (372 + 5 * t, 318 + 7 * sin(t * 1.5))),
        _waves(3, 5),
    ],
)
