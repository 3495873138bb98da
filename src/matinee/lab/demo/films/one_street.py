"""One street, one evening: a slow walk past houses whose windows light up, go dark, and have people in them."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np

from matinee.lab.demo.canvas import Art, Point
from matinee.lab.demo.load import load
from matinee.lab.demo.scene import Sprite
from matinee.lab.demo.shapes import Shape, box, drawing, line, mix, oval, polygon

_PACE = 48  # units per second: two per frame, so that the pan is smooth
_LENGTH = 1280 + 26 * _PACE
_GROUND = 600
_SHADOW, _STUCCO = "#141220", "#fff0dc"
_WALLS = ("#7b4b4a", "#54616b", "#8a6a4f", "#4f5a52", "#6d5168", "#9a7658", "#5a4e60")
_LIGHTS, _SHOP_LIGHTS = ("#ffd58a", "#ffc670", "#f9e2ad", "#ffd58a", "#a9c9e8"), ("#ffdf9e", "#f7e8c8", "#cfe6e0")


class _House(NamedTuple):
    x: float
    width: float
    floors: int
    wall: str

    @property
    def top(self) -> float:
        return _GROUND - 116 - self.floors * 102

    def windows(self) -> list[Point]:
        """Return the places of its windows."""
        columns = int(self.width // 74)
        lefts = [self.x + self.width / columns * (column + 0.5) - 20 for column in range(columns)]
        return [(left, self.top + 26 + floor * 102) for floor in range(self.floors) for left in lefts]


def _build_houses() -> Iterator[_House]:
    rng, x, n = np.random.default_rng(23), -20.0, 0
    while x < _LENGTH:
        width, floors = float(rng.choice([210, 250, 290])), int(rng.choice([2, 3, 4, 4]))
        yield _House(x, width, floors, _WALLS[n % len(_WALLS)])
        x, n = x + width, n + 1


def _draw_facade(house: _House) -> Iterator[Shape]:
    x, top, right, wall = house.x, house.top, house.x + house.width, house.wall
    yield box(wall, x, top, right, _GROUND)
    if house.floors % 2:
        yield polygon(mix(wall, _SHADOW, 0.55), (x - 8, top), ((x + right) / 2, top - 66), (right + 8, top))
    else:
        yield box(mix(wall, _SHADOW, 0.4), x - 6, top - 14, right + 6, top)
    yield box(mix(wall, _SHADOW, 0.62), right - 75, top - 92, right - 53, top - 6)
    yield box(mix(wall, _STUCCO, 0.25), x, _GROUND - 108, right, _GROUND - 102)
    yield box(mix(wall, "#0c0a14", 0.72), x + 22, _GROUND - 88, x + 64, _GROUND)
    yield box("#1d1b2b", x + 92, _GROUND - 82, right - 22, _GROUND - 22)
    for left, upper in house.windows():
        yield box(mix(wall, _STUCCO, 0.3), left - 4, upper - 4, left + 44, upper + 66)
        yield box("#232338", left, upper, left + 40, upper + 62)
        yield box("#34324d", left, upper, left + 40, upper + 20)
        yield box(mix(wall, _STUCCO, 0.42), left - 7, upper + 64, left + 47, upper + 70)


def _draw_street() -> Iterator[Shape]:
    for house in _HOUSES:
        yield from _draw_facade(house)
    yield box("#2b2735", 0, _GROUND, _LENGTH, 720)
    yield box("#4a4250", 0, _GROUND, _LENGTH, _GROUND + 36)
    for x in range(0, _LENGTH, 70):
        yield line("#3d3644", 2, (x, _GROUND), (x - 16, _GROUND + 36))
    for x in range(0, _LENGTH, 190):
        yield box("#8d8294", x, 676, x + 90, 682)


def _draw_pane(colour: str, width: float, height: float, contents: str) -> Art:
    """Return a lit window: light, what is in it, and the bars."""
    ink, step = mix(colour, "#341e28", 0.8), height / 8
    light = [box(mix(colour, "#7a3e28", row * 0.0525), 0, row * step, width, (row + 1) * step) for row in range(8)]
    bars = [box(ink, width / 2 - 1, 0, width / 2 + 1, height), box(ink, 0, 20, width, 22)]
    inside = {
        "person": [oval(ink, 13, 20, 27, 36), box(ink, 7, 36, 33, 80, 8), *bars],
        "curtains": [*(box(mix(colour, "#963c3c", 0.5), x, 0, x + 11, height) for x in (0, width - 11)), *bars],
        "plant": [box(ink, 16, 46, 24, 62), oval(mix(colour, "#285a3c", 0.75), 8, 22, 32, 50), *bars],
        "shop": [box(ink, x - 1, 0, x + 1, height) for x in (width / 2, width / 2 + 48)],
        "": bars,
    }
    return drawing(width, height, light + inside[contents])


def _list_windows() -> Iterator[tuple[Art, tuple[float, float, float, float]]]:
    """Yield windows with their places and when they are lit: some all evening, some late, some early, some never."""
    rng = np.random.default_rng(29)
    for house in _HOUSES:
        shop = _draw_pane(str(rng.choice(_SHOP_LIGHTS)), house.width - 114, 60, "shop")
        yield shop, (house.x + 92, _GROUND - 82, 0, float(rng.uniform(12, 60)))
        for x, y in house.windows():
            on_s, off_s = ((0, 99), (rng.uniform(1, 22), 99), (0, rng.uniform(3, 24)), (99, 99))[
                np.searchsorted((0.3, 0.55, 0.68), rng.random())
            ]
            contents = str(rng.choice(["person", "curtains", "plant", "", "", ""]))
            yield _draw_pane(str(rng.choice(_LIGHTS)), 40, 62, contents), (x, y, float(on_s), float(off_s))


def _lit(t: float, _: int, x: float, y: float, on_s: float, off_s: float) -> Point | None:
    return (x - _PACE * t, y) if on_s <= t < off_s and -200 < x - _PACE * t < 1290 else None


def _draw_branch(foot: Point, angle: float, length: float, width: float, rng: np.random.Generator) -> Iterator[Shape]:
    tip = (foot[0] + length * cos(angle), foot[1] + length * sin(angle))
    yield line("#0d0b14", width, foot, tip)
    for side in (-1, 1) if length > 14 else ():
        turn, shorter = float(rng.uniform(0.2, 0.62)), float(rng.uniform(0.66, 0.82))
        yield from _draw_branch(tip, angle + side * turn, length * shorter, width * 0.66, rng)


def _draw_walker(phase: float) -> Art:
    """Return somebody in a long coat and a hat, at one point of a stride."""
    ink, swing, lift = "#15131f", sin(phase * 2 * pi), 2.5 * abs(cos(phase * 2 * pi))
    shapes = [line(ink, 8, (45, 108), (45 + side * 17 * swing, 160 + lift)) for side in (-1, 1)]
    shapes += [
        line(ink, 6, (45 + side * 17 * swing, 160 + lift), (54 + side * 17 * swing, 161 + lift)) for side in (-1, 1)
    ]
    shapes += [
        polygon(ink, (33, 48), (57, 48), (63 + 4 * swing, 124), (27 + 4 * swing, 124)),
        line("#2a2536", 7, (50, 56), (54 - 12 * swing, 98)),
        polygon("#c8503f", (36, 44), (60, 46), (58, 54), (35, 54)),
        oval(ink, 37, 22, 57, 46),
        polygon(ink, (30, 28), (64, 28), (57, 24), (55, 12), (39, 12), (37, 24)),
    ]
    return drawing(90, 170, [shape._replace(points=tuple((x, y - lift) for x, y in shape.points)) for shape in shapes])


_HOUSES = list(_build_houses())
_WINDOWS = list(_list_windows())
_TREE = _draw_branch((180, 575), -pi / 2, 150, 17, np.random.default_rng(3))
SCENE = load(
    "one-street",
    street=drawing(_LENGTH, 720, _draw_street()),
    windows=[Sprite([pane for pane, _ in _WINDOWS], _lit, rows=[row for _, row in _WINDOWS])],
    walker=[_draw_walker(n / 8) for n in range(8)],
    tree=drawing(360, 575, _TREE),
)
