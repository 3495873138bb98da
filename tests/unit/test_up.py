"""`matinee up` before anything is started."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from matinee.app import layout
from matinee.app.settings import load
from matinee.app.up import PortTaken, up
from matinee.cli import main
from matinee.gateway.domain import GatewaySection, find_web_client
from matinee.lab.deployment import find_free_port
from matinee.mesh.hosting.settings import BadSettings


class EmbeddedProfile:
    """A profile without engines."""

    def check(self, *_: Any) -> None:
        pass

    async def start(self, settings: Any, _supervisor: Any) -> Any:
        return settings


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.EACCES, "needs privileges"), (errno.EADDRINUSE, "is taken by another program")]
)
async def test_an_unusable_port_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, reason: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, "refused")

    settings = load(None, {"MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data"), "MATINEE__GATEWAY__PORT": "80"})
    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(PortTaken, match=f"Port 80 {reason}.*--port"):
        await up(settings, Console(), EmbeddedProfile())


@pytest.mark.parametrize(
    ("find_edge_port", "fault"),
    [
        (lambda port: port, "Port {port} is used twice, by --port and --edge-port"),
        (lambda port: port - 1, "Port {port} is used twice, by --port and --edge-port"),
        (lambda _: 65535, "There is no port 65536.*--edge-port"),
    ],
)
async def test_ports_that_cannot_be_used_together_are_named(
    tmp_path: Path, find_edge_port: Callable[[int], int], fault: str
) -> None:
    port = find_free_port()
    values = {"MATINEE__GATEWAY__PORT": f"{port}", "MATINEE__EDGE__PORT": f"{find_edge_port(port)}"}
    with pytest.raises(BadSettings, match=fault.format(port=port)):
        await up(
            load(None, {"MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data"), **values}), Console(), EmbeddedProfile()
        )


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
async def test_an_address_that_the_machine_has_not_is_named(tmp_path: Path, host: str) -> None:
    values = {"MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data"), "MATINEE__DEPLOYMENT__LISTEN": host}
    with pytest.raises(BadSettings, match=f"no address {host}"):
        await up(load(None, values), Console(), EmbeddedProfile())


async def test_a_missing_web_client_is_named_before_the_start(tmp_path: Path) -> None:
    values = {"MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data"), "MATINEE__GATEWAY__WEB": str(tmp_path)}
    with pytest.raises(BadSettings, match=r"index\.html is missing.*gateway\.web"):
        await up(load(None, values), Console(), EmbeddedProfile())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("EDGE__CACHE", "{file}", "edge.cache cannot be .*/file: File exists"),
        ("EDGE__CACHE", "file://{file}", "edge.cache is the path of a folder"),
        ("ENCODING__WORK", "{file}", "encoding.work cannot be .*/file: File exists"),
        ("GATEWAY__UPLOADS", "{file}", "gateway.uploads cannot be .*/file: File exists"),
        ("GATEWAY__UPLOADS", "http://x/y", "gateway.uploads is the path of a folder"),
        ("OBJECTS__STORE", "{file}", "objects.store cannot be .*/file: use file"),
        ("OBJECTS__STORE", "file://{file}", "objects.store cannot be .*/file: File exists"),
        ("OBJECTS__STORE", "file://data/objects", "objects.store cannot be file://data/objects: use file:///"),
        ("TELEMETRY__FOLDER", "{file}", "telemetry.folder cannot be .*/file: File exists"),
    ],
)
async def test_a_folder_that_cannot_be_used_is_named_before_the_start(
    tmp_path: Path, key: str, value: str, fault: str
) -> None:
    (tmp_path / "file").touch()
    values = {"MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data")}
    values[f"MATINEE__{key}"] = value.replace("{file}", str(tmp_path / "file"))
    with pytest.raises(BadSettings, match=fault):
        await up(load(None, values), Console(), EmbeddedProfile())


def test_the_web_client_is_found_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.html").touch()
    monkeypatch.chdir(tmp_path)
    assert find_web_client(GatewaySection(web="web")) == tmp_path / "web"
    assert find_web_client(GatewaySection()).is_absolute()


def test_other_users_lose_access_to_an_existing_data_directory(tmp_path: Path) -> None:
    settings = load(None, {"MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data")})
    settings.data.mkdir()
    settings.data.chmod(0o755)  # whatever the umask is
    assert layout.protect_data(settings)
    assert settings.data.stat().st_mode & 0o777 == 0o700
    assert not layout.protect_data(settings)


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    settings = load(None, {"MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data")})
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(layout.DataUnusable, match=r"data cannot be used: Read-only file system"), layout.lock(settings):
        pass


def test_files_are_created_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        main(["--version"])
        (tmp_path / "file").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
