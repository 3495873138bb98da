"""Helpers of the journeys: a deployment and a viewer, which the benchmarks use too, and waiting for conditions."""

import asyncio
import contextlib
import inspect
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from matinee.app.clients import open_clients
from matinee.app.settings import load
from matinee.encoding.api import Encoding, Job
from matinee.kit.ids import JobId
from matinee.kit.problem import Problem
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
    "find_chromium",
    "find_free_port",
    "find_job",
    "make_film",
]

ABSENT = os.environ.get("MATINEE_ENGINES_ABSENT", "").split(",")
# The time of encoders is a third of that of all journeys, none of which looks at the quality of a picture.
FAST_ENCODING = {"MATINEE__ENCODING__PRESET": "ultrafast"}


@contextlib.contextmanager
def create_deployment(data: Path, *, settings: Mapping[str, str] = {}, groups: str = "") -> Iterator[Deployment]:
    """Yield a deployment that is not started yet. At the end it is stopped, also when it did not start, and deleted."""
    deployment = Deployment(data, groups=groups, settings={**FAST_ENCODING, **settings})
    try:
        yield deployment
    finally:
        deployment.stop()
        shutil.rmtree(data, ignore_errors=True)


def find_chromium() -> str:
    """Return the path of Chromium."""
    assert "chromium" not in ABSENT, "engine not run: chromium"
    return next(path for name in ("chromium", "google-chrome", "chromium-browser") if (path := shutil.which(name)))


async def find_job(deployment: Deployment, job_id: str) -> Job | None:
    """Return a job; None while the deployment does not answer. It costs a hundredth of `matinee jobs list`."""
    with contextlib.suppress(Problem):
        async with open_clients(load(None, {}, {"deployment.data": str(deployment.data)})) as clients:
            return await clients.get(Encoding).get_job(job_id=JobId(job_id))
    return None


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
