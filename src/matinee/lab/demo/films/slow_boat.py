"""The sea of a small boat, with the reflection of the setting sun."""

from __future__ import annotations

import numpy as np
from PIL import Image

from matinee.lab.demo.canvas import Size, to_image
from matinee.lab.demo.load import load
from matinee.lab.demo.textures import gradient

_WATER = gradient([(0, "#f0b183"), (0.12, "#b9788a"), (0.5, "#56507a"), (1, "#262b4c")], height=290)


def _sea(size: Size) -> Image.Image:
    pixels, rng = np.asarray(_WATER(size)).astype(np.float32), np.random.default_rng(4)
    for _ in range(150):
        depth = rng.random() ** 1.6
        y, half = int(depth * len(pixels)), (26 + 90 * depth) * size.k * rng.random()
        x, thick = (820 + rng.normal(0, 22 + 60 * depth)) * size.k, max(1, size.px(1 + 3 * depth))
        pixels[y : y + thick, int(x - half) : int(x + half)] += np.array([46, 34, 14])
    return to_image(pixels)


SCENE = load("slow-boat-north", sea=_sea)
