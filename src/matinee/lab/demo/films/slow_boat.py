"""A small boat goes north past mountains while the sun goes down: flat colours in parallax, drawn on twos."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from matinee.lab.demo.canvas import Layer, Size, Stage, drawn, glow, gradient, hexed, layer, ridge

SECONDS = 20
HELD = 2
_HORIZON = 430
_SKY = [(0.0, "#27344f"), (0.22, "#5a5878"), (0.42, "#c9787a"), (0.56, "#f2a877"), (0.62, "#f9d19b"), (1.0, "#f9d19b")]
# Ranges from far to near: colour, seed, height, swing, units moved a second.
_RANGES = [("#b87680", 5, 96, 74, 12), ("#8f6179", 8, 66, 62, 24), ("#5d4a68", 13, 34, 46, 48)]


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    ranges = [(_range(size, *row[:4]), row[4]) for row in _RANGES]
    backdrop = layer(_backdrop(size))
    sun, halo = drawn(132, 132, _disc("#fff1cf"), size), glow(330, "#ffdfa6", size, strength=0.55)
    sea, waves = _sea(size), [_waves(size, n) for n in range(5)]
    boat, birds = drawn(300, 290, _boat, size), [drawn(44, 26, _bird(wing), size) for wing in (-9, -2, 6, -2)]
    k = size.k

    def frame(index: int) -> Stage:
        t = index / 24
        stage = Stage(size, backdrop)
        sun_y = 236 + 5.2 * t
        stage.put(halo, k * (820 - 330), k * (sun_y - 330))
        stage.put(sun, k * (820 - 66), k * (sun_y - 66))
        for picture, speed in ranges:
            stage.put(picture, -k * speed * t, k * (_HORIZON - 230))
        _fly(stage, birds, t)
        stage.put(sea, 0, k * _HORIZON)
        for n, picture in enumerate(waves):
            if n == 3:
                stage.put(boat, k * (372 + 5 * t), k * (318 + 7 * math.sin(t * 1.5)))
            drift = -(k * (30 + 34 * n) * t % (k * 160))
            stage.put(picture, drift, k * (_HORIZON + 8 + 18 * n + n * n * 9 + 4 * math.sin(t * 1.7 + n * 1.3)))
        return stage

    return frame


def _backdrop(size: Size) -> Image.Image:
    return gradient(size, _SKY)


def _range(size: Size, colour: str, seed: int, base: float, swing: float) -> Layer:
    width = 1280 + SECONDS * 48 + 40
    line = ridge(width, seed, base=base, swing=swing, rough=0.42, cell=360)

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        outline = [(x * scale, (230 - max(4.0, h)) * scale) for x, h in enumerate(line)]
        pen.polygon([(0, 240 * scale), *outline, (width * scale, 240 * scale)], fill=hexed(colour))

    return drawn(width, 232, paint, size)


def _disc(colour: str) -> Callable[[ImageDraw.ImageDraw, float], None]:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        pen.ellipse((scale, scale, 130 * scale, 130 * scale), fill=hexed(colour))

    return paint


def _sea(size: Size) -> Layer:
    picture = gradient(
        Size(size.width, size.height - size.px(_HORIZON)),
        [(0, "#f0b183"), (0.12, "#b9788a"), (0.5, "#56507a"), (1, "#262b4c")],
    )
    pixels = np.asarray(picture).astype(np.float32)
    random = np.random.default_rng(4)
    for _ in range(150):  # the sun's road on the water
        depth = random.random() ** 1.6
        y, half = int(depth * pixels.shape[0]), (26 + 90 * depth) * size.k * random.random()
        x = (820 + random.normal(0, 22 + 60 * depth)) * size.k
        thick = max(1, size.px(1 + 3 * depth))
        pixels[y : y + thick, int(x - half) : int(x + half)] += np.array([46, 34, 14])
    return layer(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


def _waves(size: Size, n: int) -> Layer:
    colour = ("#8e6a8a", "#6b5a86", "#4f4c7b", "#383d69", "#242a4d")[n]
    length = 160.0

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        crest = [
            (
                x * scale,
                (16 + (3 + 1.9 * n) * math.sin(x / length * 2 * math.pi) + 2 * math.sin(x / length * 4 * math.pi + n))
                * scale,
            )
            for x in range(0, 1462, 2)
        ]
        pen.polygon([(0, 300 * scale), *crest, (1462 * scale, 300 * scale)], fill=hexed(colour))

    return drawn(1460, 300, paint, size)


def _boat(pen: ImageDraw.ImageDraw, scale: float) -> None:
    def shape(colour: str, *points: tuple[float, float]) -> None:
        pen.polygon([(x * scale, y * scale) for x, y in points], fill=hexed(colour))

    shape("#f6e3c5", (146, 18), (146, 196), (42, 196))
    shape("#e0b58f", (146, 18), (146, 196), (112, 196), (132, 90))
    shape("#d9534a", (158, 44), (246, 196), (158, 196))
    shape("#b53f41", (158, 44), (182, 196), (158, 196))
    pen.line((152 * scale, 6 * scale, 152 * scale, 214 * scale), fill=hexed("#2d2238"), width=round(5 * scale))
    shape("#2d2238", (20, 208), (276, 208), (246, 254), (62, 254))
    shape("#f6e3c5", (24, 214), (272, 214), (269, 220), (28, 220))
    pen.ellipse((196 * scale, 182 * scale, 212 * scale, 198 * scale), fill=hexed("#2d2238"))
    shape("#2d2238", (192, 210), (198, 196), (212, 196), (217, 210))


def _bird(wing: float) -> Callable[[ImageDraw.ImageDraw, float], None]:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        points = [(2, 13 + wing), (14, 11), (22, 15), (30, 11), (42, 13 + wing)]
        pen.line(
            [(x * scale, y * scale) for x, y in points], fill=hexed("#3d3350"), width=round(2.4 * scale), joint="curve"
        )

    return paint


def _fly(stage: Stage, birds: list[Layer], t: float) -> None:
    k = stage.size.k
    for n in range(5):
        x = 60 + 46 * t + n * 58 - (n % 2) * 24
        y = 150 + 26 * math.sin(n * 2.1) + 8 * math.sin(t * 0.9 + n)
        stage.put(birds[int(t * 6 + n * 1.7) % 4], k * x, k * y)
