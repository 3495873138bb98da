"""MariaDB."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess

from matinee.lab.engines.engine import EngineFailed, EngineLocation
from matinee.lab.engines.programs import read_version, require_program

USER = "matinee"
_CONFIG = """\
[mysqld]
datadir={data}
socket={socket}
pid-file={folder}/pid
tmpdir={folder}/tmp
port={port}
bind-address={host}
character-set-server=utf8mb4
innodb-buffer-pool-size=64M
innodb-log-file-size=32M
innodb-flush-log-at-trx-commit=1
max-connections=300
init-file={folder}/init.sql
skip-name-resolve
"""


class MariaDB:
    """MariaDB from Debian; the user `matinee` has all rights from this machine, with the secret of the location."""

    name = "mariadb"
    ports = ("client",)

    def check(self) -> None:
        for name in ("mariadbd", "mariadb-install-db", "mariadb", "mariadb-admin"):
            require_program(name, engine=self.name, package="mariadb-server")

    def prepare(self, location: EngineLocation) -> None:
        config = _CONFIG.format(
            data=location.data, socket=_socket(location), folder=location.folder, port=location.port, host=location.host
        )
        (location.folder / "tmp").mkdir(exist_ok=True)  # installations that share one interfere
        (location.folder / "my.cnf").write_text(config)
        if not (location.folder / "installed").exists():
            self._install(location)
            (location.folder / "installed").touch()

    def command(self, location: EngineLocation) -> list[str]:
        return [self._program("mariadbd"), *_defaults(location), f"--user={_user()}"]

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        result = subprocess.run(
            [self._program("mariadb-admin"), *_access(location), "ping"], capture_output=True, check=False
        )
        return result.returncode == 0

    def version(self) -> str:
        return read_version(self._program("mariadbd"))

    def address(self, location: EngineLocation) -> str:
        return f"mysql+asyncmy://{USER}:{location.secret}@{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        self._execute(location, f"CREATE DATABASE IF NOT EXISTS `{namespace}`")
        return f"{self.address(location)}/{namespace}?charset=utf8mb4"

    def _install(self, location: EngineLocation) -> None:
        shutil.rmtree(location.data, ignore_errors=True)  # left by an interrupted first start
        start = location.folder / "init.sql"
        start.touch(mode=0o600)
        start.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'{location.host}' IDENTIFIED BY '{location.secret}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'{location.host}' WITH GRANT OPTION;\n"
        )
        _run(
            self.name,
            self._program("mariadb-install-db"),
            *_defaults(location),
            f"--user={_user()}",
            "--auth-root-authentication-method=socket",
            "--skip-test-db",
        )

    def _execute(self, location: EngineLocation, statement: str) -> None:
        _run(self.name, self._program("mariadb"), *_access(location), "-e", statement)

    def _program(self, name: str) -> str:
        return require_program(name, engine=self.name, package="mariadb-server")


def _defaults(location: EngineLocation) -> list[str]:
    return [f"--defaults-file={location.folder / 'my.cnf'}"]


def _socket(location: EngineLocation) -> str:
    """Return a short path, because the path of a socket may have about a hundred characters at most."""
    return f"/tmp/matinee-mariadb-{location.port}.sock"  # noqa: S108  # its access is checked by MariaDB


def _access(location: EngineLocation) -> list[str]:
    return [
        "--no-defaults", f"--host={location.host}", f"--port={location.port}", "--protocol=tcp",
        f"--user={USER}", f"--password={location.secret}", "--connect-timeout=2",
    ]  # fmt: skip


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _run(engine: str, *command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise EngineFailed(engine=engine, detail=f"{engine}: {result.stderr.strip() or result.stdout.strip()}")
