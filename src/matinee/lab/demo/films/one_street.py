"""One street, one evening: a slow walk past deployments whose windows are lit, go dark, and have people in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from matinee.lab.demo.canvas import Layer, Size, Stage, between, drawing, drawn, glow, gradient, hexed, layer, noise

SECONDS = 26
HELD = 1
_STEP = 2  # units a frame: a whole number, so that the pan is smooth
_LENGTH = 1280 + SECONDS * 24 * _STEP
_GROUND = 600
_WALLS = ("#7b4b4a", "#54616b", "#8a6a4f", "#4f5a52", "#6d5168", "#9a7658", "#5a4e60")


class _Window(NamedTuple):
    """Where it is, when it is lit (seconds), and who stands in it (0 nobody)."""

    x: float
    y: float
    width: float
    height: float
    on_s: float
    off_s: float
    colour: str
    somebody: int


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    windows: list[_Window] = []
    street = layer(_street(size, windows))
    sky = layer(gradient(size, [(0, "#1d2340"), (0.45, "#47416a"), (0.75, "#a8677a"), (1, "#e39a7b")]))
    panes = {n: _pane(size, window) for n, window in enumerate(windows)}
    lamp, halo = drawn(70, 330, _lamp, size), glow(170, "#ffcf8a", size, strength=0.5, power=2.4)
    walker = [drawn(90, 170, _walker(step / 8), size) for step in range(8)]
    tree, moon = layer(_tree(size)), glow(60, "#fff3d6", size, strength=0.9, power=0.55)

    def frame(index: int) -> Stage:
        t, k, moved = index / 24, size.k, index * _STEP
        stage = Stage(size, sky)
        stage.put(moon, k * (930 - 0.2 * moved), k * 60)
        stage.put(street, -k * moved, 0)
        for n, window in enumerate(windows):
            if window.on_s <= t < window.off_s and -80 < window.x - moved < 1290:
                stage.put(panes[n], k * (window.x - moved), k * window.y)
        x = 560 + 34 * math.sin(t * 0.12)
        stage.put(walker[int(t * 11) % 8], k * x, k * 472)
        for n in range(7):
            at = 210 + n * 470 - moved * 1.25
            if -340 < at < 1300:
                stage.put(halo, k * (at - 140), k * 190)
                stage.put(lamp, k * at, k * 330)
        for n in range(4):
            stage.put(tree, k * (760 + n * 980 - moved * 1.7), k * 150)
        return stage

    return frame


def _street(size: Size, windows: list[_Window]) -> Image.Image:
    """The deployments with dark windows; tells where those are."""
    random = np.random.default_rng(23)

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        windows.clear()
        x, n = -20.0, 0
        while x < _LENGTH:
            width, floors = float(random.choice([210, 250, 290])), int(random.integers(2, 5))
            _house(pen, scale, (x, width, floors, hexed(_WALLS[n % len(_WALLS)])), windows, random)
            x, n = x + width, n + 1
        pen.rectangle((0, _GROUND * scale, _LENGTH * scale, 720 * scale), fill=hexed("#2b2735"))
        pen.rectangle((0, _GROUND * scale, _LENGTH * scale, (_GROUND + 36) * scale), fill=hexed("#4a4250"))
        for curb in range(0, _LENGTH, 70):
            pen.line(
                (curb * scale, _GROUND * scale, (curb - 16) * scale, (_GROUND + 36) * scale),
                fill=hexed("#3d3644"),
                width=round(2 * scale),
            )
        for dash in range(0, _LENGTH, 190):
            pen.rectangle((dash * scale, 676 * scale, (dash + 90) * scale, 682 * scale), fill=hexed("#8d8294"))

    image = drawing(_LENGTH, 720, paint, size)
    plaster = (noise(image.width, image.height, 4, cell=30 * size.k, octaves=3) - 0.5) * 17
    pixels = np.asarray(image).astype(np.int16)
    pixels[:, :, :3] += plaster.astype(np.int16)[:, :, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _house(
    pen: ImageDraw.ImageDraw,
    scale: float,
    deployment: tuple[float, float, int, tuple[int, int, int]],
    windows: list[_Window],
    random: np.random.Generator,
) -> None:
    x, width, floors, wall = deployment
    top = _GROUND - 116 - floors * 102

    def box(left: float, upper: float, right: float, lower: float, colour: tuple[int, int, int]) -> None:
        pen.rectangle((left * scale, upper * scale, right * scale, lower * scale), fill=colour)

    box(x, top, x + width, _GROUND, wall)
    if random.random() < 0.5:
        roof = [(x - 8, top), (x + width / 2, top - 66), (x + width + 8, top)]
        pen.polygon([(px * scale, py * scale) for px, py in roof], fill=between(wall, (20, 18, 32), 0.55))
    else:
        box(x - 6, top - 14, x + width + 6, top, between(wall, (20, 18, 32), 0.4))
    box(x + width * 0.7, top - 92, x + width * 0.7 + 22, top - 6, between(wall, (20, 18, 32), 0.62))
    box(x, _GROUND - 108, x + width, _GROUND - 102, between(wall, (255, 240, 220), 0.25))
    columns = int(width // 74)
    gap = width / columns
    for floor in range(floors):
        for column in range(columns):
            wx, wy = x + gap * column + gap / 2 - 20, top + 26 + floor * 102
            _dark_window(box, wx, wy, wall)
            windows.append(_lit(wx, wy, 40, 62, random))
    box(x + 22, _GROUND - 88, x + 64, _GROUND, between(wall, (12, 10, 20), 0.72))
    box(x + 92, _GROUND - 82, x + width - 22, _GROUND - 22, hexed("#1d1b2b"))
    windows.append(
        _Window(
            x + 92,
            _GROUND - 82,
            width - 114,
            60,
            0,
            random.uniform(12, 60),
            str(random.choice(["#ffdf9e", "#f7e8c8", "#cfe6e0"])),
            0,
        )
    )


def _dark_window(box: Callable[..., None], x: float, y: float, wall: tuple[int, int, int]) -> None:
    box(x - 4, y - 4, x + 44, y + 66, between(wall, (255, 240, 220), 0.3))
    box(x, y, x + 40, y + 62, hexed("#232338"))
    box(x, y, x + 40, y + 20, hexed("#34324d"))
    box(x - 7, y + 64, x + 47, y + 70, between(wall, (255, 240, 220), 0.42))


def _lit(x: float, y: float, width: float, height: float, random: np.random.Generator) -> _Window:
    """When the people in it are at home: some all evening, some come, some go to bed."""
    kind = random.random()
    on_s, off_s = (0.0, 99.0) if kind < 0.3 else (random.uniform(1, 22), 99.0) if kind < 0.55 else (99.0, 99.0)
    if 0.55 <= kind < 0.68:
        on_s, off_s = 0.0, random.uniform(3, 24)
    colour = str(random.choice(["#ffd58a", "#ffc670", "#f9e2ad", "#a9c9e8"], p=[0.4, 0.3, 0.22, 0.08]))
    return _Window(x, y, width, height, on_s, off_s, colour, int(random.integers(0, 6)))


def _pane(size: Size, window: _Window) -> Layer:
    """A lit window: light, curtains or somebody, and the bars."""
    colour, width, height = hexed(window.colour), window.width, window.height

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        for row in range(8):
            shade = between(colour, (122, 62, 40), row / 8 * 0.42)
            pen.rectangle((0, row * height / 8 * scale, width * scale, (row + 1) * height / 8 * scale), fill=shade)
        ink = between(colour, (52, 30, 40), 0.8)
        if window.somebody == 1:
            pen.ellipse((13 * scale, 20 * scale, 27 * scale, 36 * scale), fill=ink)
            pen.rounded_rectangle((7 * scale, 36 * scale, 33 * scale, 80 * scale), 8 * scale, fill=ink)
        elif window.somebody == 2:
            for x in (0, width - 11):
                pen.rectangle(
                    (x * scale, 0, (x + 11) * scale, height * scale), fill=between(colour, (150, 60, 60), 0.5)
                )
        elif window.somebody == 3:
            pen.rectangle((16 * scale, 46 * scale, 24 * scale, 62 * scale), fill=ink)
            pen.ellipse((8 * scale, 22 * scale, 32 * scale, 50 * scale), fill=between(colour, (40, 90, 60), 0.75))
        for bar in np.arange(width / 2, width, max(40.0, width / 3)) if width > 50 else [width / 2]:
            pen.rectangle(((bar - 1) * scale, 0, (bar + 1) * scale, height * scale), fill=ink)
        if width <= 50:
            pen.rectangle((0, 20 * scale, width * scale, 22 * scale), fill=ink)

    return drawn(width, height, paint, size)


def _lamp(pen: ImageDraw.ImageDraw, scale: float) -> None:
    ink = hexed("#14121d")
    pen.rectangle((31 * scale, 30 * scale, 37 * scale, 330 * scale), fill=ink)
    pen.polygon([(x * scale, y * scale) for x, y in ((22, 36), (46, 36), (40, 4), (28, 4))], fill=hexed("#ffe3ac"))
    pen.polygon([(x * scale, y * scale) for x, y in ((18, 8), (34, -4), (50, 8))], fill=ink)
    pen.rectangle((20 * scale, 34 * scale, 48 * scale, 38 * scale), fill=ink)
    pen.rectangle((24 * scale, 300 * scale, 44 * scale, 330 * scale), fill=ink)


def _tree(size: Size) -> Image.Image:
    random = np.random.default_rng(3)

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        ink = (13, 11, 20, 255)

        def branch(x: float, y: float, angle: float, length: float, width: float) -> None:
            tip = (x + length * math.cos(angle), y + length * math.sin(angle))
            pen.line(
                (x * scale, y * scale, tip[0] * scale, tip[1] * scale), fill=ink, width=max(1, round(width * scale))
            )
            if length > 14:
                for side in (-1, 1):
                    branch(
                        *tip,
                        angle + side * random.uniform(0.2, 0.62),
                        length * random.uniform(0.66, 0.82),
                        width * 0.66,
                    )

        branch(180, 575, -math.pi / 2, 150, 17)

    return drawing(360, 575, paint, size)


def _walker(step: float) -> Callable[[ImageDraw.ImageDraw, float], None]:
    """Somebody with a long coat, a hat and a dog's patience, at one point of a stride."""
    swing = math.sin(step * 2 * math.pi)

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        ink, lift = hexed("#15131f"), 2.5 * abs(math.cos(step * 2 * math.pi))

        def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
            return [(x * scale, (y - lift) * scale) for x, y in points]

        for side in (-1, 1):
            pen.line(at((45, 108), (45 + 17 * swing * side, 160 + lift)), fill=ink, width=round(8 * scale))
            pen.line(
                at((45 + 17 * swing * side, 160 + lift), (54 + 17 * swing * side, 161 + lift)),
                fill=ink,
                width=round(6 * scale),
            )
        pen.polygon(at((33, 48), (57, 48), (63 + 4 * swing, 124), (27 + 4 * swing, 124)), fill=ink)
        pen.line(at((50, 56), (54 - 12 * swing, 98)), fill=hexed("#2a2536"), width=round(7 * scale))
        pen.polygon(at((36, 44), (60, 46), (58, 54), (35, 54)), fill=hexed("#c8503f"))
        pen.ellipse((37 * scale, (22 - lift) * scale, 57 * scale, (46 - lift) * scale), fill=ink)
        pen.polygon(at((30, 28), (64, 28), (57, 24), (55, 12), (39, 12), (37, 24)), fill=ink)

    return paint
