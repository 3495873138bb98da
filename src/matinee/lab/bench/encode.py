"""CPU time of encoding a film in chunks, beside encoding it in one piece; including joining and checks."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from matinee.drivers.ffmpeg import Ffmpeg
from matinee.encoding.adapters.ffmpeg import FfmpegEncoder, FfmpegProber
from matinee.lab.bench.chunks import compare_chunks
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench
from matinee.lab.deployment import make_film

AREA = "encode"
GOAL = 1.15


def measure(bench: Bench) -> list[Figure]:
    """Measure with a test picture of 720p."""
    seconds, chunk_s = bench.size(80, 4), bench.size(40, 2)
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as temporary:
        folder, ffmpeg = Path(temporary), Ffmpeg()
        master = make_film(folder / "film.mp4", seconds=seconds, size="1280x720")
        cost = asyncio.run(
            compare_chunks(
                prober=FfmpegProber(ffmpeg),
                encoder=FfmpegEncoder(ffmpeg),
                master=master,
                folder=folder,
                chunk_s=chunk_s,
            )
        )
    name = f"{seconds} s of 720p in {cost.chunks} chunks"
    return [
        make_figure(
            AREA, name, cost.chunked_s, "CPU s", baseline=cost.one_piece_s, baseline_name="one piece", goal=GOAL
        )
    ]
