"""What the journeys share: a deployment (`matinee.lab.deployment`), somebody with a device, waiting for something to be true."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from matinee.lab.deployment import CHROMIUM_FLAGS, Deployment, film, free_port

__all__ = ["ABSENT", "CHROMIUM_FLAGS", "PASSWORD", "Deployment", "Viewer", "eventually", "film", "free_port"]

ABSENT = os.environ.get("MATINEE_ENGINES_ABSENT", "").split(",")
PASSWORD = "correct horse battery"


class Viewer:
    """Somebody with a device, at the public API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, f"{url}/api/v1"
        self.headers: dict[str, str] = {}
        self.profile_id = ""

    async def call(self, method: str, path: str, body: Any = None, *, status: int | None = None, **rest: Any) -> Any:
        """One call; asserts the status (2xx unless told)."""
        headers = {**self.headers, **rest.pop("headers", {})}
        async with self.session.request(method, self.url + path, json=body, headers=headers, **rest) as answer:
            text = await answer.text()
            assert answer.status == status if status else answer.ok, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text and "json" in answer.content_type else text

    async def sign_up(self, email: str) -> None:
        """Open an account and choose its first profile."""
        body = {"email": email, "password": PASSWORD, "name": "Ada", "device": {"name": "test"}, "language": "en"}
        self._signed_in(await self.call("POST", "/auth/sign-up", body))
        self.profile_id = (await self.call("GET", "/profiles"))[0]["profile_id"]
        await self.choose(self.profile_id)

    async def choose(self, profile_id: str) -> None:
        """Watch as a profile."""
        self._signed_in(await self.call("POST", f"/profiles/{profile_id}/choose", {}))
        self.profile_id = profile_id

    def _signed_in(self, session: dict[str, Any]) -> None:
        self.headers = {"Authorization": f"Bearer {session['access_token']}"}


async def eventually(true: Callable[[], Any], limit_s: float = 60) -> Any:
    """Wait until something is true (it may be a coroutine function), and tell what it was.

    The limit is for what never comes: a machine that is busy takes its time.
    """
    end = time.monotonic() + limit_s
    while True:
        found = true()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        assert time.monotonic() < end, "it never came to be"
        await asyncio.sleep(0.1)
