"""Helpers of the journeys: a deployment (`matinee.lab.deployment`), a viewer, and waiting for conditions."""

import asyncio
import inspect
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from matinee.lab.deployment import CHROMIUM_FLAGS, Deployment, find_free_port, make_film

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
PASSWORD = "correct horse battery"


@contextmanager
def create_deployment(data: Path, **options: Any) -> Iterator[Deployment]:
    """Yield a deployment that is not started yet. At the end it is stopped, also when it did not start, and deleted."""
    deployment = Deployment(data, **options)
    try:
        yield deployment
    finally:
        deployment.stop()
        shutil.rmtree(data, ignore_errors=True)


class Viewer:
    """A client of the public API with an account and a device."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, f"{url}/api/v1"
        self.headers: dict[str, str] = {}
        self.profile_id = ""

    async def call(self, method: str, path: str, body: Any = None, *, status: int | None = None, **rest: Any) -> Any:
        """Make a call; assert its status, 2xx by default."""
        headers = {**self.headers, **rest.pop("headers", {})}
        async with self.session.request(method, self.url + path, json=body, headers=headers, **rest) as response:
            text = await response.text()
            assert response.status == status if status else response.ok, f"{method} {path}: {response.status} {text}"
            return json.loads(text) if text and "json" in response.content_type else text

    async def sign_up(self, email: str) -> None:
        """Open an account and choose its first profile."""
        body = {"email": email, "password": PASSWORD, "name": "Ada", "device": {"name": "test"}, "language": "en"}
        self._use_token(await self.call("POST", "/auth/sign-up", body))
        self.profile_id = (await self.call("GET", "/profiles"))[0]["profile_id"]
        await self.choose(self.profile_id)

    async def choose(self, profile_id: str) -> None:
        """Choose a profile."""
        self._use_token(await self.call("POST", f"/profiles/{profile_id}/choose", {}))
        self.profile_id = profile_id

    def _use_token(self, session: dict[str, Any]) -> None:
        self.headers = {"Authorization": f"Bearer {session['access_token']}"}


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
