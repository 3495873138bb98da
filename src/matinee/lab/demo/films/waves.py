"""A field guide to waves: rings and swells that meet, add up and cancel, in coloured ink."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from matinee.lab.demo.canvas import Bytes, Floats, Size, Stage, hexed, layer

SECONDS = 24
HELD = 2
# Each chapter's inks, from trough to crest.
_INKS = [
    ("#0b1026", "#123a5e", "#1f7a8c", "#f2e8cf", "#e4572e"),
    ("#1a0f1f", "#56203d", "#c8553d", "#f7cf8e", "#fff4dc"),
    ("#06141b", "#0e3b43", "#3d7d6a", "#c9d8a0", "#fdf6d8"),
]
_CHAPTER_S = 8


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    width, height = size.width // 2, size.height // 2
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(height)
    palettes = [_palette(inks) for inks in _INKS]
    fields = [_rings(x, y), _braids(x, y), _drum(x, y)]

    def frame(index: int) -> Stage:
        t = index / 24
        chapter = min(len(fields) - 1, int(t / _CHAPTER_S))
        height_of = fields[chapter](t)
        shade = (height_of * 127 + 128).clip(0, 255).astype(np.uint8)
        stage = _inked(shade, palettes[chapter], size)
        left = t % _CHAPTER_S
        return _dimmed(stage, min(1.0, left / 0.6, (_CHAPTER_S - left) / 0.6))

    return frame


def _rings(x: Floats, y: Floats) -> Callable[[float], Floats]:
    """Stones in a pond: circles from three wandering points."""

    def field(t: float) -> Floats:
        total = np.zeros_like(x)
        for n in range(3):
            cx, cy = 0.9 + 0.55 * math.cos(t * 0.31 + n * 2.1), 0.5 + 0.3 * math.sin(t * 0.43 + n * 1.7)
            distance = np.sqrt((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2)
            total += np.sin(distance * np.float32(46) - np.float32(t * 4.2 + n)) / (1 + 2.4 * distance)
        return total * np.float32(0.75)

    return field


def _braids(x: Floats, y: Floats) -> Callable[[float], Floats]:
    """Long swells, each bent by the other."""

    def field(t: float) -> Floats:
        bend = np.sin(x * np.float32(3.1) + np.float32(t * 0.7)) * np.float32(0.11)
        wide = np.sin((y + bend) * np.float32(21) + np.float32(t * 0.9))
        fine = np.sin((y - bend * 1.7) * np.float32(34) - x * np.float32(2) - np.float32(t * 1.3))
        braid: Floats = wide * np.float32(0.62) + fine * np.float32(0.34)
        return braid

    return field


def _drum(x: Floats, y: Floats) -> Callable[[float], Floats]:
    """Sand on a plate: standing waves whose nodes slowly change places."""
    u, v = (x - np.float32(0.889)) * np.float32(math.pi), (y - np.float32(0.5)) * np.float32(math.pi)
    modes = [(np.cos(u * m) * np.cos(v * n), np.cos(u * n) * np.cos(v * m)) for m, n in ((3, 5), (2, 7), (4, 6))]

    def field(t: float) -> Floats:
        weights = [math.cos(t * 0.35 + n * 2.1) for n in range(3)]
        total = sum((np.float32(w) * (a - b) for w, (a, b) in zip(weights, modes, strict=True)), np.zeros_like(x))
        rings: Floats = np.sin(total * np.float32(5.5) + np.float32(t * 1.4))
        return rings * np.float32(0.85)

    return field


def _palette(inks: tuple[str, ...]) -> Bytes:
    """256 colours as Y, U, V rows, in bands with soft edges."""
    places = np.linspace(0, 1, 256) * (len(inks) - 1)
    whole = places.astype(int).clip(0, len(inks) - 2)
    share = places - whole
    soft = np.clip((share - 0.5) * 3.2 + 0.5, 0, 1)
    colours = np.array([hexed(ink) for ink in inks], np.float64)
    row = colours[whole] * (1 - soft[:, None]) + colours[whole + 1] * soft[:, None]
    strip = Image.fromarray(row.round().astype(np.uint8)[None].repeat(2, axis=0).repeat(2, axis=1))
    planes = layer(strip)
    return np.stack([np.asarray(planes.y)[0, ::2], np.asarray(planes.u)[0], np.asarray(planes.v)[0]])


def _inked(shade: Bytes, palette: Bytes, size: Size) -> Stage:
    stage = Stage(size)
    fine = np.asarray(Image.fromarray(shade).resize(size, Image.Resampling.BILINEAR))
    stage.y = Image.fromarray(palette[0][fine])
    stage.u, stage.v = Image.fromarray(palette[1][shade]), Image.fromarray(palette[2][shade])
    return stage


def _dimmed(stage: Stage, share: float) -> Stage:
    if share < 1:
        stage.y = stage.y.point([round(16 + (level - 16) * share) for level in range(256)])
        pale = [round(128 + (level - 128) * share) for level in range(256)]
        stage.u, stage.v = stage.u.point(pale), stage.v.point(pale)
    return stage
