"""Runs areas of the bench one after another and writes the figures to a file."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import uvloop

from matinee.lab.bench.figures import Figure
from matinee.lab.bench.harness import Bench
from matinee.lab.engines import ENGINES, EngineProcess

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
    "search",
    "keystrokes",
    "scale",
    "players",
)
FILE = Path("build/bench.json")


def run(areas: Sequence[str], smallest: bool, on_area: Callable[[str], None]) -> list[Figure]:
    """Measure some areas, or all, and write the figures to `build/bench.json`."""
    figures: list[Figure] = []
    for area in areas or AREAS:
        on_area(area)
        figures += measure(area, smallest=smallest)
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2))
    return figures


def measure(area: str, *, smallest: bool = False, open_engine: Callable[[str], str] | None = None) -> list[Figure]:
    """Measure one area, on engines of its own by default. Raises EngineMissing.

    Its module is imported here, because each imports tools of its own.
    """
    return uvloop.run(_measure(area, smallest, open_engine))


async def _measure(area: str, smallest: bool, open_engine: Callable[[str], str] | None) -> list[Figure]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="matinee-bench-")))

        def start_engine(name: str) -> str:
            return stack.enter_context(EngineProcess(ENGINES[name], folder / name)).url("bench")

        bench = Bench(area=area, folder=folder, stack=stack, smallest=smallest, open_engine=open_engine or start_engine)
        await importlib.import_module(f"matinee.lab.bench.{area}").measure(bench)
    return bench.figures
