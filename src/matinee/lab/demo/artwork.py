"""Posters, cards, backdrops and stills: instants of the film itself, and its title set in type."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from matinee.catalogue.api import ArtworkKind
from matinee.lab.demo.canvas import FULL_HD, hexed, picture_of
from matinee.lab.demo.reel import FPS, Look, Picture, Reel

FONTS = Path(__file__).parents[1] / "data" / "fonts"
POSTER, CARD, BACKDROP = (800, 1200), (960, 540), (1920, 1080)


def title_artwork(reel: Reel, folder: Path) -> list[Picture]:
    """The title's poster and card in each language, and its backdrop."""
    frame, look, made = reel.scene(FULL_HD), reel.look, []
    instants = {s: picture_of(frame(round(s * FPS)).planes(), FULL_HD) for s in _instants(look)}
    names = reel.heading or reel.names
    for language, name in names.items():
        poster = _titled(_cropped(instants[look.poster_s], look.focus), name, look, tall=True)
        made.append(_saved(poster, folder, "poster", language))
        card = _titled(instants[look.card_s].resize(CARD, Image.Resampling.LANCZOS), name, look, tall=False)
        made.append(_saved(card, folder, "card", language))
    return [*made, _saved(instants[look.backdrop_s], folder, "backdrop", None)]


def stills(reel: Reel, folder: Path) -> list[Picture]:
    """An episode's still."""
    picture = picture_of(reel.scene(FULL_HD)(round(reel.look.card_s * FPS)).planes(), FULL_HD)
    return [_saved(picture.resize(CARD, Image.Resampling.LANCZOS), folder, "still", None)]


def _instants(look: Look) -> set[float]:
    return {look.poster_s, look.card_s, look.backdrop_s}


def _saved(picture: Image.Image, folder: Path, kind: ArtworkKind, language: str | None) -> Picture:
    path = folder / (f"{kind}.{language}.webp" if language else f"{kind}.webp")
    picture.convert("RGB").save(path, quality=84, method=2)
    red, green, blue = (round(float(c) * 0.7) for c in np.asarray(picture.convert("RGB").reduce(16)).mean(axis=(0, 1)))
    return Picture(
        kind=kind,
        path=str(path),
        width_px=picture.width,
        height_px=picture.height,
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        language=language,
    )


def _cropped(frame: Image.Image, focus: float) -> Image.Image:
    width = frame.height * 2 // 3
    left = round((frame.width - width) * focus)
    return frame.crop((left, 0, left + width, frame.height)).resize(POSTER, Image.Resampling.LANCZOS)


def _titled(picture: Image.Image, name: str, look: Look, *, tall: bool) -> Image.Image:
    picture = _shaded(picture, look, tall=tall)
    width, height = picture.size
    margin = round(width * (0.085 if tall else 0.055))
    text = name.upper() if look.capitals else name
    room = (width - 2 * margin, height * (0.34 if tall else 0.42)) if tall else (width * 0.5, height * 0.5)
    lines, size = _fitted(text, look, room, biggest=width * (0.2 if tall else 0.092))
    face, gap = _face(look.font, look.weight, size), size * _leading(look)
    foot = round(width * 0.032) if tall and look.by else 0
    block = gap * len(lines) + (foot * 2.5 if foot else 0)
    top = margin * 1.1 if look.at == "top" else height - margin * (1.0 if tall else 0.9) - block
    pen = ImageDraw.Draw(picture)
    for n, line in enumerate(lines):
        _set(pen, (margin, top + n * gap), line, face, look.ink, look.tracking * size)
    if foot:
        small = _face("jost", 500, foot)
        _set(pen, (margin + 2, top + gap * len(lines) + foot * 1.3), look.by.upper(), small, look.ink, foot * 0.16)
    return picture


def _shaded(picture: Image.Image, look: Look, *, tall: bool) -> Image.Image:
    """A soft gradient under the type, so that it can be read on any picture."""
    width, height = picture.size
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    if tall:
        mask = ((1 - down if look.at == "top" else down) - 0.42).clip(0) / 0.58 * np.ones((1, width), np.float32)
    else:
        across = np.linspace(1, 0, width, dtype=np.float32)[None, :]
        near = 1 - down if look.at == "top" else down
        mask = ((near - 0.35).clip(0) / 0.65) * 0.7 + across * 0.3 * near
    alpha = Image.fromarray((mask.clip(0, 1) ** 1.25 * 255 * look.scrim).clip(0, 255).astype(np.uint8))
    return Image.composite(Image.new("RGB", picture.size, hexed(look.shade)), picture.convert("RGB"), alpha)


def _fitted(text: str, look: Look, room: tuple[float, float], *, biggest: float) -> tuple[list[str], float]:
    """The lines and the greatest size at which they fit a room."""
    fits = [(_size(lines, look, room, biggest), lines) for lines in _broken(text.split())]
    greatest = max(size for size, _ in fits)
    good = [(len(lines), _widest(lines, look), size, lines) for size, lines in fits if size * 1.08 >= greatest]
    _, _, size, lines = min(good, key=lambda fit: fit[:2])
    return lines, size


def _size(lines: list[str], look: Look, room: tuple[float, float], biggest: float) -> float:
    return min(biggest, room[0] / _widest(lines, look), room[1] / (len(lines) * _leading(look)))


def _widest(lines: list[str], look: Look) -> float:
    return max(_width(line, look) for line in lines)


def _broken(words: list[str]) -> Iterator[list[str]]:
    """Every way to set words in at most four lines, in their order."""
    for cuts in range(1 << (len(words) - 1)):
        lines = [[words[0]]]
        for n, word in enumerate(words[1:]):
            if cuts >> n & 1:
                lines.append([word])
            else:
                lines[-1].append(word)
        if len(lines) <= 4:
            yield [" ".join(line) for line in lines]


def _width(line: str, look: Look) -> float:
    """A line's width at size 1."""
    return _face(look.font, look.weight, 100).getlength(line) / 100 + look.tracking * (len(line) - 1)


def _leading(look: Look) -> float:
    return {"bebas-neue": 0.92, "cormorant-italic": 0.92, "space-mono": 1.15}.get(look.font, 1.02)


def _set(
    pen: ImageDraw.ImageDraw,
    at: tuple[float, float],
    line: str,
    face: ImageFont.FreeTypeFont,
    ink: str,
    tracking: float,
) -> None:
    x, y = at
    if not tracking:
        pen.text((x, y), line, font=face, fill=hexed(ink))
        return
    for letter in line:
        pen.text((x, y), letter, font=face, fill=hexed(ink))
        x += face.getlength(letter) + tracking


@cache
def _face(font: str, weight: int, size: float) -> ImageFont.FreeTypeFont:
    return typeface(font, weight, size)


def typeface(font: str, weight: int, size: float) -> ImageFont.FreeTypeFont:
    """One of the deployment's fonts at a weight and a size in pixels."""
    face = ImageFont.truetype(FONTS / f"{font}.woff2", size)
    if font not in {"bebas-neue", "space-mono"}:
        face.set_variation_by_axes([weight])
    return face
