"""Helpers of the journeys: a deployment and a viewer, which the benchmarks use too, and waiting for conditions."""

import asyncio
import inspect
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matinee.lab.deployment import CHROMIUM_FLAGS, Deployment, find_free_port, make_film
from matinee.lab.viewer import PASSWORD, Viewer

__all__ = [
    "ABSENT",
    "CHROMIUM_FLAGS",
    "PASSWORD",
    "Deployment",
    "Viewer",
    "create_deployment",
    "eventually",
    "find_free_port",
    "make_film",
]

ABSENT = os.environ.get("MATINEE_ENGINES_ABSENT", "").split(",")


@contextmanager
def create_deployment(data: Path, **options: Any) -> Iterator[Deployment]:
    """Yield a deployment that is not started yet. At the end it is stopped, also when it did not start, and deleted."""
    deployment = Deployment(data, **options)
    try:
        yield deployment
    finally:
        deployment.stop()
        shutil.rmtree(data, ignore_errors=True)


async def eventually(condition: Callable[[], Any], limit_s: float = 300) -> Any:
    """Wait until a function, or coroutine function, returns something true, and return it.

    The limit only ends tests that would never end: it is longer than any wait on a busy machine.
    """
    deadline_s = time.monotonic() + limit_s
    while True:
        result = condition()
        result = await result if asyncio.iscoroutine(result) else result
        if result:
            return result
        assert time.monotonic() < deadline_s, f"condition not met within {limit_s} s: {inspect.getsource(condition)}"
        await asyncio.sleep(0.1)
