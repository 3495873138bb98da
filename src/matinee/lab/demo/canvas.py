"""Frames of the demo films as YUV planes.

Frames are composed in 4:2:0 (BT.709, limited range), the form in which they are encoded. A picture is drawn and
converted once; composing a frame only pastes layers. Geometry is in units of a 1280×720 picture, scaled by `Size.k`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes: TypeAlias = NDArray[np.uint8]
Point: TypeAlias = tuple[float, float]


class Size(NamedTuple):
    """A picture's size in pixels."""

    width: int
    height: int

    @property
    def k(self) -> float:
        """Pixels per unit."""
        return self.height / 720

    def px(self, units: float) -> int:
        """Convert units to whole pixels."""
        return round(units * self.k)


HD = Size(1280, 720)
FULL_HD = Size(1920, 1080)
Art: TypeAlias = Callable[[Size], Image.Image]


class Layer(NamedTuple):
    """A picture with alpha, as planes; chroma and its alpha have half the size."""

    y: Image.Image
    u: Image.Image
    v: Image.Image
    alpha: Image.Image
    half_alpha: Image.Image


class Frame:
    """A frame being composed."""

    def __init__(self, size: Size, backdrop: Layer | None = None) -> None:
        self.size = size
        half = (size.width // 2, size.height // 2)
        self.y = backdrop.y.copy() if backdrop else Image.new("L", size, 16)
        self.u = backdrop.u.copy() if backdrop else Image.new("L", half, 128)
        self.v = backdrop.v.copy() if backdrop else Image.new("L", half, 128)

    def paste(self, layer: Layer, x: float, y: float) -> None:
        """Paste a layer with its top left corner at a pixel."""
        left, top = round(x), round(y)
        self.y.paste(layer.y, (left, top), layer.alpha)
        self.u.paste(layer.u, (left // 2, top // 2), layer.half_alpha)
        self.v.paste(layer.v, (left // 2, top // 2), layer.half_alpha)

    def planes(self) -> bytes:
        """Return the frame as yuv420p."""
        return self.y.tobytes() + self.u.tobytes() + self.v.tobytes()


def to_image(pixels: NDArray[Any]) -> Image.Image:
    """Return an array of grey, RGB or RGBA values as a picture."""
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def to_layer(image: Image.Image) -> Layer:
    """Convert a picture to planes."""
    rgba = image.convert("RGBA")
    half = rgba.resize((max(1, rgba.width // 2), max(1, rgba.height // 2)), Image.Resampling.BOX)
    _, u, v = _to_planes(half)
    return Layer(_to_planes(rgba)[0], u, v, rgba.getchannel("A"), half.getchannel("A"))


def to_lookup(colours: NDArray[Any]) -> Bytes:
    """Convert a row of RGB colours to a table of Y, U and V by index."""
    return np.stack([np.asarray(plane)[0] for plane in _to_planes(to_image(colours[None].round()))])


def to_picture(planes: bytes, size: Size) -> Image.Image:
    """Convert a yuv420p frame to a picture."""
    flat, area = np.frombuffer(planes, np.uint8), size.width * size.height
    luma = (flat[:area].reshape(size.height, size.width).astype(np.float32) - 16) * (255 / 219)
    chroma = flat[area:].reshape(2, size.height // 2, size.width // 2)
    blue, red = (
        (np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC), np.float32) - 128) * (255 / 224)
        for plane in chroma
    )
    channels = (luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue)
    return to_image(np.stack(channels, axis=-1))


def _to_planes(image: Image.Image) -> tuple[Image.Image, Image.Image, Image.Image]:
    red, green, blue = (np.asarray(image.getchannel(channel), np.float32) for channel in "RGB")
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    y = to_image(16.5 + luma * (219 / 255))
    u = to_image(128.5 + (blue - luma) * (224 / 255 / 1.8556))
    v = to_image(128.5 + (red - luma) * (224 / 255 / 1.5748))
    return y, u, v
