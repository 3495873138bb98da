"""The cost of each service at rest: resident memory, and the time from start to serving."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from matinee.app.domains import PROTOCOLS
from matinee.lab.bench.figures import Samples
from matinee.lab.bench.harness import Bench
from matinee.lab.engines.process import read_memory_bytes

MEMORY_GOAL_MB, START_GOAL_S = 120.0, 2.0
LIMIT_S = 60.0


async def measure(bench: Bench) -> None:
    """Measure each service in a process of its own."""
    for target in [*PROTOCOLS, "gateway"][: bench.size(99, 2)]:
        runs = [_run(target, bench.folder / target, bench.size(3, 0)) for _ in range(bench.size(3, 1))]
        memory_mb, started_s = (Samples(column) for column in zip(*runs, strict=True))
        bench.report(f"{target}: resident memory", memory_mb, "MB", max_value=MEMORY_GOAL_MB)
        bench.report(f"{target}: start to serving", started_s, "s", max_value=START_GOAL_S)


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
        return read_memory_bytes(process.pid) / 1e6, started_s
    finally:
        process.terminate()
        process.wait(LIMIT_S)
