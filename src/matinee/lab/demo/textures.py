"""Gradients, noise, light and type for the demo films."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from matinee.lab.demo.canvas import Art, Size, to_image
from matinee.lab.demo.shapes import Colour

Floats: TypeAlias = NDArray[np.float32]
FONTS = Path(__file__).parents[1] / "data" / "fonts"


def blend(colours: Sequence[str], at: NDArray[Any], positions: Sequence[float] | None = None) -> NDArray[Any]:
    """Return rows of RGB between colours, which are at 0, 1, 2… unless positions are given."""
    channels = np.array([ImageColor.getrgb(colour) for colour in colours]).T
    known = range(len(colours)) if positions is None else positions
    return np.stack([np.interp(at, known, channel) for channel in channels], axis=-1)


def gradient(stops: Sequence[tuple[float, str]], height: float = 720) -> Art:
    """Return a vertical gradient through colours at positions from 0 to 1, dithered against banding."""

    def paint(size: Size) -> Image.Image:
        rows = np.linspace(0, 1, size.px(height), dtype=np.float32)
        picture = blend([colour for _, colour in stops], rows, [at for at, _ in stops])[:, None].repeat(
            size.width, axis=1
        )
        return to_image(picture + np.random.default_rng(1).uniform(-0.9, 0.9, (len(rows), size.width, 1)))

    return paint


def add_texture(art: Art, amount: float, *, seed: int, cell: float, octaves: int, stretch: float = 1) -> Art:
    """Return a picture with noise added to its brightness; `cell` is in units."""

    def paint(size: Size) -> Image.Image:
        pixels = np.asarray(art(size)).astype(np.float32)
        grain = noise(pixels.shape[1], pixels.shape[0], seed, cell=cell * size.k, octaves=octaves, stretch=stretch)
        pixels[:, :, :3] += ((grain - 0.5) * amount)[:, :, None]
        return to_image(pixels)

    return paint


def glow(radius: float, colour: Colour, *, strength: float = 1, power: float = 2) -> Art:
    """Return a soft round light."""

    def paint(size: Size) -> Image.Image:
        axis = np.linspace(-1, 1, max(2, size.px(2 * radius)), dtype=np.float32)
        distance = np.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)
        return tint(colour, (1 - distance).clip(0, 1) ** power * (255 * strength))

    return paint


def word(text: str, font: str, weight: int, height: float, colour: Colour) -> Art:
    """Return a text set in type."""

    def paint(size: Size) -> Image.Image:
        face = typeface(font, weight, height * size.k)
        image = Image.new("RGBA", (round(face.getlength(text)) + size.px(8), round(height * size.k * 1.4)))
        ImageDraw.Draw(image).text((size.px(2), 0), text, font=face, fill=colour)
        return image

    return paint


@cache
def typeface(font: str, weight: int, size: float) -> ImageFont.FreeTypeFont:
    """Return a font of the demo catalogue at a weight and a size in pixels."""
    face = ImageFont.truetype(FONTS / f"{font}.woff2", size)
    if font not in {"bebas-neue", "space-mono"}:
        face.set_variation_by_axes([weight])
    return face


def tint(colour: Colour, alpha: NDArray[Any]) -> Image.Image:
    """Return a plane of one colour with an alpha channel from 0 to 255."""
    image = Image.new("RGB", (alpha.shape[1], alpha.shape[0]), colour)
    image.putalpha(to_image(alpha))
    return image


def noise(width: int, height: int, seed: int, *, cell: float = 64, octaves: int = 5, stretch: float = 1) -> Floats:
    """Return fractal noise from 0 to 1; `stretch` widens it."""
    rng, total = np.random.default_rng(seed), np.zeros((height, width), np.float32)
    for octave in range(octaves):
        step = max(1.0, cell / 2**octave)
        coarse = rng.random((int(height / step) + 3, int(width / step / stretch) + 3), np.float32)
        total += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)
