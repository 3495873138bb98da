"""Letters never sent: a film of type only, written, struck out, stacked and let fall."""

from __future__ import annotations

from math import sin

import numpy as np
from PIL import Image

from matinee.lab.demo.canvas import Art, Point, Size, to_image
from matinee.lab.demo.load import load
from matinee.lab.demo.scene import Sprite, scatter
from matinee.lab.demo.shapes import box, drawing
from matinee.lab.demo.textures import noise, word

_INK = "#201a1c"
_DRAFT = ("Dear Ines,", "it rained again today and I", "thought of the kitchen, the", "radio, your blue umbrella.")
# The letters of the draft in the order of typing, each with its column and row.
_TYPED = [(letter, column, row) for row, text in enumerate(_DRAFT) for column, letter in enumerate(text)]
_END = ("", len(_DRAFT[-1]), len(_DRAFT) - 1)
_ALPHABET = sorted({letter for letter, _, _ in _TYPED})
_FONTS = (("fraunces", 500), ("space-mono", 400), ("jost", 500), ("cormorant-italic", 600))


def _sheet(colour: str) -> Art:
    """Return a sheet of paper with fibres and a fold."""

    def paint(size: Size) -> Image.Image:
        fibres = noise(size.width, size.height, 3, cell=9 * size.k, octaves=3, stretch=2) - 0.5
        fold = np.exp(-(((np.arange(size.width) / size.width - 0.5) * 60) ** 2)) * 7
        plain = np.asarray(Image.new("RGB", size, colour), np.float32)
        return to_image(plain + (fibres * 9 - fold[None, :])[:, :, None])

    return paint


def _count_typed(t: float) -> int:
    return int(max(0.0, t - 0.6) * 19)


def _type(t: float, n: int, _: str, column: int, row: int) -> Point | None:
    return (140 + column * 36.6, 170 + row * 92) if n < _count_typed(t) else None


def _move_caret(t: float, _: int) -> Point | None:
    typed = _count_typed(t)
    if typed >= len(_TYPED) and not int(t * 2.4) % 2:
        return None
    column, row = (_TYPED[typed] if typed < len(_TYPED) else _END)[1:]
    return 146 + column * 36.6, 184 + row * 92


def _snow() -> Sprite:
    """Return every letter that was not sent, falling like snow; the nearer, the larger and the faster."""
    rows, art = scatter(12, 90, (-40, 1260), (-1500, 100), (0, 1), (0, 29)), []
    rows.sort(key=lambda row: row[2])
    for n, (_, _, near, letter) in enumerate(rows):
        colour = "#e4574a" if n % 11 == 0 else ("#5d5666", "#9d94a0", "#f3e7cf")[int(near**1.5 * 2.99)]
        text = "abcdefghijklmnopqrstuvwxyz&?,"[int(letter)]
        art.append(word(text, *_FONTS[n % 4], 26 + 118 * near**1.5, colour))
    return Sprite(
        art,
        lambda t, n, x, y, near, _: (x + 26 * sin(t * 1.1 + n), y + (110 + 330 * near**1.5) * (t + 0.4)),
        rows=rows,
        start_s=15.5,
        end_s=21,
    )


def _draft() -> list[Sprite]:
    """Return a letter that is being typed, and the caret."""
    letters = [word(letter, "space-mono", 400, 61, _INK) for letter in _ALPHABET]
    return [
        Sprite(letters, _type, rows=_TYPED, pick=lambda t, n, letter, *_: _ALPHABET.index(letter), end_s=6),
        Sprite(drawing(28, 64, [box("#c8362b", 0, 0, 28, 64)]), _move_caret, end_s=6),
    ]


SCENE = load("letters", sheet=_sheet, draft=_draft(), snow=[_snow()])
