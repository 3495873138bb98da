"""Weather reports: one valley, one deployment, and whatever falls from the sky that day."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from matinee.lab.demo.canvas import (
    Layer,
    Size,
    Stage,
    between,
    drawing,
    drawn,
    glow,
    gradient,
    hexed,
    layer,
    noise,
    ridge,
)

SECONDS = 20


@dataclass(frozen=True)
class Day:
    """The colours of a day, and its weather."""

    sky: tuple[tuple[float, str], ...]
    hills: tuple[str, str, str, str]
    falling: str
    wall: str
    roof: str
    lit: str


RAIN = Day(
    ((0, "#39505e"), (0.4, "#6d8890"), (0.66, "#b9c4bc"), (1, "#b9c4bc")),
    ("#8fa3a3", "#6a8683", "#46686a", "#26474c"),
    "rain",
    "#d8cfb8",
    "#9c4238",
    "#ffd98a",
)
SNOW = Day(
    ((0, "#53618f"), (0.4, "#a99bbd"), (0.66, "#f0cfc7"), (1, "#f0cfc7")),
    ("#c3bcd6", "#d4d1e4", "#e6e6f2", "#f6f6fb"),
    "snow",
    "#7d5a58",
    "#eef0f8",
    "#ffd27a",
)
FOG = Day(
    ((0, "#c9b79a"), (0.4, "#e3cfa8"), (0.66, "#f3e3c0"), (1, "#f3e3c0")),
    ("#d3c09a", "#b6a67f", "#8a8462", "#555a45"),
    "fog",
    "#efe6d0",
    "#6b4a3a",
    "#fff0c0",
)


def scene(day: Day) -> Callable[[Size], Callable[[int], Stage]]:
    """A day's film as a function of the size and then the frame."""

    def of_size(size: Size) -> Callable[[int], Stage]:
        backdrop = layer(gradient(size, list(day.sky)))
        hills = [_hill(size, day, n) for n in range(4)]
        deployment, smoke = (
            layer(_house(size, day)),
            [glow(r, "#ece6e0", size, strength=0.3, power=1.4) for r in (16, 26, 38)],
        )
        fall = {"rain": _rain, "snow": _snow, "fog": _fog}[day.falling](size)

        def frame(index: int) -> Stage:
            t, k = index / 24, size.k
            stage = Stage(size, backdrop)
            for n in range(4):
                if n == 3:
                    _smoke(stage, smoke, t)
                    stage.put(deployment, k * 770, k * 382)
                stage.put(hills[n], -k * (index / 24 * (2 + 5 * n) + 10), k * (262 + 82 * n))
                fall(stage, t, n)
            return stage

        return frame

    return of_size


def _hill(size: Size, day: Day, n: int) -> Layer:
    width = 1280 + 22 * SECONDS + 40
    line = ridge(width, 40 + n, base=60, swing=34 - 5 * n, rough=0.34, cell=520)
    colour = day.hills[n]

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        top = [(x * scale, (110 - max(0.0, h)) * scale) for x, h in enumerate(line)]
        pen.polygon([(0, 480 * scale), *top, (width * scale, 480 * scale)], fill=hexed(colour))
        random = np.random.default_rng(n)
        for _ in range((0, 46, 34, 16)[n]):
            x = float(random.uniform(20, width - 20))
            _fir(
                pen,
                scale,
                x,
                114 - max(0.0, line[int(x)]),
                random.uniform(16, 26) * (0.5 + 0.62 * n),
                hexed(colour),
                day.falling == "snow",
            )

        if n == 3:
            _fence(pen, scale, line, colour)

    return drawn(width, 480, paint, size)


