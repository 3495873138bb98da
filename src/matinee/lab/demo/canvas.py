"""What the demo films are painted with: planes of YUV, layers with alpha, colours, noise, easing.

Frames are painted in 4:2:0 (BT.709, limited range), the form in which they are encoded: a layer is drawn and converted
once, and every frame only pastes layers. All geometry is in units of a 1280×720 picture and scaled by `Size.k`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Bytes: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]
Colour: TypeAlias = tuple[int, int, int]
SUPERSAMPLING = 2


class Size(NamedTuple):
    """A picture's size; `k` is its scale against 1280×720."""

    width: int
    height: int

    @property
    def k(self) -> float:
        """Pixels a unit."""
        return self.height / 720

    def px(self, units: float) -> int:
        """Units in whole pixels."""
        return round(units * self.k)


HD = Size(1280, 720)
FULL_HD = Size(1920, 1080)


class Layer(NamedTuple):
    """A picture with alpha, in planes; chroma and its alpha at half size."""

    y: Image.Image
    u: Image.Image
    v: Image.Image
    a: Image.Image
    a_half: Image.Image


class Stage:
    """A frame being painted."""

    def __init__(self, size: Size, backdrop: Layer | None = None) -> None:
        self.size = size
        half = (size.width // 2, size.height // 2)
        self.y = backdrop.y.copy() if backdrop else Image.new("L", size, 16)
        self.u = backdrop.u.copy() if backdrop else Image.new("L", half, 128)
        self.v = backdrop.v.copy() if backdrop else Image.new("L", half, 128)

    def put(self, layer: Layer, x: float = 0, y: float = 0) -> None:
        """Paste a layer with its top left corner at a pixel."""
        left, top = round(x), round(y)
        self.y.paste(layer.y, (left, top), layer.a)
        half = (left // 2, top // 2)
        self.u.paste(layer.u, half, layer.a_half)
        self.v.paste(layer.v, half, layer.a_half)

    def planes(self) -> bytes:
        """The frame as yuv420p."""
        return self.y.tobytes() + self.u.tobytes() + self.v.tobytes()


def hexed(text: str) -> Colour:
    """`#d8a05c` as red, green, blue."""
    return (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16))


def between(a: Colour, b: Colour, share: float) -> Colour:
    """A colour on the way from one to another."""
    mixed = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return tuple(mixed)  # type: ignore[return-value]  # as many as went in: three


def layer(image: Image.Image) -> Layer:
    """An RGB or RGBA picture as a layer."""
    rgba = image.convert("RGBA")
    half = rgba.resize((max(1, rgba.width // 2), max(1, rgba.height // 2)), Image.Resampling.BOX)
    luma, _, _ = _planes(rgba)
    _, u, v = _planes(half)
    return Layer(luma, u, v, rgba.getchannel("A"), half.getchannel("A"))


def drawn(
    width: float, height: float, paint: Callable[[ImageDraw.ImageDraw, float], None], size: Size, blur: float = 0
) -> Layer:
    """A layer of some units, drawn smooth: `paint` gets a pen and the pixels a unit has for it."""
    return layer(drawing(width, height, paint, size, blur))


def drawing(
    width: float, height: float, paint: Callable[[ImageDraw.ImageDraw, float], None], size: Size, blur: float = 0
) -> Image.Image:
    """The same as a picture with alpha."""
    scale = size.k * SUPERSAMPLING
    image = Image.new("RGBA", (round(width * scale), round(height * scale)))
    paint(ImageDraw.Draw(image), scale)
    image = image.reduce(SUPERSAMPLING)
    return image.filter(ImageFilter.GaussianBlur(blur * size.k)) if blur else image


def gradient(size: Size, stops: list[tuple[float, str]], seed: int = 1) -> Image.Image:
    """A vertical gradient through colours at heights from 0 to 1, dithered so that it does not band."""
    heights = np.linspace(0, 1, size.height, dtype=np.float32)
    at = [height for height, _ in stops]
    columns = [np.interp(heights, at, [hexed(colour)[c] for _, colour in stops]) for c in range(3)]
    picture = np.stack(columns, axis=-1)[:, None, :].repeat(size.width, axis=1)
    picture += np.random.default_rng(seed).uniform(-0.9, 0.9, (size.height, size.width, 1))
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def noise(width: int, height: int, seed: int, *, cell: float = 64, octaves: int = 5, stretch: float = 1) -> Floats:
    """Fractal noise from 0 to 1; `stretch` widens it."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for octave in range(octaves):
        step = max(1.0, cell / 2**octave)
        coarse = random.random((int(height / step) + 3, int(width / step / stretch) + 3), np.float32)
        fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(fine) * weight
        weight /= 2
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def glow(radius: float, colour: str, size: Size, *, strength: float = 1, power: float = 2) -> Layer:
    """A soft round light."""
    width = max(2, round(2 * radius * size.k))
    axis = np.linspace(-1, 1, width, dtype=np.float32)
    distance = np.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)
    alpha = (1 - distance).clip(0, 1) ** power * 255 * strength
    image = Image.new("RGB", (width, width), hexed(colour))
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return layer(image)


def ridge(units: int, seed: int, *, base: float, swing: float, rough: float = 0.5, cell: float = 400) -> list[float]:
    """The heights of a mountain line, one a unit."""
    random = np.random.default_rng(seed)
    line = np.full(units, base, np.float64)
    span, weight = cell, swing
    while span > 6:
        knots = random.uniform(-1, 1, int(units / span) + 3)
        smooth = _cosine(np.arange(units) / span, knots)
        line += smooth * weight
        span, weight = span / 2, weight * rough
    return [float(height) for height in line]


def ease(t: float) -> float:
    """From 0 to 1, softly at both ends."""
    t = min(1.0, max(0.0, t))
    return t * t * t * (t * (t * 6 - 15) + 10)


def out_back(t: float) -> float:
    """From 0 to 1, a little too far, and back."""
    t = min(1.0, max(0.0, t)) - 1
    return 1 + 2.3 * t * t * t + 1.3 * t * t


def _cosine(at: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = at.astype(int)
    share = (1 - np.cos((at - whole) * np.pi)) / 2
    mixed: NDArray[np.float64] = knots[whole] * (1 - share) + knots[whole + 1] * share
    return mixed


def _planes(image: Image.Image) -> tuple[Image.Image, Image.Image, Image.Image]:
    red, green, blue = (np.asarray(image.getchannel(c), np.float32) for c in "RGB")
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    planes = (
        16 + luma * (219 / 255),
        128 + (blue - luma) * (224 / 255 / 1.8556),
        128 + (red - luma) * (224 / 255 / 1.5748),
    )
    y, u, v = (Image.fromarray((plane + 0.5).clip(0, 255).astype(np.uint8)) for plane in planes)
    return y, u, v


def rgb(y: Bytes, u: Bytes, v: Bytes) -> Image.Image:
    """Planes back to a picture."""
    size = (y.shape[1], y.shape[0])
    luma = (y.astype(np.float32) - 16) * (255 / 219)
    blue, red = (
        (np.asarray(Image.fromarray(c).resize(size, Image.Resampling.BICUBIC), np.float32) - 128) * (255 / 224)
        for c in (u, v)
    )
    channels = (luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue)
    return Image.fromarray(np.stack([c.clip(0, 255).astype(np.uint8) for c in channels], axis=-1))


def picture_of(planes: bytes, size: Size) -> Image.Image:
    """A yuv420p frame as a picture."""
    flat = np.frombuffer(planes, np.uint8)
    whole, quarter = size.width * size.height, size.width * size.height // 4
    half = (size.height // 2, size.width // 2)
    y, u, v = flat[:whole], flat[whole : whole + quarter], flat[whole + quarter :]
    return rgb(y.reshape(size.height, size.width), u.reshape(half), v.reshape(half))
