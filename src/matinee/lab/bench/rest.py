"""The cost of each service at rest: resident memory, and the time from start to serving."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from matinee.app.domains import PROTOCOLS
from matinee.lab.bench.figures import Samples
from matinee.lab.bench.harness import Bench
from matinee.lab.engines.process import read_memory_bytes

MEMORY_GOAL_MB, START_GOAL_S = 120.0, 2.0
LIMIT_S = 60.0


async def measure(bench: Bench) -> None:
    """Measure each service in a process of its own, the gateway beside one with the services that it waits for."""
    for target in [*PROTOCOLS, "gateway"][: bench.size(99, 2)]:
        runs = [_run(target, bench.folder / target, bench.size(3, 0)) for _ in range(bench.size(3, 1))]
        memory_mb, started_s = (Samples(column) for column in zip(*runs, strict=True))
        bench.report(f"{target}: resident memory", memory_mb, "MB", max_value=MEMORY_GOAL_MB)
        bench.report(f"{target}: start to serving", started_s, "s", max_value=START_GOAL_S)


def _run(target: str, data: Path, settle_s: float) -> tuple[float, float]:
    """Return the resident memory in MB after some seconds, and the seconds until the process serves."""
    data.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        if target == "gateway":
            stack.enter_context(_serve(data, *PROTOCOLS))
        begin_s = time.monotonic()
        process = stack.enter_context(_serve(data, target))
        started_s = time.monotonic() - begin_s
        time.sleep(settle_s)
        return read_memory_bytes(process.pid) / 1e6, started_s


@contextlib.contextmanager
def _serve(data: Path, *targets: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that serves some targets, from the moment it serves."""
    log, begin_s = data / f"{targets[0]}.out", time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "matinee", "serve", *targets, "--data", str(data)],
            stdout=output,
            stderr=output,
            env={name: value for name, value in os.environ.items() if not name.startswith("MATINEE__")},
        )
    try:
        while '"process.up"' not in log.read_text():
            if process.poll() is not None or time.monotonic() - begin_s > LIMIT_S:
                raise RuntimeError(f"{targets[0]} did not start: {log.read_text()[-500:]}")
            time.sleep(0.01)
        yield process
    finally:
        process.terminate()
        process.wait(LIMIT_S)
