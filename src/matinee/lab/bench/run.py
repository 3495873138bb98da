"""Runs areas of the bench one after another, each alone on the machine, and keeps the figures."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from rich.table import Table

from matinee.lab.bench.figure import Figure

AREAS = ("edge", "start", "mesh", "encode", "play", "positions", "events", "cache", "stores", "objects", "rest")
KEPT = Path("build/bench.json")


def run(areas: Sequence[str], begins: Callable[[str], None]) -> list[Figure]:
    """Measure some areas, or all; `begins` hears of each. What was measured is written to `build/bench.json`."""
    found: list[Figure] = []
    for area in areas or AREAS:
        begins(area)
        found += _figures(area)()
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return found


def _figures(area: str) -> Callable[[], list[Figure]]:
    """An area's own function; imported when it is wanted, because each brings tools of its own."""
    found: Callable[[], list[Figure]] = importlib.import_module(f"matinee.lab.bench.{area}").figures
    return found


def table(found: Sequence[Figure]) -> Table:
    """Figures for a terminal."""
    made = Table("area", "what", "ours", "baseline", "ratio", "goal", "met", box=None, header_style="bold")
    for figure in found:
        made.add_row(*_cells(figure))
    return made


def _cells(figure: Figure) -> Iterator[str]:
    yield figure.area
    yield figure.name
    yield f"{figure.value:.4g} {figure.unit}"
    yield "" if figure.baseline is None else f"{figure.baseline:.4g} {figure.unit} ({figure.baseline_name})"
    yield "" if figure.ratio is None else f"{figure.ratio:.2f}"
    yield "" if figure.goal is None else f"≤ {figure.goal:g}"
    yield "" if figure.met is None else "yes" if figure.met else "NO"
