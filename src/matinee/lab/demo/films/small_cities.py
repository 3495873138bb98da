"""Small cities: Conway's Game of Life seen from the night sky, its living cells the lit windows of towns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from matinee.lab.demo.canvas import Bytes, Size, Stage, hexed, layer, noise

SECONDS = 20
HELD = 2
_WIDTH, _HEIGHT = 320, 180
_YOUNG: Final = ("#fff3cf", "#ffd27a", "#ff9f4a", "#e8653f")
_GONE: Final = ("#7a3b5a", "#3f3566", "#24305c", "#16233f", "#0c1526")
_STEPS = SECONDS * 24 // HELD


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    ages = _history()
    palette = _palette()
    land = (noise(_WIDTH, _HEIGHT, 8, cell=70, octaves=4) * 7).astype(np.uint8)

    def frame(index: int) -> Stage:
        age = ages[min(index // HELD, len(ages) - 1)]
        stage = Stage(size)
        luma = Image.fromarray(np.where(age >= 250, 17 + land, palette[0][age]).astype(np.uint8))
        sharp = luma.resize(size, Image.Resampling.NEAREST)
        bloom = luma.reduce(4).resize(size, Image.Resampling.BILINEAR)
        stage.y = Image.blend(sharp, bloom, 0.34)
        half = (size.width // 2, size.height // 2)
        stage.u, stage.v = (Image.fromarray(palette[c][age]).resize(half, Image.Resampling.BILINEAR) for c in (1, 2))
        return stage

    return frame


def _history() -> list[Bytes]:
    """Every generation as ages: 0 to 3 alive and how long, from 4 on dead and how long, 255 never lived."""
    alive = _founded()
    age = np.where(alive, 0, 255).astype(np.uint8)
    ages = []
    for step in range(_STEPS):
        ages.append(age)
        if step % 2 == 0:  # two pictures a generation: slow enough to follow
            continue
        if step % 60 == 59:
            alive |= _founded(step) & (np.random.default_rng(step).random(alive.shape) < 0.5)
        born = _next(alive)
        older = np.where(age < 3, age + 1, age)
        fading = np.where(age < 4, 4, np.minimum(age, 250) + (age < 250))
        age = np.where(born, np.where(alive, older, 0), np.where(age == 255, 255, fading)).astype(np.uint8)
        alive = born
    return ages


def _founded(seed: int = 0) -> NDArray[np.bool_]:
    """Towns: soft spots of random cells, and roads between them."""
    random = np.random.default_rng(30 + seed)
    density = np.zeros((_HEIGHT, _WIDTH), np.float32)
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    for _ in range(9 if seed == 0 else 3):
        cx, cy, spread = random.uniform(20, _WIDTH - 20), random.uniform(16, _HEIGHT - 16), random.uniform(6, 22)
        density += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread**2)) * 0.55
    towns: NDArray[np.bool_] = random.random(density.shape) < density
    return towns


def _next(alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    cells = np.pad(alive.astype(np.uint8), 1, mode="wrap")
    rows = cells[:-2] + cells[1:-1] + cells[2:]
    around = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    born: NDArray[np.bool_] = (around == 3) | (alive & (around == 4))
    return born


def _palette() -> Bytes:
    """Y, U, V for every age."""
    colours = np.empty((256, 3), np.uint8)
    colours[:4] = [hexed(c) for c in _YOUNG]
    trail = np.array([hexed(c) for c in _GONE], np.float64)
    at = np.linspace(0, 1, 246) ** 0.42 * (len(_GONE) - 1)
    for channel in range(3):
        colours[4:250, channel] = np.interp(at, range(len(_GONE)), trail[:, channel]).round()
    colours[250:] = hexed(_GONE[-1])
    planes = layer(Image.fromarray(colours[None].repeat(2, axis=0).repeat(2, axis=1)))
    return np.stack([np.asarray(planes.y)[0, ::2], np.asarray(planes.u)[0], np.asarray(planes.v)[0]])
