"""Down to where the light stops: marine snow, jellyfish, and something with a lantern of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from matinee.lab.demo.canvas import SUPERSAMPLING, Layer, Size, Stage, ease, glow, gradient, layer

SECONDS = 26
HELD = 2
_PHASES = 12
_WATER = [(0, "#1b6d86"), (0.12, "#0f4866"), (0.3, "#0a2a48"), (0.55, "#061529"), (0.8, "#030914"), (1, "#010409")]
# Where each jellyfish swims: x, depth in units, size, hue, phase.
_JELLIES = [(250, 900, 1.0, 0, 0.0), (860, 1180, 1.5, 1, 0.4), (520, 1500, 0.8, 2, 0.7), (1040, 1720, 0.7, 0, 0.2)]
_HUES = [(120, 214, 255), (255, 140, 196), (150, 255, 214)]


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    deep = layer(gradient(Size(size.width, size.px(3000)), _WATER))
    shafts = layer(_shafts(size))
    jelly = cache(lambda n, phase: _jelly(size, phase / _PHASES, _JELLIES[n][2], _HUES[_JELLIES[n][3]]))
    flakes = [glow(r, "#cfe6ea", size, strength=s, power=1.2) for r, s in ((2, 0.5), (3, 0.6), (5, 0.34))]
    sparks, lure = (
        [glow(r, c, size, strength=0.95) for r, c in ((7, "#5df2ff"), (10, "#7dffcf"))],
        glow(190, "#9dffe0", size, strength=0.62, power=3.2),
    )
    fish = layer(_angler(size))

    def frame(index: int) -> Stage:
        t, k = index / 24, size.k
        depth = 2280 * ease(t / 24)
        stage = Stage(size)
        stage.put(deep, 0, -k * depth)
        if depth < 800:
            stage.put(shafts, k * (-40 + 14 * math.sin(t * 0.5)), -k * depth * 0.9)
        _snow(stage, flakes, t, depth)
        for n, (x, y, _, _, phase) in enumerate(_JELLIES):
            beat = (t * 0.55 + phase) % 1
            top = y - depth * (0.62 + 0.1 * n) - 26 * t * 0.6 + 10 * math.sin(t + n)
            if -400 < top < 720:
                stage.put(jelly(n, int(beat * _PHASES)), k * (x + 18 * math.sin(t * 0.4 + n * 2)), k * top)
        _living_lights(stage, sparks, t, depth)
        if depth > 1500:
            left, middle = 1330 - 96 * (t - 15) + 10 * math.sin(t), 330 + 20 * math.sin(t * 0.8)
            stage.put(lure, k * (left - 190 - 12), k * (middle - 190 + 6))
            stage.put(fish, k * left, k * (middle - 30))
        return stage

    return frame


def _shafts(size: Size) -> Image.Image:
    """Sunlight falling in slanted curtains."""
    width, height = size.width + size.px(80), size.px(760)
    x, y = np.meshgrid(np.arange(width) / size.k, np.arange(height) / size.k)
    slant = x - y * 0.34
    light = np.sin(slant / 47) * 0.5 + np.sin(slant / 21 + 1.3) * 0.3 + np.sin(slant / 91 + 0.4) * 0.6
    alpha = (light.clip(0, 1.4) / 1.4) ** 1.6 * np.exp(-y / 290) * 108
    image = Image.new("RGB", (width, height), (176, 232, 226))
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


def _jelly(size: Size, phase: float, scale: float, hue: tuple[int, int, int]) -> Layer:
    """A bell at one point of its beat, with arms that follow late."""
    unit = size.k * scale * SUPERSAMPLING
    image = Image.new("RGBA", (round(240 * unit), round(400 * unit)), (*hue, 0))
    pen = ImageDraw.Draw(image)
    squeeze = math.sin(phase * 2 * math.pi)
    wide, high = 78 - 15 * squeeze, 88 + 16 * squeeze
    for n in range(9):
        root, late = 120 + (n - 4) / 4 * wide * 0.8, phase * 2 * math.pi - 0.9
        arm = [
            (
                (root + (7 + j * 0.5) * math.sin(late - j * 0.34 + n * 0.6) - (n - 4) * j * 0.25) * unit,
                (112 + j * (9 + n % 3 * 1.6)) * unit,
            )
            for j in range(24)
        ]
        pen.line(arm, fill=(*hue, 74 + 22 * (n % 3)), width=max(1, round((1.4 + n % 2) * unit)), joint="curve")
    for n, alpha in enumerate((54, 62, 84)):
        inset = n * 13
        box = (120 - wide + inset, 114 - high + inset * 0.9, 120 + wide - inset, 114 + high * 0.55 - inset * 0.5)
        pen.pieslice(tuple(c * unit for c in box), 180, 360, fill=(*hue, alpha))
    pen.arc(
        tuple(c * unit for c in (120 - wide, 114 - high, 120 + wide, 114 + high * 0.55)),
        180,
        360,
        fill=(*hue, 210),
        width=max(1, round(2.2 * unit)),
    )
    small = image.reduce(SUPERSAMPLING)
    halo = small.filter(ImageFilter.GaussianBlur(11 * size.k * scale))
    halo.alpha_composite(small)
    return layer(halo)


def _snow(stage: Stage, flakes: list[Layer], t: float, depth: float) -> None:
    random, k = np.random.default_rng(2), stage.size.k
    for n in range(110):
        x, y, far = random.uniform(0, 1320), random.uniform(0, 800), random.uniform(0.35, 1.2)
        px = (x + 12 * math.sin(t * 0.6 + n)) % 1320 - 20
        py = (y - depth * far * 0.8 + 16 * t * far) % 800 - 40
        stage.put(flakes[n % 3], k * px, k * py)


def _living_lights(stage: Stage, sparks: list[Layer], t: float, depth: float) -> None:
    """Small animals that shine for a moment, more of them the deeper it is."""
    random, k = np.random.default_rng(8), stage.size.k
    for n in range(46):
        x, y, when = random.uniform(20, 1250), random.uniform(0, 760), random.uniform(0, 6)
        if depth > 300 + n * 38 and (t + when) % 6 < 1.6:
            stage.put(sparks[n % 2], k * (x + 20 * math.sin(t + n)), k * ((y - depth * 0.5) % 760 - 20))


def _angler(size: Size) -> Image.Image:
    unit = size.k * SUPERSAMPLING
    image = Image.new("RGBA", (round(380 * unit), round(260 * unit)), (8, 14, 22, 0))
    pen = ImageDraw.Draw(image)

    def shape(points: list[tuple[float, float]], fill: tuple[int, ...]) -> None:
        pen.polygon([(x * unit, y * unit) for x, y in points], fill=fill)

    rod = [(120 - 118 * n / 20, 92 - 74 * math.sin(n / 20 * math.pi * 0.82)) for n in range(21)]
    pen.line([(x * unit, y * unit) for x, y in rod], fill=(52, 92, 96, 255), width=round(3 * unit))
    pen.ellipse((70 * unit, 72 * unit, 300 * unit, 228 * unit), fill=(13, 26, 36, 255))
    shape([(276, 150), (372, 92), (350, 150), (374, 214)], (11, 22, 31, 255))
    shape([(150, 86), (206, 50), (232, 86)], (11, 22, 31, 255))
    shape([(74, 150), (156, 158), (88, 196), (66, 180)], (2, 5, 9, 255))
    for n in range(7):
        x = 76 + n * 11
        shape([(x, 150 + n), (x + 4, 170 + n % 2 * 5), (x + 8, 151 + n)], (184, 226, 214, 235))
        shape([(x, 190 - n * 2.4), (x + 4, 172 - n), (x + 8, 189 - n * 2.6)], (150, 200, 190, 220))
    pen.ellipse((112 * unit, 108 * unit, 132 * unit, 128 * unit), fill=(150, 235, 214, 255))
    pen.ellipse((117 * unit, 113 * unit, 127 * unit, 123 * unit), fill=(2, 6, 9, 255))
    pen.arc((70 * unit, 72 * unit, 300 * unit, 228 * unit), 150, 262, fill=(64, 128, 126, 255), width=round(2.4 * unit))
    small = image.reduce(SUPERSAMPLING)
    bulb = Image.new("RGBA", small.size, (214, 255, 240, 0))
    pen = ImageDraw.Draw(bulb)
    tip_x, tip_y, radius = rod[-1][0] + 8, rod[-1][1], 9
    box = (tip_x - radius, tip_y - radius, tip_x + radius, tip_y + radius)
    pen.ellipse(tuple(c * size.k for c in box), fill=(226, 255, 244, 255))
    small.alpha_composite(bulb.filter(ImageFilter.GaussianBlur(1.2 * size.k)))
    return small
