"""A pier, a lighthouse, the tide: black and white, on a film stock with grain, weave, flicker and dust."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from matinee.lab.demo.canvas import Bytes, Floats, Layer, Size, Stage, drawn, layer, noise

SECONDS = 24
HELD = 2
GRAIN = "noise=c0s=10:c0f=t+u,vignette=a=0.5"
_HORIZON = 400


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    sky, swell = _sky(size), [_swell(size, seed) for seed in (3, 9)]
    shade = np.linspace(150, 46, size.height - size.px(_HORIZON), dtype=np.float32)[:, None]
    pier, tower, gulls = drawn(1280, 420, _pier, size), drawn(120, 150, _tower, size), drawn(30, 14, _gull, size)
    beam = _beam(size)

    def frame(index: int) -> Stage:
        t = index / 24
        weave = (math.sin(index * 1.7) + math.sin(index * 0.61)) * 0.9
        stage = Stage(size)
        luma = np.empty((size.height, size.width), np.uint8)
        horizon, drift = size.px(_HORIZON), size.px(9 * t)
        flicker = 3 * math.sin(index * 2.3) + 2 * math.sin(index * 0.9)
        luma[:horizon] = (sky[:, drift : drift + size.width] + flicker).clip(16, 235)
        luma[horizon:] = _sea(size, swell, shade, t)
        stage.y = Image.fromarray(luma)
        if (turn := math.sin(t * 1.15)) > 0:
            stage.put(beam, size.k * (1010 - 330 * turn), size.k * 262)
        stage.put(tower, size.k * 962, size.k * (262 + weave))
        for n in range(4):
            x, y = 240 + 52 * t + 70 * n + 30 * math.sin(n * 9.1), 150 + 30 * math.sin(t * 0.8 + n * 1.9) + n * 16
            stage.put(gulls, size.k * x, size.k * y)
        stage.put(pier, weave, size.k * (300 + weave))
        _dust(stage, index)
        return stage

    return frame


def _sky(size: Size) -> Floats:
    width, height = size.width + size.px(9 * SECONDS) + 2, size.px(_HORIZON)
    clouds = noise(width, height, 21, cell=240 * size.k, octaves=6, stretch=2.4)
    light = np.linspace(60, 196, height, dtype=np.float32)[:, None]
    billows: Floats = light + (clouds - 0.45) * 150
    return billows.clip(20, 235)


def _swell(size: Size, seed: int) -> Floats:
    return noise(
        size.width + size.px(700), size.height - size.px(_HORIZON), seed, cell=26 * size.k, octaves=4, stretch=7
    )


def _sea(size: Size, swell: list[Floats], shade: Floats, t: float) -> Bytes:
    """Two sheets of water sliding over each other; light where both stand high."""
    near, far = size.px(20 * t), size.px(480 - 15 * t)
    water = swell[0][:, near : near + size.width] + swell[1][:, far : far + size.width]
    lit = shade * 0.9 + (water - 1) * 70 + ((water - 1.16).clip(0, 0.3) * 420)
    sea: Bytes = lit.clip(18, 232).astype(np.uint8)
    return sea


def _pier(pen: ImageDraw.ImageDraw, scale: float) -> None:
    """Planks and posts in perspective, from the left foreground to a point near the horizon."""

    def at(depth: float, side: float, height: float) -> tuple[float, float]:
        near = 1 / (0.16 + depth)
        return ((720 - 175 * near + side * 34 * near) * scale, (112 + (46 - height * 26) * near) * scale)

    for n in range(26, -1, -1):
        depth = n * 0.13
        tone = round(20 + 34 * min(1, n / 26))
        ink = (tone, tone, tone, 255)
        for side in (-1.0, 1.0):
            foot, head = at(depth, side, -3.6), at(depth, side, 1.25 if n % 2 == 0 else 0.0)
            pen.line((*foot, *head), fill=ink, width=max(1, round(9 / (0.16 + depth) * 0.55 * scale)))
        pen.polygon([at(depth, -1, 0), at(depth, 1, 0), at(depth + 0.11, 1, 0), at(depth + 0.11, -1, 0)], fill=ink)
    for side in (-1.0, 1.0):
        rail = [at(d * 0.05, side, 1.15) for d in range(68)]
        pen.line(rail, fill=(30, 30, 30, 255), width=max(1, round(3 * scale)))


def _tower(pen: ImageDraw.ImageDraw, scale: float) -> None:
    dark, pale = (38, 38, 38), (206, 206, 206)
    pen.polygon([(x * scale, y * scale) for x, y in ((0, 150), (26, 132), (60, 138), (96, 128), (120, 150))], fill=dark)
    pen.polygon([(x * scale, y * scale) for x, y in ((50, 134), (55, 30), (69, 30), (74, 134))], fill=pale)
    for y in (52, 84, 114):
        pen.rectangle((52 * scale, y * scale, 72 * scale, (y + 13) * scale), fill=(70, 70, 70))
    pen.rectangle((53 * scale, 14 * scale, 71 * scale, 30 * scale), fill=(240, 240, 240))
    pen.polygon([(x * scale, y * scale) for x, y in ((50, 14), (62, 2), (74, 14))], fill=dark)


def _beam(size: Size) -> Layer:
    width, height = size.px(700), size.px(60)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = np.exp(-((down / (0.12 + 0.5 * np.abs(across))) ** 2)) * (1 - np.abs(across)) ** 1.6 * 150
    image = Image.new("RGB", (width, height), (245, 245, 245))
    image.putalpha(Image.fromarray(light.astype(np.uint8)))
    return layer(image)


def _gull(pen: ImageDraw.ImageDraw, scale: float) -> None:
    points = [(1, 9), (8, 4), (15, 8), (22, 4), (29, 9)]
    pen.line([(x * scale, y * scale) for x, y in points], fill=(40, 40, 40, 255), width=round(2 * scale), joint="curve")


def _dust(stage: Stage, index: int) -> None:
    """A few hairs and specks, other ones in every frame."""
    random = np.random.default_rng(index)
    pen = ImageDraw.Draw(stage.y)
    width, height = stage.size
    for _ in range(int(random.integers(0, 4))):
        x, y, r = random.uniform(0, width), random.uniform(0, height), random.uniform(0.8, 2.4) * stage.size.k
        pen.ellipse((x - r, y - r, x + r, y + r), fill=int(random.choice([30, 225])))
    if index % 34 < 4:
        x = width * (0.31 + 0.4 * (index // 34 % 2)) + random.uniform(-2, 2)
        pen.line((x, 0, x + 3, height), fill=200, width=1)
