"""A field guide to waves: rings and swells that meet, add up and cancel, in coloured ink."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageColor

from matinee.lab.demo.canvas import Bytes, Frame, Size, to_image, to_lookup
from matinee.lab.demo.scene import Frames, Scene
from matinee.lab.demo.textures import Floats

_CHAPTER_S = 8
# The inks of each chapter, from trough to crest.
_INKS = (
    ("#0b1026", "#123a5e", "#1f7a8c", "#f2e8cf", "#e4572e"),
    ("#1a0f1f", "#56203d", "#c8553d", "#f7cf8e", "#fff4dc"),
    ("#06141b", "#0e3b43", "#3d7d6a", "#c9d8a0", "#fdf6d8"),
)


def _animate(size: Size) -> Frames:
    width, height = size.width // 2, size.height // 2
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(height)
    palettes, fields = [_palette(inks) for inks in _INKS], (_rings(x, y), _braids(x, y), _drum(x, y))

    def animate(index: int) -> Frame:
        t = index / 24
        chapter, elapsed = min(len(fields) - 1, int(t / _CHAPTER_S)), t % _CHAPTER_S
        shade = to_image(fields[chapter](t) * 127 + 128)
        y, u, v = _dim(palettes[chapter], min(1, elapsed / 0.6, (_CHAPTER_S - elapsed) / 0.6))
        frame, fine = Frame(size), shade.resize(size, Image.Resampling.BILINEAR)
        frame.y, frame.u, frame.v = fine.point(y.tolist()), shade.point(u.tolist()), shade.point(v.tolist())
        return frame

    return animate


def _rings(x: Floats, y: Floats) -> Callable[[float], Floats]:
    """Return stones in a pond: circles from three wandering points."""

    def field(t: float) -> Floats:
        total = np.zeros_like(x)
        for n in range(3):
            cx, cy = 0.9 + 0.55 * cos(t * 0.31 + n * 2.1), 0.5 + 0.3 * sin(t * 0.43 + n * 1.7)
            distance = np.sqrt((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2)
            total += np.sin(distance * np.float32(46) - np.float32(t * 4.2 + n)) / (1 + 2.4 * distance)
        return total * np.float32(0.75)

    return field


def _braids(x: Floats, y: Floats) -> Callable[[float], Floats]:
    """Return long swells, each bent by the other."""

    def field(t: float) -> Floats:
        bend = np.sin(x * np.float32(3.1) + np.float32(t * 0.7)) * np.float32(0.11)
        wide = np.sin((y + bend) * np.float32(21) + np.float32(t * 0.9))
        fine = np.sin((y - bend * 1.7) * np.float32(34) - x * np.float32(2) - np.float32(t * 1.3))
        return np.asarray(wide * np.float32(0.62) + fine * np.float32(0.34))

    return field


def _drum(x: Floats, y: Floats) -> Callable[[float], Floats]:
    """Return sand on a plate: standing waves whose nodes slowly change places."""
    u, v = (x - np.float32(0.889)) * np.float32(pi), (y - np.float32(0.5)) * np.float32(pi)
    modes = [np.cos(u * m) * np.cos(v * n) - np.cos(u * n) * np.cos(v * m) for m, n in ((3, 5), (2, 7), (4, 6))]

    def field(t: float) -> Floats:
        total = sum((np.float32(cos(t * 0.35 + n * 2.1)) * mode for n, mode in enumerate(modes)), np.zeros_like(x))
        return np.asarray(np.sin(total * np.float32(5.5) + np.float32(t * 1.4)) * np.float32(0.85))

    return field


def _palette(inks: tuple[str, ...]) -> Bytes:
    """Return 256 colours in bands with soft edges."""
    colours = np.array([ImageColor.getrgb(ink) for ink in inks], np.float64)
    share, whole = np.modf(np.linspace(0, len(inks) - 1.001, 256))
    soft, left = np.clip((share - 0.5) * 3.2 + 0.5, 0, 1)[:, None], whole.astype(int)
    return to_lookup(colours[left] * (1 - soft) + colours[left + 1] * soft)


def _dim(palette: Bytes, share: float) -> Bytes:
    black = np.array([[16], [128], [128]])
    return np.asarray(black + (palette - black) * share).round().astype(np.uint8)


SCENE = Scene(animation=_animate)
