"""Vector drawings of the demo films: shapes as values, and the drawing made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

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


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return a colour between two, at a share from 0 to 1."""
    first, second = (ImageColor.getrgb(colour) if isinstance(colour, str) else colour for colour in (a, b))
    return tuple(round(x + (y - x) * share) for x, y in zip(first, second, strict=True))
