"""Fetches engines and the tools of tests; Debian packages are installed with apt."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matinee.drivers import nginx
from matinee.kit.problem import Problem
from matinee.lab.engines.known import ENGINES
from matinee.lab.engines.location import EngineFailed
from matinee.lab.engines.programs import run
from matinee.lab.engines.sources import FETCH_S, Report, Source

# Tools that tests need.
TOOLS = {
    "chromium": Source(name="chromium", packages={"chromium": ("chromium", "google-chrome", "chromium-browser")}),
    "nginx": Source(
        name="nginx",
        packages={
            "nginx-light": ("nginx",),
            "libnginx-mod-http-js": tuple(f"{folder}/{nginx.JS_MODULE}" for folder in nginx.MODULE_FOLDERS),
        },
    ),
}
_SOURCES: dict[str, Source] = {**TOOLS, **{name: engine.source for name, engine in ENGINES.items()}}
_POLICY = Path("/usr/sbin/policy-rc.d")


def find_missing(names: Iterable[str]) -> dict[str, str]:
    """Return those of some engines and tools that cannot be started, each with the reason."""
    return {name: reason for name in names if (reason := _find_failure(_SOURCES[name].check))}


def fetch(names: Iterable[str], report: Report) -> dict[str, str]:
    """Fetch engines and tools in parallel; return those that could not be fetched, each with the reason."""
    missing = find_missing(names)
    install([package for name in missing for package in _SOURCES[name].find_missing_packages()], report)
    missing = find_missing(missing)
    with ThreadPoolExecutor(max(len(missing), 1)) as threads:
        fetched = threads.map(lambda name: _find_failure(lambda: _SOURCES[name].fetch(report)), missing)
        failures = dict(zip(missing, fetched, strict=True))
    return {name: failures[name] or reason for name, reason in find_missing(missing).items()}


def install(packages: list[str], report: Report) -> None:
    """Install Debian packages if permitted, without starting servers; a later check names what is missing."""
    if not packages or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    with _no_servers():
        _apt("update")
        for package in dict.fromkeys(packages):  # one by one, so that an unknown package does not prevent the others
            report(f"  installing         {package} …")
            _apt("install", "-y", "--no-install-recommends", package)


def _apt(*arguments: str) -> None:
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    with contextlib.suppress(EngineFailed):
        run("apt", command, {"DEBIAN_FRONTEND": "noninteractive"}, FETCH_S)


def _find_failure(action: Callable[[], None]) -> str:
    """Return why an action failed, or an empty string."""
    try:
        action()
    except Problem as problem:
        return str(problem)
    return ""


@contextlib.contextmanager
def _no_servers() -> Iterator[None]:
    """Prevent Debian from starting the servers that it installs."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
