"""Scenes as data: what a film shows and where it is at each instant, and the renderer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any, TypeAlias

import numpy as np

from matinee.lab.demo.canvas import Art, Frame, Layer, Point, Size, to_layer

FPS = 24
Frames: TypeAlias = Callable[[int], Frame]
Animation: TypeAlias = Callable[[Size], Frames]
Effect: TypeAlias = Callable[[Frame, int], None]


@dataclass(frozen=True)
class Sprite:
    """Pictures and their motion: one instance for each of `rows`, or `count` of them.

    Instance `n` appears `n * each_s` seconds after `start_s`. `at(t, n, *row)` returns its place in units at `t`
    seconds after that, or None to hide it. `pick(t, n, *row)` is the number of its picture, modulo their count.
    `anchor` is the point of the picture at that place, as shares of its size.
    """

    art: Art | Sequence[Art]
    at: Callable[..., Point | None] = lambda t, n: (0, 0)
    rows: Sequence[tuple[Any, ...]] = ()
    count: int = 1
    pick: Callable[..., int] = lambda t, n, *row: n
    anchor: Point = (0, 0)
    start_s: float = 0
    each_s: float = 0
    end_s: float = inf

    @property
    def arts(self) -> Sequence[Art]:
        """Its pictures."""
        return self.art if isinstance(self.art, Sequence) else (self.art,)

    def place(self, t: float) -> list[tuple[int, Point]]:
        """Return the number of the picture and the place of each visible instance."""
        if not self.start_s <= t < self.end_s:
            return []
        instances = [
            (n, t - self.start_s - n * self.each_s, row) for n, row in enumerate(self.rows or [()] * self.count)
        ]
        placed = [(n, t, row, self.at(t, n, *row)) for n, t, row in instances if t >= 0]
        return [(self.pick(t, n, *row) % len(self.arts), place) for n, t, row, place in placed if place]


@dataclass(frozen=True)
class Scene:
    """A still or animated background, sprites from back to front, and an effect on each finished frame."""

    background: Art | None = None
    sprites: Sequence[Sprite] = ()
    animation: Animation | None = None
    effect: Effect | None = None

    def render(self, size: Size) -> Frames:
        """Return the film as a function of the frame's number; pictures are drawn when first needed."""
        still = to_layer(self.background(size)) if self.background else None
        animation = self.animation(size) if self.animation else lambda index: Frame(size, still)

        @cache
        def draw(number: int, picture: int) -> Layer:
            return to_layer(self.sprites[number].arts[picture](size))

        def compose(index: int) -> Frame:
            frame = animation(index)
            for number, sprite in enumerate(self.sprites):
                for picture, (x, y) in sprite.place(index / FPS):
                    layer = draw(number, picture)
                    left, top = sprite.anchor[0] * layer.y.width, sprite.anchor[1] * layer.y.height
                    frame.paste(layer, x * size.k - left, y * size.k - top)
            if self.effect:
                self.effect(frame, index)
            return frame

        return compose


def scatter(seed: int, count: int, *ranges: Point) -> list[tuple[float, ...]]:
    """Return rows of random values, one from each range; the same seed gives the same rows."""
    low, high = zip(*ranges, strict=True)
    return [tuple(row) for row in np.random.default_rng(seed).uniform(low, high, (count, len(ranges))).tolist()]
