"""Posters, cards, backdrops and stills: instants of the film itself, with its title set in type."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from matinee.catalogue.api import Artwork, ArtworkKind
from matinee.lab.demo.canvas import FULL_HD, Point, to_image, to_picture
from matinee.lab.demo.films import SCENES
from matinee.lab.demo.reels import ENTRIES, ArtworkStyle, Reel
from matinee.lab.demo.scene import FPS
from matinee.lab.demo.textures import typeface

LANGUAGES = ("en", "de")  # of the letters in our fonts
POSTER, CARD, BACKDROP = (800, 1200), (960, 540), (1920, 1080)
_LEADING = {"bebas-neue": 0.92, "cormorant-italic": 0.92, "space-mono": 1.15}


def make_title_artwork(reel: Reel, folder: Path) -> list[Artwork]:
    """Make the poster and card of the title in each language, and its backdrop."""
    style, files = reel.artwork, []
    poster, card, backdrop = _paint(reel, style.poster_s, style.card_s, style.backdrop_s)
    poster, card = _crop(poster, style.focus), card.resize(CARD, Image.Resampling.LANCZOS)
    for language in LANGUAGES:
        name = ENTRIES[reel.slug].draft.names[language]
        files.append(_save(_add_title(poster, name, style, tall=True), folder, "poster", language))
        files.append(_save(_add_title(card, name, style, tall=False), folder, "card", language))
    return [*files, _save(backdrop, folder, "backdrop", None)]


def make_stills(reel: Reel, folder: Path) -> list[Artwork]:
    """Make the still of an episode."""
    [picture] = _paint(reel, reel.artwork.card_s)
    return [_save(picture.resize(CARD, Image.Resampling.LANCZOS), folder, "still", None)]


def _paint(reel: Reel, *instants_s: float) -> list[Image.Image]:
    frames = SCENES[reel.slug].render(FULL_HD)
    return [to_picture(frames(round(instant_s * FPS)).planes(), FULL_HD) for instant_s in instants_s]


def _save(picture: Image.Image, folder: Path, kind: ArtworkKind, language: str | None) -> Artwork:
    name = f"{kind}.{language}.webp" if language else f"{kind}.webp"
    picture.save(folder / name, quality=84, method=2)
    red, green, blue = (round(float(c) * 0.7) for c in np.asarray(picture.reduce(16)).mean(axis=(0, 1)))
    return Artwork(
        kind=kind,
        path=name,
        width_px=picture.width,
        height_px=picture.height,
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        language=language,
    )


def _crop(frame: Image.Image, focus: float) -> Image.Image:
    width = frame.height * 2 // 3
    left = round((frame.width - width) * focus)
    return frame.crop((left, 0, left + width, frame.height)).resize(POSTER, Image.Resampling.LANCZOS)


def _add_title(picture: Image.Image, name: str, style: ArtworkStyle, *, tall: bool) -> Image.Image:
    picture = _shade(picture, style, tall=tall)
    width, height = picture.size
    margin = round(width * (0.085 if tall else 0.055))
    area = (width - 2 * margin, height * 0.34) if tall else (width * 0.5, height * 0.5)
    lines, size = fit_title(name, style, area, max_size=width * (0.2 if tall else 0.092))
    line_height = size * _LEADING.get(style.font, 1.02)
    by_size = round(width * 0.032) if tall and style.by else 0
    bottom = height - margin * (1.0 if tall else 0.9) - line_height * len(lines) - by_size * 2.5
    top = margin * 1.1 if style.title_at == "top" else bottom
    pen, face = ImageDraw.Draw(picture), typeface(style.font, style.weight, size)
    for n, text in enumerate(lines):
        _set_type(pen, (margin, top + n * line_height), text, face, style.ink, style.tracking * size)
    if by_size:
        at = (margin + 2, top + line_height * len(lines) + by_size * 1.3)
        _set_type(pen, at, style.by.upper(), typeface("jost", 500, by_size), style.ink, by_size * 0.16)
    return picture


def _shade(picture: Image.Image, style: ArtworkStyle, *, tall: bool) -> Image.Image:
    """Add a soft gradient below the type, so that it can be read on any picture."""
    width, height = picture.size
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    near = 1 - down if style.title_at == "top" else down
    across = np.linspace(1, 0, width, dtype=np.float32)[None, :]
    if tall:
        mask = (near - 0.42).clip(0) / 0.58 * np.ones_like(across)
    else:
        mask = ((near - 0.35).clip(0) / 0.65) * 0.7 + across * 0.3 * near
    alpha = to_image(mask.clip(0, 1) ** 1.25 * 255 * style.scrim)
    return Image.composite(Image.new("RGB", picture.size, style.shade), picture, alpha)


def fit_title(name: str, style: ArtworkStyle, area: Point, *, max_size: float) -> tuple[list[str], float]:
    """Return the lines of a title and the greatest size at which they fit an area."""
    text, leading = name.upper() if style.capitals else name, _LEADING.get(style.font, 1.02)
    fits = []
    for lines in _break_lines(text.split()):
        widest = max(line_width(line, style) for line in lines)
        fits.append((len(lines), widest, min(max_size, area[0] / widest, area[1] / (len(lines) * leading)), lines))
    greatest = max(size for _, _, size, _ in fits)
    _, _, size, lines = min((fit for fit in fits if fit[2] * 1.08 >= greatest), key=lambda fit: fit[:2])
    return lines, size


def line_width(line: str, style: ArtworkStyle) -> float:
    """Return the width of a line at size 1."""
    return typeface(style.font, style.weight, 100).getlength(line) / 100 + style.tracking * (len(line) - 1)


def _break_lines(words: list[str]) -> Iterator[list[str]]:
    """Yield every way to set words in at most four lines."""
    for count in range(4):
        for cuts in combinations(range(1, len(words)), count):
            yield [" ".join(words[start:end]) for start, end in pairwise((0, *cuts, len(words)))]


def _set_type(
    pen: ImageDraw.ImageDraw, at: Point, text: str, face: ImageFont.FreeTypeFont, ink: str, tracking: float
) -> None:
    x, y = at
    for part in text if tracking else [text]:
        pen.text((x, y), part, font=face, fill=ink)
        x += face.getlength(part) + tracking
