"""A garden of cut paper, grown by hand: every third frame is a new photograph, and nothing lies quite still."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from matinee.lab.demo.canvas import Layer, Size, Stage, drawing, gradient, hexed, layer, noise, out_back

SECONDS = 22
HELD = 3
_SIZES = 7


class _Piece(NamedTuple):
    """A cut-out in its sizes from bud to full, with shadows; where its foot stands and when it grows."""

    grown: list[Layer]
    x: float
    y: float
    starts_s: float
    sway: float


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    table = layer(_table(size))
    sun = _cut(drawing(210, 210, _sun, size), size)
    hills = [
        _cut(drawing(1400, 330, _hill(colour, n), size), size)
        for n, colour in enumerate(("#7fa98a", "#5d8c70", "#3f6f5a"))
    ]
    cloud, bird = (
        _cut(drawing(240, 110, _cloud, size), size),
        [_cut(drawing(120, 90, _bird(w), size), size) for w in (0, 1)],
    )
    pieces = _plants(size)
    snail = _cut(drawing(130, 90, _snail, size), size)

    def frame(index: int) -> Stage:
        t = index / 24
        stage = Stage(size, table)
        stage.put(sun, *_shaken(size, index, 0, 930, 400 - 320 * out_back((t - 0.4) / 2.4)))
        for n in range(3):
            x = 60 + 470 * n + 9 * t * (1 + n * 0.4)
            stage.put(
                cloud, *_shaken(size, index, 1 + n, x, -130 + 190 * out_back((t - 1.4 - 0.4 * n) / 1.2) + 34 * (n % 2))
            )
        for n, hill in enumerate(hills):
            stage.put(hill, *_shaken(size, index, 5 + n, -60, 760 - (360 - 84 * n) * out_back((t - 0.3 * n) / 1.3)))
            for m, piece in enumerate(pieces[n::3]):
                _grow(stage, piece, t, index, m)
        if t > 11:
            stage.put(
                bird[index // 6 % 2], *_shaken(size, index, 20, -160 + 190 * (t - 11), 190 + 46 * math.sin(t * 1.3))
            )
        stage.put(snail, *_shaken(size, index, 21, 1300 - 30 * t - 8 * math.sin(t * 3), 596))
        return stage

    return frame


def _shaken(size: Size, index: int, which: int, x: float, y: float) -> tuple[float, float]:
    """A place, as a hand finds it again."""
    random = np.random.default_rng(index // HELD * 131 + which)
    return size.k * (x + random.normal(0, 0.9)), size.k * (y + random.normal(0, 0.9))


def _grow(stage: Stage, piece: _Piece, t: float, index: int, which: int) -> None:
    share = out_back((t - piece.starts_s) / 1.5)
    if t < piece.starts_s:
        return
    grown = piece.grown[min(_SIZES - 1, max(0, round(share * (_SIZES - 2))))]
    lean = piece.sway * math.sin(t * 1.4 + which)
    x, y = _shaken(stage.size, index, 40 + which, piece.x + lean, piece.y)
    stage.put(grown, x - grown.y.width / 2, y - grown.y.height)


def _cut(image: Image.Image, size: Size) -> Layer:
    """Paper: a grain, a light edge, and a soft shadow on what lies below."""
    margin = size.px(14)
    sheet = Image.new("RGBA", (image.width + 2 * margin, image.height + 2 * margin))
    alpha = Image.new("L", sheet.size)
    alpha.paste(image.getchannel("A"), (margin + size.px(5), margin + size.px(8)))
    shadow = Image.new("RGBA", sheet.size, (30, 24, 40, 0))
    shadow.putalpha(alpha.filter(ImageFilter.GaussianBlur(6 * size.k)).point([round(n * 0.42) for n in range(256)]))
    grain = (noise(image.width, image.height, image.width, cell=7, octaves=2) - 0.5) * 16
    pixels = np.asarray(image).astype(np.float32)
    pixels[:, :, :3] += grain[:, :, None]
    sheet.alpha_composite(shadow)
    sheet.alpha_composite(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), (margin, margin))
    return layer(sheet)


def _table(size: Size) -> Image.Image:
    sky = np.asarray(gradient(size, [(0, "#f4d9b8"), (0.6, "#f6e6cc"), (1, "#efd3b0")])).astype(np.float32)
    sky += ((noise(size.width, size.height, 6, cell=12 * size.k, octaves=3) - 0.5) * 13)[:, :, None]
    return Image.fromarray(sky.clip(0, 255).astype(np.uint8))


def _plants(size: Size) -> list[_Piece]:
    """Twenty-one plants, nearer ones greater and later."""
    random = np.random.default_rng(17)
    kinds = [
        _flower("#e4572e", "#f6c453", 8),
        _tulip("#d8477b"),
        _leafy,
        _flower("#fff4e0", "#e8a33d", 11),
        _tulip("#5b5ea6"),
    ]
    pieces = []
    for n in range(21):
        row, column = n % 3, n // 3
        height = 150 + 60 * row + random.uniform(-24, 40)
        image = drawing(150, 300, kinds[int(random.integers(0, len(kinds)))], size)
        x = 90 + column * 178 + row * 52 + random.uniform(-26, 26)
        grown = []
        for step in range(1, _SIZES + 1):
            share = step / (_SIZES - 1) * height / 300
            small = image.resize(
                (max(8, round(image.width * share)), max(8, round(image.height * share))), Image.Resampling.BOX
            )
            grown.append(_cut(small, size))
        pieces.append(_Piece(grown, x, 560 + 66 * row, 2.4 + row * 1.4 + random.uniform(0, 5), 3.0))
    return pieces


def _sun(pen: ImageDraw.ImageDraw, scale: float) -> None:
    for n in range(16):
        a = n / 16 * 2 * math.pi
        tip = (105 + 104 * math.cos(a), 105 + 104 * math.sin(a))
        feet = [(105 + 76 * math.cos(a + d), 105 + 76 * math.sin(a + d)) for d in (-0.14, 0.14)]
        pen.polygon([(x * scale, y * scale) for x, y in (tip, *feet)], fill=hexed("#f2a33a"))
    pen.ellipse((31 * scale, 31 * scale, 179 * scale, 179 * scale), fill=hexed("#f6c453"))


def _hill(colour: str, n: int) -> Callable[[ImageDraw.ImageDraw, float], None]:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        top = [(x, 60 + 38 * math.sin(x / 210 + n * 1.9) + 14 * math.sin(x / 70 + n)) for x in range(0, 1401, 14)]
        pen.polygon([(x * scale, y * scale) for x, y in ((0, 330), *top, (1400, 330))], fill=hexed(colour))

    return paint


def _cloud(pen: ImageDraw.ImageDraw, scale: float) -> None:
    pen.line((120 * scale, 0, 120 * scale, 40 * scale), fill=hexed("#b79f86"), width=round(2 * scale))
    for x, y, r in ((60, 72, 34), (112, 56, 46), (170, 70, 38), (205, 84, 24)):
        pen.ellipse(((x - r) * scale, (y - r) * scale, (x + r) * scale, (y + r) * scale), fill=hexed("#fffaf0"))


def _bird(wing: int) -> Callable[[ImageDraw.ImageDraw, float], None]:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        pen.ellipse((22 * scale, 38 * scale, 92 * scale, 74 * scale), fill=hexed("#2f4b7c"))
        pen.ellipse((76 * scale, 30 * scale, 104 * scale, 58 * scale), fill=hexed("#2f4b7c"))
        pen.polygon([(x * scale, y * scale) for x, y in ((102, 40), (119, 46), (102, 51))], fill=hexed("#f2a33a"))
        tip = (34, 4) if wing else (34, 88)
        pen.polygon([(x * scale, y * scale) for x, y in ((38, 50), tip, (74, 52))], fill=hexed("#5b7fb5"))
        pen.polygon([(x * scale, y * scale) for x, y in ((28, 54), (0, 44), (4, 64))], fill=hexed("#5b7fb5"))
        pen.ellipse((90 * scale, 38 * scale, 95 * scale, 43 * scale), fill=hexed("#fffaf0"))

    return paint


def _snail(pen: ImageDraw.ImageDraw, scale: float) -> None:
    pen.rounded_rectangle((8 * scale, 66 * scale, 118 * scale, 84 * scale), 9 * scale, fill=hexed("#d9a066"))
    pen.ellipse((6 * scale, 48 * scale, 34 * scale, 80 * scale), fill=hexed("#d9a066"))
    for x in (14, 24):
        pen.line((x * scale, 52 * scale, (x - 5) * scale, 34 * scale), fill=hexed("#d9a066"), width=round(3 * scale))
    for n, (r, colour) in enumerate(((36, "#a63d40"), (26, "#e9b872"), (16, "#a63d40"), (7, "#e9b872"))):
        x, y = 72 + n * 2, 42 + n * 2
        pen.ellipse(((x - r) * scale, (y - r) * scale, (x + r) * scale, (y + r) * scale), fill=hexed(colour))


def _stem(pen: ImageDraw.ImageDraw, scale: float, top: float) -> None:
    pen.line((75 * scale, 300 * scale, 75 * scale, top * scale), fill=hexed("#2f5d46"), width=round(9 * scale))
    for y, side in ((210, 1), (250, -1)):
        leaf = [(75, y), (75 + side * 30, y - 30), (75 + side * 58, y - 26), (75 + side * 34, y - 4)]
        pen.polygon([(px * scale, py * scale) for px, py in leaf], fill=hexed("#3f7d5a"))


def _flower(petal: str, heart: str, count: int) -> Callable[[ImageDraw.ImageDraw, float], None]:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        _stem(pen, scale, 80)
        for n in range(count):
            a = n / count * 2 * math.pi
            x, y, r = 75 + 42 * math.cos(a), 76 + 42 * math.sin(a), 25
            pen.ellipse(((x - r) * scale, (y - r) * scale, (x + r) * scale, (y + r) * scale), fill=hexed(petal))
        pen.ellipse((49 * scale, 50 * scale, 101 * scale, 102 * scale), fill=hexed(heart))

    return paint


def _tulip(colour: str) -> Callable[[ImageDraw.ImageDraw, float], None]:
    def paint(pen: ImageDraw.ImageDraw, scale: float) -> None:
        _stem(pen, scale, 100)
        cup = [(30, 40), (52, 70), (75, 24), (98, 70), (120, 40), (116, 110), (96, 140), (54, 140), (34, 110)]
        pen.polygon([(x * scale, y * scale) for x, y in cup], fill=hexed(colour))

    return paint


def _leafy(pen: ImageDraw.ImageDraw, scale: float) -> None:
    for n in range(9):
        a = -math.pi / 2 + (n - 4) * 0.3
        length = 250 - 22 * abs(n - 4)
        tip = (75 + length * 0.32 * math.cos(a), 300 + length * math.sin(a))
        side = (75 + length * 0.26 * math.cos(a + 0.35), 300 + length * 0.5 * math.sin(a))
        shade = ("#2f5d46", "#3f7d5a", "#6aa376")[n % 3]
        pen.polygon([(x * scale, y * scale) for x, y in ((70, 300), tip, side, (82, 300))], fill=hexed(shade))
