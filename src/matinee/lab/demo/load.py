"""Loads scenes from `lab/data/scenes`: backgrounds, sprites with their pictures, and motions.

A picture is the name of a computed one, or a table: its `kind` names a function, by default `drawing`, and the rest are
its arguments.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from matinee.lab.demo.canvas import Art, Point
from matinee.lab.demo.motion import Cycle, Trajectory
from matinee.lab.demo.scene import Animation, Effect, Scene, Sprite, scatter
from matinee.lab.demo.shapes import drawing, mountains, to_shape
from matinee.lab.demo.textures import add_texture, glow, gradient, word

_SCENES = Path(__file__).parents[1] / "data" / "scenes"
_KINDS: Mapping[str, Callable[..., Art]] = {
    function.__name__: function for function in (add_texture, drawing, glow, gradient, mountains, word)
}


def load(slug: str, *, animation: Animation | None = None, effect: Effect | None = None, **computed: Any) -> Scene:
    """Return the scene of a film; `computed` are its sprites, pictures, kinds of picture and motions made by code."""
    data = tomllib.loads((_SCENES / f"{slug}.toml").read_text(encoding="utf-8"))
    computed |= {name: _to_art(picture, computed) for name, picture in data.get("pictures", {}).items()}
    background = _to_art(data["background"], computed) if "background" in data else None
    sprites: list[Sprite] = []
    for table in data["sprites"]:
        sprites += computed[table["computed"]] if "computed" in table else [to_sprite(table, computed)]
    return Scene(background, sprites, animation, effect)


def to_sprite(table: dict[str, Any], computed: Mapping[str, Any]) -> Sprite:
    """Return a sprite as it is described in a scene."""
    art, rows = table.pop("art"), [tuple(row) for row in table.pop("places", ())]
    if "scatter" in table:
        rows = scatter(*table.pop("scatter"))
    return Sprite(
        [_to_art(each, computed) for each in art] if isinstance(art, list) else _to_art(art, computed),
        _to_trajectory(table, computed),
        rows=rows,
        pick=msgspec.convert(table.pop("pick", {}), Cycle),
        **table,
    )


def _to_trajectory(table: dict[str, Any], computed: Mapping[str, Any]) -> Callable[..., Point | None]:
    described = {name: table.pop(name) for name in ("x", "y", "jitter") if name in table}
    trajectory: Callable[..., Point | None] = (
        computed[table.pop("at")] if "at" in table else msgspec.convert(described, Trajectory)
    )
    clock = computed[table.pop("clock")] if "clock" in table else None
    return (lambda t, n, *row: trajectory(clock(t), n, *row)) if clock else trajectory


def _to_art(picture: str | dict[str, Any], computed: Mapping[str, Any]) -> Art:
    if isinstance(picture, str):
        return cast(Art, computed[picture])
    arguments = dict(picture)
    if "art" in arguments:
        arguments["art"] = _to_art(arguments["art"], computed)
    if "shapes" in arguments:
        arguments["shapes"] = [to_shape(*values) for values in arguments["shapes"]]
    make: Callable[..., Art] = {**_KINDS, **computed}[arguments.pop("kind", "drawing")]
    return make(**arguments)
