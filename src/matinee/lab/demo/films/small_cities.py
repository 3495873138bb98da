"""Small cities: Conway's Game of Life seen from the night sky; its living cells are the lit windows of towns."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from matinee.lab.demo.canvas import Bytes, Frame, Size, to_image, to_lookup
from matinee.lab.demo.scene import Frames, Scene
from matinee.lab.demo.textures import blend, noise

_SECONDS, _STEP = 20, 2
_WIDTH, _HEIGHT = 320, 180
_YOUNG = ("#fff3cf", "#ffd27a", "#ff9f4a", "#e8653f")
_GONE = ("#7a3b5a", "#3f3566", "#24305c", "#16233f", "#0c1526")


def _animate(size: Size) -> Frames:
    ages, palette, half = _history(), _palette(), (size.width // 2, size.height // 2)
    land = (noise(_WIDTH, _HEIGHT, 8, cell=70, octaves=4) * 7).astype(np.uint8)

    def animate(index: int) -> Frame:
        age, frame = ages[min(index // _STEP, len(ages) - 1)], Frame(size)
        luma = to_image(np.where(age >= 250, 17 + land, palette[0][age]))
        bloom = luma.reduce(4).resize(size, Image.Resampling.BILINEAR)
        frame.y = Image.blend(luma.resize(size, Image.Resampling.NEAREST), bloom, 0.34)
        frame.u, frame.v = (to_image(palette[c][age]).resize(half, Image.Resampling.BILINEAR) for c in (1, 2))
        return frame

    return animate


@cache
def _history() -> list[Bytes]:
    """Return the age of each cell over time: up to 3 alive, from 4 on dead, 255 never alive."""
    alive = _found_towns(0, 9)
    age, ages = np.where(alive, 0, 255).astype(np.uint8), []
    for step in range(_SECONDS * 24 // _STEP):
        ages.append(age)
        if step % 2 == 0:  # two pictures per generation: slow enough to follow
            continue
        if step % 60 == 59:
            alive |= _found_towns(step, 3) & (np.random.default_rng(step).random(alive.shape) < 0.5)
        born = _evolve(alive)
        older = np.where(age < 3, age + 1, age)
        fading = np.where(age < 4, 4, np.minimum(age, 250) + (age < 250))
        age = np.where(born, np.where(alive, older, 0), np.where(age == 255, 255, fading)).astype(np.uint8)
        alive = born
    return ages


def _found_towns(seed: int, count: int) -> NDArray[np.bool_]:
    """Return soft spots of random cells."""
    rng, density = np.random.default_rng(30 + seed), np.zeros((_HEIGHT, _WIDTH), np.float32)
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    for _ in range(count):
        cx, cy, spread = rng.uniform(20, _WIDTH - 20), rng.uniform(16, _HEIGHT - 16), rng.uniform(6, 22)
        density += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread**2)) * 0.55
    return np.asarray(rng.random(density.shape) < density)


def _evolve(alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the next generation."""
    cells = np.pad(alive.astype(np.uint8), 1, mode="wrap")
    rows = cells[:-2] + cells[1:-1] + cells[2:]
    around = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return np.asarray((around == 3) | (alive & (around == 4)))


def _palette() -> Bytes:
    """Return the colour of each age."""
    fading = np.concatenate([np.linspace(0, 1, 246) ** 0.42 * (len(_GONE) - 1), np.full(6, len(_GONE) - 1)])
    return to_lookup(np.concatenate([blend(_YOUNG, np.arange(len(_YOUNG))), blend(_GONE, fading)]))


SCENE = Scene(animation=_animate)
