"""Motions as data: where a sprite is at each instant, and which of its pictures it shows."""

from __future__ import annotations

from collections.abc import Callable
from math import sin
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from matinee.lab.demo.canvas import Point


def ease(t: float) -> float:
    """Go from 0 to 1, softly at both ends."""
    t = min(1.0, max(0.0, t))
    return t * t * t * (t * (t * 6 - 15) + 10)


def overshoot(t: float) -> float:
    """Go from 0 to 1, a little too far, and back."""
    t = min(1.0, max(0.0, t)) - 1
    return 1 + 2.3 * t * t * t + 1.3 * t * t


_CURVES: dict[str, Callable[[float], float]] = {"ease": ease, "overshoot": overshoot}


class Sway(NamedTuple):
    """A sine: its amplitude in units, radians per second, and radians from one instance to the next."""

    by: float
    rate: float
    step: float = 0
    phase: float = 0


class Move(NamedTuple):
    """A move that takes some seconds and is made once."""

    by: float
    start_s: float
    seconds: float
    curve: Literal["ease", "overshoot"] = "ease"


class Axis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A coordinate in units: the sum of a start, a constant speed (units per second), sways and moves.

    Instance `n` starts `n * each` further on. The result is wrapped into a range if one is given.
    """

    at: float = 0
    each: float = 0
    speed: float = 0
    sways: tuple[Sway, ...] = ()
    moves: tuple[Move, ...] = ()
    wrap: Point | None = None

    def value(self, t: float, n: int, start: float, pace: float) -> float:
        """Return the coordinate at `t` seconds; speed and moves are multiplied by `pace`."""
        value = self.at + start + n * self.each + self.speed * t * pace
        for sway in self.sways:
            value += sway.by * sin(sway.rate * t + sway.step * n + sway.phase)
        for move in self.moves:
            value += move.by * _CURVES[move.curve]((t - move.start_s) / move.seconds) * pace
        if self.wrap is None:
            return value
        low, high = self.wrap
        return (value - low) % (high - low) + low


class Trajectory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The place of each instance; its row is where it starts and, optionally, its pace.

    With `jitter`, a seed, it is never quite still: eight times a second it is put down anew by hand.
    """

    x: Axis = Axis()
    y: Axis = Axis()
    jitter: int | None = None

    def __call__(self, t: float, n: int, x: float = 0, y: float = 0, pace: float = 1) -> Point:
        """Return the place of instance `n` at `t` seconds."""
        x, y = self.x.value(t, n, x, pace), self.y.value(t, n, y, pace)
        if self.jitter is None:
            return x, y
        dx, dy = np.random.default_rng(round(t * 8) * 131 + self.jitter).normal(0, 0.9, 2).tolist()
        return x + dx, y + dy


class Cycle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number of a picture, which grows by `rate` per second and by `step` from one instance to the next."""

    at: float = 0
    rate: float = 0
    step: float = 1

    def __call__(self, t: float, n: int, *row: object) -> int:
        """Return the number for instance `n` at `t` seconds."""
        return int(self.at + self.rate * t + self.step * n)
