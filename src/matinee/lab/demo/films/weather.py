"""Weather reports: one valley, one house, and what falls from the sky that day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import sin
from typing import NamedTuple

import numpy as np
from PIL import Image

from matinee.lab.demo.canvas import Point, Size
from matinee.lab.demo.motion import Cycle
from matinee.lab.demo.scene import Scene, Sprite, scatter
from matinee.lab.demo.shapes import Colour, Shape, box, drawing, line, mix, polygon, ridge
from matinee.lab.demo.textures import glow, gradient, noise, tint

_SECONDS = 20
_WIDTH = 1280 + 22 * _SECONDS + 40
_INK = "#3a2b2e"


class _Day(NamedTuple):
    """The colours of a day: the sky from top to horizon, the hills from far to near, the shade of firs, a house."""

    sky: tuple[str, str, str]
    hills: tuple[str, str, str, str]
    firs: float
    wall: str
    roof: str
    lit: str


def _build_scene(day: _Day, fall: Callable[[int], Sprite], first: int = 0) -> Scene:
    """Return four hills with the weather between them, and a house behind the nearest."""
    light = drawing(230, 240, _draw_panes(day.lit + "96"), ground=day.lit + "00", blur=9)
    cottage = [Sprite(art, lambda t, _: (770, 382)) for art in (drawing(230, 240, _draw_house(day)), light)]
    sprites: list[Sprite] = []
    for n in range(4):
        sprites += [*([_SMOKE, *cottage] if n == 3 else []), _draw_hill(day, n), *([fall(n)] if n >= first else [])]
    top, middle, horizon = day.sky
    return Scene(gradient([(0, top), (0.4, middle), (0.66, horizon), (1, horizon)]), sprites)


def _draw_hill(day: _Day, n: int) -> Sprite:
    heights, colour = ridge(_WIDTH, 40 + n, base=60, swing=34 - 5 * n, rough=0.34, cell=520), day.hills[n]
    shapes = [polygon(colour, (0, 480), *((x, 110 - height) for x, height in enumerate(heights)), (_WIDTH, 480))]
    for x, height in scatter(n, (0, 46, 34, 16)[n], (20, _WIDTH - 20), (16, 26)):
        shapes += _draw_fir(mix("#000000", colour, day.firs), x, 114 - heights[int(x)], height * (0.5 + 0.62 * n))
    if n == 3:
        shapes += _draw_fence(mix(colour, "#18121a", 0.6), [196 - 0.7 * height for height in heights])
    return Sprite(drawing(_WIDTH, 480, shapes), lambda t, _: (-t * (2 + 5 * n) - 10, 262 + 82 * n))


def _draw_fir(colour: Colour, x: float, foot: float, height: float) -> Iterator[Shape]:
    for tier in range(3):
        base, wide = foot - height * 0.27 * tier, height * (0.34 - 0.08 * tier)
        yield polygon(colour, (x - wide, base), (x, base - height * 0.5), (x + wide, base))


def _draw_fence(colour: Colour, feet: list[float]) -> Iterator[Shape]:
    """Yield posts and two wires along the foot of the near field."""
    for x in range(30, _WIDTH - 130, 120):
        yield line(colour, 8, (x, feet[x]), (x + (x // 120 * 7) % 5 - 2, feet[x] - 58))
        for height in (22, 44):
            yield line(colour, 2.4, (x, feet[x] - height), (x + 120, feet[x + 120] - height))


def _draw_house(day: _Day) -> list[Shape]:
    return [
        box(day.wall, 40, 110, 180, 240),
        polygon(day.roof, (24, 116), (70, 40), (212, 40), (200, 116)),
        polygon(day.wall, (40, 116), (70, 62), (100, 116)),
        box(day.roof, 150, 14, 168, 60),
        box(_INK, 98, 176, 116, 240),
        *_draw_panes(day.lit),
        *(line(_INK, 3, (x, 140), (x, 176)) for x in (73, 141)),
        *(line(_INK, 3, (left, 158), (right, 158)) for left, right in ((58, 88), (122, 160))),
    ]


def _draw_panes(colour: str) -> list[Shape]:
    return [box(colour, 58, 140, 88, 176), box(colour, 122, 140, 160, 176)]


def _compute_rise(t: float, n: int) -> Point:
    """Return the place of a puff of smoke, which the wind takes more and more."""
    age = (t * 0.32 + n / 9) % 1
    return 929 + 90 * age**2 + 8 * sin(t * 1.3 + n * 2), 392 - 190 * age


_SMOKE = Sprite(
    [glow(radius, "#ece6e0", strength=0.3, power=1.4) for radius in (16, 26, 38)],
    _compute_rise,
    count=9,
    pick=Cycle(rate=0.96, step=1 / 3),
    anchor=(0.5, 0.5),
)


def _draw_rain(n: int) -> Sprite:
    """Return a sheet of slanted streaks; nearer ones are faster and longer."""
    shapes: list[Shape] = []
    for x, y, stretch in scatter(60 + n, 150 - 26 * n, (0, 1400), (0, 720), (0.7, 1.4)):
        length = (10 + 9 * n) * stretch
        colour, width, slant = f"#e2eaee{62 + 24 * n:02x}", 0.9 + 0.35 * n, length * 0.22
        shapes += [line(colour, width, (x, top), (x - slant, top + length)) for top in (y - 720, y)]
    return Sprite(drawing(1400, 720, shapes), lambda t, m: (-60, (520 + 330 * n) * t % 720 - 720 * m), count=2)


def _draw_snow(n: int) -> Sprite:
    return Sprite(
        glow(2.2 + 1.5 * n, "#ffffff", strength=0.92, power=0.7),
        lambda t, m, x, y, speed: (
            (x + (14 + 8 * n) * sin(t * 0.8 * speed + m) - 14 * n * t) % 1320 - 20,
            (y + (38 + 26 * n) * speed * t) % 760 - 20,
        ),
        rows=scatter(70 + n, 64 - 8 * n, (0, 1320), (0, 760), (0.8, 1.3)),
    )


def _draw_fog(n: int) -> Sprite:
    """Return a bank of fog; the nearest one sinks and is gone after 15 seconds."""

    def paint(size: Size) -> Image.Image:
        width, height = size.px(1280 + 60 * _SECONDS), size.px(260)
        wisps = noise(width, height, 80 + n, cell=130 * size.k, octaves=4, stretch=4) - 0.25
        outline = np.sin(np.linspace(0, np.pi, height, dtype=np.float32))[:, None]
        return tint("#f7ead0", (wisps.clip(0, 1) * outline * (300 - 30 * n)).clip(0, 232))

    sinking, end_s = (260 / 15, 15) if n == 3 else (0, _SECONDS)
    return Sprite(paint, lambda t, _: (-(16 + 14 * n) * t, 210 + 84 * n + sinking * t), end_s=end_s)


_RAIN_HILLS, _SNOW_HILLS = ("#8fa3a3", "#6a8683", "#46686a", "#26474c"), ("#c3bcd6", "#d4d1e4", "#e6e6f2", "#f6f6fb")
_FOG_HILLS = ("#d3c09a", "#b6a67f", "#8a8462", "#555a45")
_RAIN = _Day(("#39505e", "#6d8890", "#b9c4bc"), _RAIN_HILLS, 0.76, "#d8cfb8", "#9c4238", "#ffd98a")
_SNOW = _Day(("#53618f", "#a99bbd", "#f0cfc7"), _SNOW_HILLS, 0.62, "#7d5a58", "#eef0f8", "#ffd27a")
_FOG = _Day(("#c9b79a", "#e3cfa8", "#f3e3c0"), _FOG_HILLS, 0.76, "#efe6d0", "#6b4a3a", "#fff0c0")
SCENES = {
    "weather-rain": _build_scene(_RAIN, _draw_rain, 1),
    "weather-snow": _build_scene(_SNOW, _draw_snow),
    "weather-fog": _build_scene(_FOG, _draw_fog),
}
