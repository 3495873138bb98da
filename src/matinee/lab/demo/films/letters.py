"""Letters never sent: a film of type only, written, struck out, stacked and let fall."""

from __future__ import annotations

from math import sin

import numpy as np
from PIL import Image

from matinee.lab.demo.canvas import Art, Point, Size, to_image
from matinee.lab.demo.motion import ease, overshoot
from matinee.lab.demo.scene import Scene, Sprite, scatter
from matinee.lab.demo.shapes import box, drawing
from matinee.lab.demo.textures import noise, word

_INK, _RED, _PAPER, _NIGHT = "#201a1c", "#c8362b", "#efe5d2", "#1d1a22"
_STACKED_S, _STRUCK_S, _FALLING_S, _SIGNED_S = 6, 11, 15.5, 21
_DRAFT = ("Dear Ines,", "it rained again today and I", "thought of the kitchen, the", "radio, your blue umbrella.")
# The letters of the draft in the order of typing, each with its column and row.
_TYPED = [(letter, column, row) for row, text in enumerate(_DRAFT) for column, letter in enumerate(text)]
_END = ("", len(_DRAFT[-1]), len(_DRAFT) - 1)
_ALPHABET = sorted({letter for letter, _, _ in _TYPED})
_STACK = (("I MEANT", "#f3e7cf"), ("TO WRITE", "#f3e7cf"), ("SOONER", "#e4574a"))
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


def _slide(t: float, n: int) -> Point:
    """Bring a big word in from one side and take it out again."""
    arrival, departure = overshoot((t - 0.2 - n * 0.55) / 0.7), ease((t - 4.3 - n * 0.08) / 0.6)
    return 96 + ((1 - arrival) * 1280 + departure * 1400) * (1 if n % 2 else -1), 22 + n * 214 + 5 * sin(t * 1.2 + n)


def _stroke(t: float) -> float:
    return ease((t - 1.2) / 0.8)


def _rise(t: float) -> float:
    return 110 * ease((t - 2.6) / 0.9)


def _sign(t: float, n: int) -> Point | None:
    visible = ease((t - 0.4 - n) / 0.9)
    return (330 + n * 210, 170 + n * 150 + 44 * (1 - visible)) if visible > 0.02 else None


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
        start_s=_FALLING_S,
        end_s=_SIGNED_S,
    )


SCENE = Scene(
    _sheet(_PAPER),
    [
        Sprite(_sheet(_NIGHT), start_s=_STACKED_S, end_s=_STRUCK_S),
        Sprite(_sheet(_NIGHT), start_s=_FALLING_S, end_s=_SIGNED_S),
        Sprite(
            [word(letter, "space-mono", 400, 61, _INK) for letter in _ALPHABET],
            _type,
            rows=_TYPED,
            pick=lambda t, n, letter, *_: _ALPHABET.index(letter),
            end_s=_STACKED_S,
        ),
        Sprite(drawing(28, 64, [box(_RED, 0, 0, 28, 64)]), _move_caret, end_s=_STACKED_S),
        Sprite(
            [word(text, "bebas-neue", 400, 236, colour) for text, colour in _STACK],
            _slide,
            count=3,
            start_s=_STACKED_S,
            end_s=_STRUCK_S,
        ),
        Sprite(
            word("I miss you.", "cormorant-italic", 500, 150, _INK),
            lambda t, _: (320, 300 - _rise(t)),
            start_s=_STRUCK_S,
            end_s=_FALLING_S,
        ),
        Sprite(
            [drawing(32 * n, 7, [box(_RED, 0, 0, 32 * n, 7)]) for n in range(1, 21)],
            lambda t, _: (312, 404 - _rise(t)) if _stroke(t) > 0.025 else None,
            pick=lambda t, _: round(_stroke(t) * 20) - 1,
            start_s=_STRUCK_S,
            end_s=_FALLING_S,
        ),
        Sprite(
            word("I am fine.", "cormorant-italic", 500, 150, _INK),
            lambda t, _: (320, 392 + 60 * (1 - ease(t / 0.8))),
            start_s=_STRUCK_S + 2.9,
            end_s=_FALLING_S,
        ),
        _snow(),
        Sprite(
            [word(text, "cormorant-italic", 500, 170, _INK) for text in ("Yours,", "still.")],
            _sign,
            count=2,
            start_s=_SIGNED_S,
        ),
        Sprite(word("Do not forward.", "space-mono", 400, 24, _RED), lambda t, _: (560, 560), start_s=_SIGNED_S + 2.8),
    ],
)
