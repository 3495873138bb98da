"""MariaDB."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess

from matinee.lab.engines.engine import EngineFailed, Place
from matinee.lab.engines.programs import program, version

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
    """Debian's MariaDB; `matinee` may do everything from this machine, with the place's secret."""

    name = "mariadb"
    ports = ("client",)

    def check(self) -> None:
        for name in ("mariadbd", "mariadb-install-db", "mariadb", "mariadb-admin"):
            program(name, engine=self.name, package="mariadb-server")

    def prepare(self, place: Place) -> None:
        config = _CONFIG.format(
            data=place.data, socket=_socket(place), folder=place.folder, port=place.port, host=place.host
        )
        (place.folder / "tmp").mkdir(exist_ok=True)  # two installations that share one take each other's tables
        (place.folder / "my.cnf").write_text(config)
        if not (place.folder / "installed").exists():
            self._install(place)
            (place.folder / "installed").touch()

    def command(self, place: Place) -> list[str]:
        return [self._program("mariadbd"), *_defaults(place), f"--user={_me()}"]

    def environment(self, place: Place) -> dict[str, str]:
        return {}

    def answers(self, place: Place) -> bool:
        asked = subprocess.run(
            [self._program("mariadb-admin"), *_access(place), "ping"], capture_output=True, check=False
        )
        return asked.returncode == 0

    def version(self) -> str:
        return version(self._program("mariadbd"))

    def address(self, place: Place) -> str:
        return f"mysql+asyncmy://{USER}:{place.secret}@{place.client}"

    def url(self, place: Place, namespace: str) -> str:
        self._said(place, f"CREATE DATABASE IF NOT EXISTS `{namespace}`")
        return f"{self.address(place)}/{namespace}?charset=utf8mb4"

    def _install(self, place: Place) -> None:
        shutil.rmtree(place.data, ignore_errors=True)  # half made, when a first start was cut off
        start = place.folder / "init.sql"
        start.touch(mode=0o600)
        start.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'{place.host}' IDENTIFIED BY '{place.secret}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'{place.host}' WITH GRANT OPTION;\n"
        )
        _run(
            self.name,
            self._program("mariadb-install-db"),
            *_defaults(place),
            f"--user={_me()}",
            "--auth-root-authentication-method=socket",
            "--skip-test-db",
        )

    def _said(self, place: Place, statement: str) -> None:
        _run(self.name, self._program("mariadb"), *_access(place), "-e", statement)

    def _program(self, name: str) -> str:
        return program(name, engine=self.name, package="mariadb-server")


def _defaults(place: Place) -> list[str]:
    return [f"--defaults-file={place.folder / 'my.cnf'}"]


def _socket(place: Place) -> str:
    """Short, because a socket's path may have no more than about a hundred characters."""
    return f"/tmp/matinee-mariadb-{place.port}.sock"  # noqa: S108  # its access is checked by MariaDB


def _access(place: Place) -> list[str]:
    return [
        "--no-defaults", f"--host={place.host}", f"--port={place.port}", "--protocol=tcp",
        f"--user={USER}", f"--password={place.secret}", "--connect-timeout=2",
    ]  # fmt: skip


def _me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _run(engine: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineFailed(engine=engine, detail=f"{engine}: {done.stderr.strip() or done.stdout.strip()}")
