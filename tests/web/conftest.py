"""Fixtures of the web client's tests: Chromium, clients with canned answers, and a film."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.deployment import ABSENT, CHROMIUM_FLAGS
from tests.web.rig import Opener, make_film, open_client


# Not for the session: while it is open, no other event loop can run.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    assert "chromium" not in ABSENT, "engine not run: chromium"
    names = ("chromium", "google-chrome", "chromium-browser")
    executable = next(path for name in names if (path := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def client(chromium: Browser) -> Iterator[Opener]:
    """Open clients, whose contexts are closed at the end."""
    with ExitStack() as stack:

        def open_and_close(*arguments: object, **options: object):  # type: ignore[no-untyped-def]
            opened = open_client(chromium, *arguments, **options)  # type: ignore[arg-type]
            stack.callback(partial(opened.page.context.close))
            return opened

        yield open_and_close


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    make_film(folder)
    return folder
