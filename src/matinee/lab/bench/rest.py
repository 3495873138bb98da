"""What each service takes when nobody asks anything of it: memory, and the time until it serves."""

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
from matinee.lab.bench.figure import Figure, measured

AREA = "rest"
MEMORY_GOAL_MB, START_GOAL_S = 120.0, 2.0
LIMIT_S, SETTLE_S, ROUNDS = 60.0, 3.0, 3


def figures() -> list[Figure]:
    """Measure each service alone in a process of its own. Only on Linux, where `/proc` tells."""
    if sys.platform != "linux":
        return []
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as place:
        return [figure for target in (*PROTOCOLS, "gateway") for figure in _of(target, Path(place))]


def _of(target: str, place: Path) -> Iterator[Figure]:
    seen = [_once(target, place / target) for _ in range(ROUNDS)]
    memory_mb, started_s = (statistics.median(column) for column in zip(*seen, strict=True))
    yield measured(AREA, f"{target}: resident memory", memory_mb, "MB", goal=MEMORY_GOAL_MB)
    yield measured(AREA, f"{target}: start to serving", started_s, "s", goal=START_GOAL_S)


def _once(target: str, data: Path) -> tuple[float, float]:
    """Resident memory in MB, and the seconds until the process said that it serves."""
    data.mkdir(exist_ok=True)
    log, began = data / "out", time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "matinee", "serve", target, "--data", str(data)],
            stdout=output,
            stderr=output,
            env={name: value for name, value in os.environ.items() if not name.startswith("MATINEE__")},
        )
    try:
        while '"process.up"' not in log.read_text():
            if process.poll() is not None or time.monotonic() - began > LIMIT_S:
                raise RuntimeError(f"{target} does not serve: {log.read_text()[-500:]}")
            time.sleep(0.01)
        started_s = time.monotonic() - began
        time.sleep(SETTLE_S)
        return _resident_mb(process.pid), started_s
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0
