"""The cost of each service at rest: resident memory, and the time from start to serving."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from matinee.app.domains import PROTOCOLS
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench

AREA = "rest"
MEMORY_GOAL_MB, START_GOAL_S = 120.0, 2.0
LIMIT_S = 60.0


def measure(bench: Bench) -> list[Figure]:
    """Measure each service in a process of its own; only on Linux, by `/proc`."""
    if sys.platform != "linux":
        return []
    targets = [*PROTOCOLS, "gateway"][: bench.size(99, 2)]
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as folder:
        return [figure for target in targets for figure in _measure(target, Path(folder), bench)]


def _measure(target: str, folder: Path, bench: Bench) -> Iterator[Figure]:
    runs = [_run(target, folder / target, bench.size(3, 0)) for _ in range(bench.size(3, 1))]
    memory_mb, started_s = (statistics.median(column) for column in zip(*runs, strict=True))
    yield make_figure(AREA, f"{target}: resident memory", memory_mb, "MB", goal=MEMORY_GOAL_MB)
    yield make_figure(AREA, f"{target}: start to serving", started_s, "s", goal=START_GOAL_S)


def _run(target: str, data: Path, settle_s: float) -> tuple[float, float]:
    """Return the resident memory in MB after some seconds, and the seconds until the process serves."""
    data.mkdir(exist_ok=True)
    log, begin_s = data / "out", time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "matinee", "serve", target, "--data", str(data)],
            stdout=output,
            stderr=output,
            env={name: value for name, value in os.environ.items() if not name.startswith("MATINEE__")},
        )
    try:
        while '"process.up"' not in log.read_text():
            if process.poll() is not None or time.monotonic() - begin_s > LIMIT_S:
                raise RuntimeError(f"{target} did not start: {log.read_text()[-500:]}")
            time.sleep(0.01)
        started_s = time.monotonic() - begin_s
        time.sleep(settle_s)
        return _resident_mb(process.pid), started_s
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0
