"""The last tram home: a city at night rushes past a wet window."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from matinee.lab.demo.artwork import typeface
from matinee.lab.demo.canvas import Layer, Size, Stage, drawing, drawn, glow, gradient, hexed, layer

SECONDS = 22
HELD = 1
_LOOP = 2560
_LIT = ("#ffcf87", "#ffb765", "#f7e3b0", "#9fc4d8", "#ff9a6b")
_SIGNS = (("KINO", "#ff3d63", 300), ("BAR LUNA", "#35d6c9", 980), ("HOTEL", "#ffb03a", 1560), ("24 H", "#7d8bff", 2160))


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    backdrop = layer(gradient(size, [(0, "#0a0f22"), (0.5, "#1c2140"), (0.72, "#43304c"), (1, "#0b0a14")]))
    far, middle = layer(_far(size)), layer(_houses(size))
    lamp, streak, pole = glow(150, "#ffc27a", size, strength=0.8, power=2.6), _streak(size), _pole(size)
    window, drops = layer(_window(size)), _drops(size)
    strips = ((far, 3.0, 180.0), (middle, 13.0, 60.0))

    def frame(index: int) -> Stage:
        speed = _travelled(index)
        stage = Stage(size, backdrop)
        for strip, factor, top in strips:
            _loop(stage, strip, speed * factor, top)
        for n in range(5):
            x = 1700 - (speed * 34 + n * 520) % 2600
            stage.put(streak, size.k * (x - 160), size.k * (250 + 14 * (n % 3)))
            stage.put(lamp, size.k * (x - 150), size.k * (110 + 14 * (n % 3)))
        passing = 2600 - speed * 82 % 5200
        stage.put(pole, size.k * passing, 0)
        _rain(stage, drops, index)
        stage.put(window)
        return stage

    return frame


def _travelled(index: int) -> float:
    """How far the tram has come: it starts, runs, and brakes towards the end."""
    t = index / (SECONDS * 24)
    start, brake = min(1.0, t / 0.12), min(1.0, max(0.0, (t - 0.86) / 0.14))
    return index * (0.55 + 0.45 * start) * (1 - 0.08 * brake * brake)


def _loop(stage: Stage, strip: Layer, moved: float, top: float) -> None:
    width = strip.y.width
    x = -(stage.size.k * moved % width)
    stage.put(strip, x, stage.size.k * top)
    if x + width < stage.size.width:
        stage.put(strip, x + width, stage.size.k * top)


def _far(size: Size) -> Image.Image:
    random = np.random.default_rng(7)

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        x = 0.0
        while x < _LOOP:
            width, top = random.uniform(40, 120), random.uniform(60, 230)
            pen.rectangle((x * scale, top * scale, (x + width) * scale, 420 * scale), fill=hexed("#171a33"))
            for _ in range(int(width / 7)):
                px, py = x + random.uniform(3, width - 5), random.uniform(top + 6, 380)
                colour = (*hexed(str(random.choice(_LIT))), 150)
                pen.rectangle((px * scale, py * scale, (px + 3) * scale, (py + 4) * scale), fill=colour)
            x += width + random.uniform(-8, 14)

    return drawing(_LOOP, 420, paint, size)


def _houses(size: Size) -> Image.Image:
    """Nearer façades with windows, shops and neon, smeared by their own speed."""
    random = np.random.default_rng(11)

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        x = 0.0
        while x < _LOOP - 60:
            width, top = min(random.uniform(190, 330), _LOOP - x), random.uniform(40, 240)
            tone = hexed(str(random.choice(["#0d0f1f", "#12132a", "#160f22"])))
            pen.rectangle((x * scale, top * scale, (x + width) * scale, 620 * scale), fill=tone)
            for row in np.arange(top + 24, 430, 58):
                for column in np.arange(x + 18, x + width - 30, 46):
                    if random.random() < 0.42:
                        colour = (*hexed(str(random.choice(_LIT))), int(random.uniform(120, 235)))
                        pen.rectangle(
                            (column * scale, row * scale, (column + 24) * scale, (row + 34) * scale), fill=colour
                        )
            pen.rectangle(
                ((x + 10) * scale, 476 * scale, (x + width - 14) * scale, 566 * scale), fill=(255, 205, 140, 205)
            )
            x += width + (0 if random.random() < 0.6 else random.uniform(30, 90))

    street = drawing(_LOOP, 620, paint, size)
    for word, colour, x in _SIGNS:
        street.alpha_composite(_neon(word, colour, size), (size.px(x), size.px(300 + x % 70)))
    return street.filter(ImageFilter.BoxBlur((size.k * 4.0, 0)))


def _neon(word: str, colour: str, size: Size) -> Image.Image:
    face = typeface("bebas-neue", 400, 118 * size.k)
    sign = Image.new("RGBA", (round(face.getlength(word)) + size.px(80), size.px(190)), (*hexed(colour), 0))
    at = (size.px(40), size.px(34))
    ImageDraw.Draw(sign).text(at, word, font=face, fill=(*hexed(colour), 255))
    halo = sign.filter(ImageFilter.GaussianBlur(15 * size.k))
    for _ in range(2):
        halo.alpha_composite(sign.filter(ImageFilter.GaussianBlur(5 * size.k)))
    ImageDraw.Draw(halo).text(at, word, font=face, fill=(255, 240, 235, 235))
    return halo


def _streak(size: Size) -> Layer:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        pen.rounded_rectangle((30 * scale, 6 * scale, 290 * scale, 14 * scale), 4 * scale, fill=(255, 226, 176, 210))

    return drawn(320, 20, paint, size, blur=2.2)


def _pole(size: Size) -> Layer:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        pen.rectangle((60 * scale, 0, 190 * scale, 720 * scale), fill=(4, 5, 10, 225))

    return layer(drawing(250, 720, paint, size).filter(ImageFilter.BoxBlur((size.k * 26, 0))))


def _drops(size: Size) -> list[Layer]:
    def drop(radius: float, alpha: int) -> Callable[[ImageDraw.ImageDraw, float], None]:
        def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
            edge = 2 * radius * scale
            pen.ellipse((0, 0, edge, edge * 1.25), fill=(16, 18, 36, alpha))
            pen.ellipse((edge * 0.16, edge * 0.5, edge * 0.84, edge * 1.18), fill=(214, 196, 190, alpha // 2))
            pen.ellipse((edge * 0.24, edge * 0.14, edge * 0.46, edge * 0.36), fill=(255, 250, 240, alpha))

        return paint

    return [drawn(2 * r, 2.6 * r, drop(r, alpha), size, blur=0.5) for r, alpha in ((3, 150), (4.5, 170), (6.5, 190))]


def _rain(stage: Stage, drops: list[Layer], index: int) -> None:
    """Drops on the glass: most tremble where they are, some run back and down in jerks."""
    random, k = np.random.default_rng(5), stage.size.k
    for n in range(130):
        x, y, kind, run = random.uniform(40, 1240), random.uniform(30, 620), int(random.integers(0, 3)), random.random()
        if run > 0.8:
            moved = index * (0.7 + 2 * run) + 40 * math.sin(index * 0.05 + n)
            x, y = (x - moved * 0.8) % 1240, 30 + (y + moved) % 590
        stage.put(drops[kind], k * x, k * y)


def _window(size: Size) -> Image.Image:
    """The frame of the window, the sill, and somebody's head against the light."""

    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        ink = (7, 7, 12, 255)
        pen.rectangle((0, 0, 1280 * scale, 720 * scale), fill=ink)
        pen.rounded_rectangle((46 * scale, 34 * scale, 1234 * scale, 622 * scale), 46 * scale, fill=(0, 0, 0, 0))
        pen.rectangle((0, 640 * scale, 1280 * scale, 648 * scale), fill=(44, 40, 52, 255))
        body = [(830, 640), (842, 560), (886, 520), (940, 500), (962, 470), (940, 440), (934, 380), (968, 330)]
        body += [(1030, 312), (1088, 334), (1110, 392), (1098, 450), (1080, 478), (1096, 504), (1170, 532), (1214, 640)]
        pen.polygon([(x * scale, y * scale) for x, y in body], fill=ink)
        pen.ellipse((934 * scale, 308 * scale, 1108 * scale, 492 * scale), fill=ink)
        pen.polygon([(x * scale, y * scale) for x, y in ((936, 392), (914, 424), (930, 434), (944, 470))], fill=ink)

    return drawing(1280, 720, paint, size, blur=0.8)