def _fence(pen: ImageDraw.ImageDraw, scale: float, line: list[float], ground: str) -> None:
    """Posts and two wires along the foot of the near field."""
    ink = between(hexed(ground), (24, 18, 24), 0.6)

    def foot(x: int) -> float:
        return 196 - 0.7 * line[x]

    for x in range(30, len(line) - 130, 120):
        lean = (x // 120 * 7) % 5 - 2
        post = (x * scale, foot(x) * scale, (x + lean) * scale, (foot(x) - 58) * scale)
        pen.line(post, fill=ink, width=round(8 * scale))
        for height in (22, 44):
            wire = (x * scale, (foot(x) - height) * scale, (x + 120) * scale, (foot(x + 120) - height) * scale)
            pen.line(wire, fill=ink, width=round(2.4 * scale))


def _fir(
    pen: ImageDraw.ImageDraw,
    scale: float,
    x: float,
    foot: float,
    height: float,
    ground: tuple[int, int, int],
    snowy: bool,
) -> None:
    green = tuple(round(c * (0.62 if snowy else 0.76)) for c in ground)
    for tier in range(3):
        base, wide = foot - height * 0.27 * tier, height * (0.34 - 0.08 * tier)
        points = [(x - wide, base), (x, base - height * 0.5), (x + wide, base)]
        pen.polygon([(px * scale, py * scale) for px, py in points], fill=green)


def _house(size: Size, day: Day) -> Image.Image:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        def shape(colour: str, *points: tuple[float, float]) -> None:
            pen.polygon([(x * scale, y * scale) for x, y in points], fill=hexed(colour))

        shape(day.wall, (40, 110), (180, 110), (180, 240), (40, 240))
        shape(day.roof, (24, 116), (70, 40), (212, 40), (200, 116))
        shape(day.wall, (40, 116), (70, 62), (100, 116))
        shape(day.roof, (150, 14), (168, 14), (168, 60), (150, 60))
        shape(day.lit, (58, 140), (88, 140), (88, 176), (58, 176))
        shape(day.lit, (122, 140), (160, 140), (160, 176), (122, 176))
        shape("#3a2b2e", (98, 176), (116, 176), (116, 240), (98, 240))
        ink = hexed("#3a2b2e")
        for x in (73, 141):
            pen.line((x * scale, 140 * scale, x * scale, 176 * scale), fill=ink, width=round(3 * scale))
        pen.line((58 * scale, 158 * scale, 88 * scale, 158 * scale), fill=ink, width=round(3 * scale))
        pen.line((122 * scale, 158 * scale, 160 * scale, 158 * scale), fill=ink, width=round(3 * scale))

    deployment = drawing(230, 240, paint, size)
    light = Image.new("RGBA", deployment.size, (*hexed(day.lit), 0))
    pen = ImageDraw.Draw(light)
    for box in ((58, 140, 88, 176), (122, 140, 160, 176)):
        pen.rectangle(tuple(c * size.k for c in box), fill=(*hexed(day.lit), 150))
    deployment.alpha_composite(light.filter(ImageFilter.GaussianBlur(9 * size.k)))
    return deployment


def _smoke(stage: Stage, puffs: list[Layer], t: float) -> None:
    k = stage.size.k
    for n in range(9):
        age = (t * 0.32 + n / 9) % 1
        puff = puffs[min(2, int(age * 3))]
        x = 929 + 90 * age * age + 8 * math.sin(t * 1.3 + n * 2)
        stage.put(puff, k * x - puff.y.width / 2, k * (392 - 190 * age) - puff.y.height / 2)


def _rain(size: Size) -> Callable[[Stage, float, int], None]:
    """Sheets of slanted streaks, a faster and longer one for each hill nearer."""

    def sheet(n: int) -> Layer:
        random = np.random.default_rng(60 + n)

        def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
            for _ in range(150 - 26 * n):
                x, y, long = random.uniform(0, 1400), random.uniform(0, 720), (10 + 9 * n) * random.uniform(0.7, 1.4)
                for shift in (-720, 0, 720):
                    start, end = (x, y + shift), (x - long * 0.22, y + long + shift)
                    line = (start[0] * scale, start[1] * scale, end[0] * scale, end[1] * scale)
                    pen.line(line, fill=(226, 236, 238, 62 + 24 * n), width=round((0.9 + 0.35 * n) * scale))

        return drawn(1400, 720, paint, size)

    sheets = {n: sheet(n) for n in (1, 2, 3)}

    def fall(stage: Stage, t: float, n: int) -> None:
        y = (520 + 330 * n) * t % 720
        for top in (y - 720, y) if n in sheets else ():
            stage.put(sheets[n], -stage.size.k * 60, stage.size.k * top)

    return fall


def _snow(size: Size) -> Callable[[Stage, float, int], None]:
    flakes = [glow(2.2 + 1.5 * n, "#ffffff", size, strength=0.92, power=0.7) for n in range(4)]

    def fall(stage: Stage, t: float, n: int) -> None:
        random, k = np.random.default_rng(70 + n), stage.size.k
        for m in range(64 - 8 * n):
            x, y, own = random.uniform(0, 1320), random.uniform(0, 760), random.uniform(0.8, 1.3)
            px = (x + (14 + 8 * n) * math.sin(t * 0.8 * own + m) - 14 * n * t) % 1320 - 20
            stage.put(flakes[n], k * px, k * ((y + (38 + 26 * n) * own * t) % 760 - 20))

    return fall


def _fog(size: Size) -> Callable[[Stage, float, int], None]:
    def bank(n: int) -> Layer:
        width, height = size.px(1280 + 60 * SECONDS), size.px(260)
        wisps = noise(width, height, 80 + n, cell=130 * size.k, octaves=4, stretch=4)
        hull = np.sin(np.linspace(0, np.pi, height, dtype=np.float32))[:, None]
        image = Image.new("RGB", (width, height), hexed("#f7ead0"))
        image.putalpha(
            Image.fromarray(((wisps - 0.25).clip(0, 1) * hull * (300 - 30 * n)).clip(0, 232).astype(np.uint8))
        )
        return layer(image)

    banks = [bank(n) for n in range(4)]

    def fall(stage: Stage, t: float, n: int) -> None:
        clear = 1 if n < 3 else max(0.0, 1 - t / 15)
        if clear > 0:
            stage.put(banks[n], -stage.size.k * (16 + 14 * n) * t, stage.size.k * (210 + 84 * n + (1 - clear) * 260))

    return fall
