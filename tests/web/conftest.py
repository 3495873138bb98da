"""Fixtures of the web client's tests: Chromium, clients with canned answers, and a film."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.deployment import CHROMIUM_FLAGS, find_chromium
from tests.web.rig import Client, Opener, make_film, open_client


# Not for the session: while it is open, no other event loop can run.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def client(chromium: Browser) -> Iterator[Opener]:
    """Open clients, whose contexts are closed at the end."""
    with ExitStack() as stack:

        def open_and_close(*arguments: Any, **options: Any) -> Client:
            opened = open_client(chromium, *arguments, **options)
            stack.callback(opened.page.context.close)
            return opened

        yield open_and_close


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    make_film(folder)
    return folder
