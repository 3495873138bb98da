"""Letters never sent: a film of nothing but type, written, struck out, stacked and let fall."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from matinee.lab.demo.artwork import typeface
from matinee.lab.demo.canvas import Layer, Size, Stage, ease, hexed, layer, noise, out_back

SECONDS = 26
HELD = 1
_INK, _RED, _PAPER = "#201a1c", "#c8362b", "#efe5d2"
_DRAFTS = ("Dear Ines,", "it rained again today and I", "thought of the kitchen, the", "radio, your blue umbrella.")
_STACK = (("I MEANT", 0.0), ("TO WRITE", 0.5), ("SOONER", 1.0))


def scene(size: Size) -> Callable[[int], Stage]:
    """The film as a function of the frame."""
    paper, night = layer(_paper(size, _PAPER)), layer(_paper(size, "#1d1a22"))
    acts = [_typed(size), _stacked(size), _struck(size), _falling(size), _signed(size)]
    starts = (0.0, 6.0, 11.0, 15.5, 21.0)

    def frame(index: int) -> Stage:
        t = index / 24
        act = max(n for n, start in enumerate(starts) if t >= start)
        stage = Stage(size, night if act in {1, 3} else paper)
        acts[act](stage, t - starts[act])
        return stage

    return frame


def _paper(size: Size, colour: str) -> Image.Image:
    fibres = noise(size.width, size.height, 3, cell=9 * size.k, octaves=3, stretch=2) - 0.5
    fold = np.exp(-(((np.arange(size.width) / size.width - 0.5) * 60) ** 2)) * 7
    picture = np.array(hexed(colour), np.float32) + (fibres * 9 - fold[None, :])[:, :, None]
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def _word(size: Size, text: str, font: str, weight: int, units: float, colour: str) -> Layer:
    face = typeface(font, weight, units * size.k)
    image = Image.new("RGBA", (round(face.getlength(text)) + size.px(8), round(units * size.k * 1.4)))
    ImageDraw.Draw(image).text((size.px(2), 0), text, font=face, fill=hexed(colour))
    return layer(image)


def _typed(size: Size) -> Callable[[Stage, float], None]:
    """A typewriter, a letter every two frames."""
    pitch, line_height = 36.6, 92
    cast = {c: _word(size, c, "space-mono", 400, 61, _INK) for c in set("".join(_DRAFTS))}
    caret = layer(Image.new("RGBA", (size.px(28), size.px(64)), (*hexed(_RED), 255)))

    def act(stage: Stage, t: float) -> None:
        typed, k = int(max(0.0, t - 0.6) * 19), size.k
        for row, text in enumerate(_DRAFTS):
            shown = text[: max(0, typed)]
            for column, letter in enumerate(shown):
                stage.put(cast[letter], k * (140 + column * pitch), k * (170 + row * line_height))
            if 0 <= typed <= len(text) and (typed < len(text) or row == len(_DRAFTS) - 1):
                stage.put(caret, k * (146 + len(shown) * pitch), k * (184 + row * line_height))
            typed -= len(text)
            if typed < 0:
                break
        if typed >= 0 and int(t * 2.4) % 2:
            stage.put(caret, k * (146 + len(_DRAFTS[-1]) * pitch), k * (184 + 3 * line_height))

    return act


def _stacked(size: Size) -> Callable[[Stage, float], None]:
    """Great words come in one by one and push one another up."""
    words = [
        _word(size, text, "bebas-neue", 400, 236, ("#f3e7cf", "#f3e7cf", "#e4574a")[n])
        for n, (text, _) in enumerate(_STACK)
    ]

    def act(stage: Stage, t: float) -> None:
        for n, (word, (_, wait)) in enumerate(zip(words, _STACK, strict=True)):
            here = out_back((t - 0.2 - wait * 1.1) / 0.7)
            leave = ease((t - 4.3 - n * 0.08) / 0.6)
            x = 96 + (1 - here) * 1280 * (1 if n % 2 else -1) + leave * 1400 * (1 if n % 2 else -1)
            stage.put(word, size.k * x, size.k * (22 + n * 214 + 5 * math.sin(t * 1.2 + n)))

    return act


def _struck(size: Size) -> Callable[[Stage, float], None]:
    """A sentence with its better half crossed out."""
    first = _word(size, "I am fine.", "cormorant-italic", 500, 150, _INK)
    second = _word(size, "I miss you.", "cormorant-italic", 500, 150, _INK)
    stroke = layer(Image.new("RGBA", (size.px(640), size.px(7)), (*hexed(_RED), 255)))

    def act(stage: Stage, t: float) -> None:
        k = size.k
        stage.put(second, k * 320, k * (300 - 110 * ease((t - 2.6) / 0.9)))
        drawn = ease((t - 1.2) / 0.8)
        if drawn > 0:
            width = max(2, size.px(640 * drawn))
            line = Layer(
                *(
                    plane.crop((0, 0, width if n in {0, 3} else width // 2, plane.height))
                    for n, plane in enumerate(stroke)
                )
            )
            stage.put(line, k * 312, k * (404 - 110 * ease((t - 2.6) / 0.9)))
        if t > 2.9:
            stage.put(first, k * 320, k * (392 + 60 * (1 - ease((t - 2.9) / 0.8))))

    return act


def _falling(size: Size) -> Callable[[Stage, float], None]:
    """Every letter that was not sent, falling like snow."""
    random = np.random.default_rng(12)
    fonts = (("fraunces", 500), ("space-mono", 400), ("jost", 500), ("cormorant-italic", 600))
    flakes = []
    for n in range(90):
        depth = float(random.random()) ** 1.5
        font, weight = fonts[n % 4]
        colour = "#e4574a" if n % 11 == 0 else ("#5d5666", "#9d94a0", "#f3e7cf")[int(depth * 2.99)]
        letter = _word(
            size, str(random.choice(list("abcdefghijklmnopqrstuvwxyz&?,"))), font, weight, 26 + 118 * depth, colour
        )
        flakes.append((letter, float(random.uniform(-40, 1260)), float(random.uniform(-1500, 100)), 110 + 330 * depth))
    flakes.sort(key=lambda flake: flake[3])

    def act(stage: Stage, t: float) -> None:
        for n, (letter, x, y, speed) in enumerate(flakes):
            stage.put(letter, size.k * (x + 26 * math.sin(t * 1.1 + n)), size.k * (y + speed * (t + 0.4)))

    return act


def _signed(size: Size) -> Callable[[Stage, float], None]:
    """How it ends."""
    words = [_word(size, text, "cormorant-italic", 500, 170, _INK) for text in ("Yours,", "still.")]
    dot = _word(size, "Do not forward.", "space-mono", 400, 24, _RED)

    def act(stage: Stage, t: float) -> None:
        for n, word in enumerate(words):
            here = ease((t - 0.4 - n * 1.0) / 0.9)
            if here > 0.02:
                stage.put(word, size.k * (330 + n * 210), size.k * (170 + n * 150 + 44 * (1 - here)))
        if t > 2.8:
            stage.put(dot, size.k * 560, size.k * 560)

    return act
