"""A film encoded in chunks beside the same film encoded whole: processor time, joining and checking included."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from matinee.drivers.ffmpeg import Ffmpeg
from matinee.encoding.adapters.ffmpeg import FfmpegEncoder, FfmpegProber
from matinee.lab.bench.chunks import chunked_against_whole
from matinee.lab.bench.figure import Figure, compared
from matinee.lab.deployment import film

AREA = "encode"
GOAL = 1.15


def figures(*, seconds: int = 80, chunk_s: int = 40) -> list[Figure]:
    """Measure on a film of our own making, 720p."""
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as place:
        folder, ffmpeg = Path(place), Ffmpeg()
        master = film(folder / "film.mp4", seconds=seconds, size="1280x720")
        found = asyncio.run(
            chunked_against_whole(
                prober=FfmpegProber(ffmpeg),
                encoder=FfmpegEncoder(ffmpeg),
                master=master,
                folder=folder,
                chunk_s=chunk_s,
            )
        )
    name = f"{seconds} s of 720p in {found.chunks} chunks"
    return [
        compared(AREA, name, found.chunked_s, "CPU s", baseline=found.whole_s, baseline_name="one piece", goal=GOAL)
    ]
