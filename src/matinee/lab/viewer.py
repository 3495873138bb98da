"""A viewer for benchmarks and tests: a client of the public API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import aiohttp

from matinee.lab.deployment import DeploymentFailed

if TYPE_CHECKING:
    from playwright.async_api import Page

API = "/api/v1"
PASSWORD = "correct horse battery"  # noqa: S105  # of temporary accounts


class Viewer:
    """A client of the public API with an account and a device."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url + API
        self.headers: dict[str, str] = {}
        self.device = {"name": "test"}
        self.account_id = self.profile_id = self._refresh_token = ""

    async def call(self, method: str, path: str, body: Any = None, *, status: int | None = None, **rest: Any) -> Any:
        """Make a request and return its content. Raises DeploymentFailed unless the status is this, or below 400."""
        actual, content = await self.request(method, path, body, **rest)
        is_expected = actual == status if status else actual < 400
        if not is_expected:
            raise DeploymentFailed(detail=f"{method} {path}: {actual} {content}")
        return content

    async def request(self, method: str, path: str, body: Any = None, **rest: Any) -> tuple[int, Any]:
        """Make a request of a path in the API or of a URL; return its status and its content, JSON decoded."""
        url = urljoin(self.url, path) if path.startswith((API, "http")) else self.url + path
        headers = {**self.headers, **rest.pop("headers", {})}
        async with self.session.request(method, url, json=body, headers=headers, **rest) as response:
            text = await response.text(errors="replace")
            return response.status, json.loads(text) if text and "json" in response.content_type else text

    async def sign_up(self, email: str) -> None:
        """Open an account and choose its first profile."""
        body = {"email": email, "password": PASSWORD, "name": "Ada", "device": self.device, "language": "en"}
        session = await self.call("POST", "/auth/sign-up", body)
        self._use_token(session)
        self.account_id = session["account_id"]
        await self.choose((await self.call("GET", "/profiles"))[0]["profile_id"])

    async def sign_in(self, email: str) -> None:
        """Sign in and choose the first profile."""
        body = {"email": email, "password": PASSWORD, "device": self.device}
        self._use_token(await self.call("POST", "/auth/sign-in", body))
        await self.choose((await self.call("GET", "/profiles"))[0]["profile_id"])

    async def choose(self, profile_id: str) -> None:
        """Choose a profile."""
        self._use_token(await self.call("POST", f"/profiles/{profile_id}/choose", {}))
        self.profile_id = profile_id

    async def refresh(self) -> None:
        """Get a new access token, as devices other than browsers do."""
        self._use_token(await self.call("POST", "/auth/refresh", {"refresh_token": self._refresh_token}))

    def _use_token(self, session: dict[str, Any]) -> None:
        self._refresh_token = session.get("refresh_token") or self._refresh_token
        self.headers = {"Authorization": f"Bearer {session['access_token']}"}


async def sign_in(page: Page, url: str, email: str) -> None:
    """Sign in to a page of a browser and choose the first profile."""
    await page.goto(url)
    await page.get_by_test_id("sign-in-email").fill(email)
    await page.get_by_test_id("sign-in-password").fill(PASSWORD)
    await page.get_by_test_id("sign-in-submit").click()
    await page.get_by_test_id("profile-card").first.click()
