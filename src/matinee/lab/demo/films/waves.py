"""A field guide to waves: rings and swells that meet, add up and cancel, in coloured ink."""

from __future__ import annotations

from functools import partial
from math import cos, pi, sin

import numpy as np
from PIL import Image

from matinee.lab.demo.canvas import Bytes, Frame, Size, to_image, to_lookup
from matinee.lab.demo.scene import Frames, Scene
from matinee.lab.demo.textures import Floats, blend

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
    palettes = [_palette(inks) for inks in _INKS]
    chapters = (partial(_rings, x, y), partial(_braids, x, y), partial(_drum, _modes(x, y)))

    def animate(index: int) -> Frame:
        t = index / 24
        chapter, elapsed = min(len(chapters) - 1, int(t / _CHAPTER_S)), t % _CHAPTER_S
        shade = to_image(chapters[chapter](t) * 127 + 128)
        luma, u, v = _dim(palettes[chapter], min(1, elapsed / 0.6, (_CHAPTER_S - elapsed) / 0.6)).tolist()
        frame, fine = Frame(size), shade.resize(size, Image.Resampling.BILINEAR)
        frame.y, frame.u, frame.v = fine.point(luma), shade.point(u), shade.point(v)
        return frame

    return animate


def _rings(x: Floats, y: Floats, t: float) -> Floats:
    """Return stones in a pond: circles from three wandering points."""
    total = np.zeros_like(x)
    for n in range(3):
        cx, cy = 0.9 + 0.55 * cos(t * 0.31 + n * 2.1), 0.5 + 0.3 * sin(t * 0.43 + n * 1.7)
        distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
        total += np.sin(distance * 46 - (t * 4.2 + n)) / (1 + 2.4 * distance)
    return total * 0.75


def _braids(x: Floats, y: Floats, t: float) -> Floats:
    """Return long swells, each bent by the other."""
    bend = np.sin(x * 3.1 + t * 0.7) * 0.11
    wide, fine = np.sin((y + bend) * 21 + t * 0.9), np.sin((y - bend * 1.7) * 34 - x * 2 - t * 1.3)
    return np.asarray(wide * 0.62 + fine * 0.34)


def _drum(modes: list[Floats], t: float) -> Floats:
    """Return sand on a plate: standing waves whose nodes slowly change places."""
    total = np.asarray(sum(cos(t * 0.35 + n * 2.1) * mode for n, mode in enumerate(modes)))
    return np.asarray(np.sin(total * 5.5 + t * 1.4) * 0.85)


def _modes(x: Floats, y: Floats) -> list[Floats]:
    u, v = (x - 0.889) * pi, (y - 0.5) * pi
    return [np.cos(u * m) * np.cos(v * n) - np.cos(u * n) * np.cos(v * m) for m, n in ((3, 5), (2, 7), (4, 6))]


def _palette(inks: tuple[str, ...]) -> Bytes:
    """Return 256 colours in bands with soft edges."""
    share, band = np.modf(np.linspace(0, len(inks) - 1.001, 256))
    return to_lookup(blend(inks, band + ((share - 0.5) * 3.2 + 0.5).clip(0, 1)))


def _dim(palette: Bytes, share: float) -> Bytes:
    black = np.array([[16], [128], [128]])
    return np.asarray(black + (palette - black) * share).round().astype(np.uint8)


SCENE = Scene(animation=_animate)
