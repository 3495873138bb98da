"""`matinee up` before anything is started."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from matinee.app.settings import load
from matinee.app.up import PortTaken, up
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


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
async def test_an_address_that_the_machine_has_not_is_named(tmp_path: Path, host: str) -> None:
    values = {"MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data"), "MATINEE__DEPLOYMENT__LISTEN": host}
    with pytest.raises(BadSettings, match=f"no address {host}"):
        await up(load(None, values), Console(), EmbeddedProfile())
