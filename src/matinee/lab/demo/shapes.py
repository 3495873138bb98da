"""Vector drawings of the demo films: shapes as values, and the drawing made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import sin
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter

from matinee.lab.demo.canvas import Art, Point, Size

Colour: TypeAlias = str | tuple[int, ...]
SUPERSAMPLING = 2


class Shape(NamedTuple):
    """A call of a drawing method of Pillow; `points` and `lengths` are in units."""

    method: str
    points: tuple[Point, ...]
    fill: Colour
    lengths: Mapping[str, float] = MappingProxyType({})
    options: Mapping[str, Any] = MappingProxyType({})

    def draw(self, pen: ImageDraw.ImageDraw, scale: float) -> None:
        """Draw it at a scale in pixels per unit."""
        points = [(x * scale, y * scale) for x, y in self.points]
        lengths = {name: max(1, round(length * scale)) for name, length in self.lengths.items()}
        getattr(pen, self.method)(points, fill=self.fill, **lengths, **self.options)


def polygon(colour: Colour, *points: Point) -> Shape:
    """Return a filled polygon."""
    return Shape("polygon", points, colour)


def line(colour: Colour, width: float, *points: Point) -> Shape:
    """Return a line through points."""
    return Shape("line", points, colour, {"width": width}, {"joint": "curve"})


def box(colour: Colour, left: float, top: float, right: float, bottom: float, radius: float = 0) -> Shape:
    """Return a rectangle, with rounded corners if a radius is given."""
    corners = ((left, top), (right, bottom))
    if radius:
        return Shape("rounded_rectangle", corners, colour, {"radius": radius})
    return Shape("rectangle", corners, colour)


def oval(colour: Colour, left: float, top: float, right: float, bottom: float) -> Shape:
    """Return a filled ellipse in a box."""
    return Shape("ellipse", ((left, top), (right, bottom)), colour)


def disc(colour: Colour, x: float, y: float, radius: float) -> Shape:
    """Return a filled circle."""
    return oval(colour, x - radius, y - radius, x + radius, y + radius)


def sector(colour: Colour, start: int, end: int, *corners: Point) -> Shape:
    """Return a filled sector of an ellipse in a box between two angles in degrees."""
    return Shape("pieslice", corners, colour, {}, {"start": start, "end": end})


def arc(colour: Colour, width: float, start: int, end: int, *corners: Point) -> Shape:
    """Return a part of the outline of an ellipse in a box between two angles in degrees."""
    return Shape("arc", corners, colour, {"width": width}, {"start": start, "end": end})


def swell(colour: Colour, width: int, foot: float, top: float, *sines: Sequence[float]) -> Shape:
    """Return a filled area below a sum of sines: the amplitude, the length of a radian and the phase of each."""
    crest = [
        (x, top + sum(by * sin(x / length + sum(phase)) for by, length, *phase in sines))
        for x in range(0, width + 1, 2)
    ]
    return polygon(colour, (0, foot), *crest, (width, foot))


def drawing(
    width: float,
    height: float,
    shapes: Iterable[Shape],
    *,
    ground: Colour = (0, 0, 0, 0),
    zoom: float = 1,
    blur: float = 0,
    smear: float = 0,
) -> Art:
    """Return a smooth drawing of shapes on a transparent ground, optionally blurred or smeared sideways."""
    drawn = tuple(shapes)

    def paint(size: Size) -> Image.Image:
        scale = size.k * SUPERSAMPLING * zoom
        image = Image.new("RGBA", (max(2, round(width * scale)), max(2, round(height * scale))), ground)
        pen = ImageDraw.Draw(image)
        for shape in drawn:
            shape.draw(pen, scale)
        image = image.reduce(SUPERSAMPLING)
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur * size.k))
        return image.filter(ImageFilter.BoxBlur((smear * size.k, 0))) if smear else image

    return paint


def halo(art: Art, radius: float) -> Art:
    """Return a picture with a blurred copy of itself below."""

    def paint(size: Size) -> Image.Image:
        image = art(size)
        blurred = image.filter(ImageFilter.GaussianBlur(radius * size.k))
        blurred.alpha_composite(image)
        return blurred

    return paint


def ridge(units: int, seed: int, *, base: float, swing: float, rough: float, cell: float) -> list[float]:
    """Return the heights of a mountain line, one per unit."""
    rng, heights = np.random.default_rng(seed), np.full(units, base, np.float64)
    while cell > 6:
        knots = rng.uniform(-1, 1, int(units / cell) + 3)
        left, part = np.divmod(np.arange(units) / cell, 1)
        share, first = (1 - np.cos(part * np.pi)) / 2, left.astype(int)
        heights += (knots[first] * (1 - share) + knots[first + 1] * share) * swing
        cell, swing = cell / 2, swing * rough
    return [max(0.0, float(height)) for height in heights]


def mountains(colour: Colour, seed: int, base: float, swing: float) -> Art:
    """Return a mountain range."""
    heights = ridge(2280, seed, base=base, swing=swing, rough=0.42, cell=360)
    outline = [(x, 230 - max(4.0, height)) for x, height in enumerate(heights)]
    return drawing(2280, 232, [polygon(colour, (0, 240), *outline, (2280, 240))])


def to_shape(kind: str, *arguments: Any) -> Shape:
    """Return a shape by the name of its function."""
    return _SHAPES[kind](*arguments)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return a colour between two, at a share from 0 to 1."""
    first, second = (ImageColor.getrgb(colour) if isinstance(colour, str) else colour for colour in (a, b))
    return tuple(round(x + (y - x) * share) for x, y in zip(first, second, strict=True))


_SHAPES: dict[str, Callable[..., Shape]] = {
    function.__name__: function for function in (arc, box, disc, line, oval, polygon, sector, swell)
}
