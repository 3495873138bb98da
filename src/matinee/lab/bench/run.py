"""Runs areas of the bench one after another and writes the figures to a file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from rich.table import Table

from matinee.lab.bench.figure import Figure
from matinee.lab.bench.timing import Bench

AREAS = (
    "edge",
    "start",
    "mesh",
    "tracing",
    "encode",
    "play",
    "positions",
    "events",
    "cache",
    "stores",
    "objects",
    "rest",
)
FILE = Path("build/bench.json")


def run(areas: Sequence[str], bench: Bench, on_area: Callable[[str], None]) -> list[Figure]:
    """Measure some areas, or all, and write the figures to `build/bench.json`."""
    figures: list[Figure] = []
    for area in areas or AREAS:
        on_area(area)
        figures += measure(area, bench)
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2))
    return figures


def measure(area: str, bench: Bench) -> list[Figure]:
    """Measure one area. Its module is imported here, because each imports tools of its own."""
    figures: list[Figure] = importlib.import_module(f"matinee.lab.bench.{area}").measure(bench)
    return figures


def to_table(figures: Sequence[Figure]) -> Table:
    """Return figures as a table for a terminal."""
    table = Table("area", "name", "value", "baseline", "ratio", "goal", "met", box=None, header_style="bold")
    for figure in figures:
        table.add_row(*_cells(figure))
    return table


def _cells(figure: Figure) -> Iterator[str]:
    yield figure.area
    yield figure.name
    yield f"{figure.value:.4g} {figure.unit}"
    yield "" if figure.baseline is None else f"{figure.baseline:.4g} {figure.unit} ({figure.baseline_name})"
    yield "" if figure.ratio is None else f"{figure.ratio:.2f}"
    yield "" if figure.goal is None else f"≤ {figure.goal:g}"
    yield "" if figure.met is None else "yes" if figure.met else "NO"
