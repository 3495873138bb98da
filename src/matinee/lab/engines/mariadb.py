"""MariaDB from Debian; the user `matinee` has all rights from this machine, with the secret of the location."""

from __future__ import annotations

import contextlib

from matinee.lab.engines.engine import Engine
from matinee.lab.engines.location import EngineFailed, EngineLocation
from matinee.lab.engines.programs import run
from matinee.lab.engines.sources import Source

_SOURCE = Source(name="mariadb", packages={"mariadb-server": ("mariadbd",), "mariadb-client": ("mariadb-admin",)})
# The path of a socket may have about a hundred characters at most. MariaDB checks who connects to it.
_CONFIG = """\
[mysqld]
datadir={data}
socket=/tmp/matinee-mariadb-{client}.sock
pid-file={folder}/pid
tmpdir={folder}/tmp
port={client}
bind-address={host}
character-set-server=utf8mb4
innodb-buffer-pool-size=64M
innodb-log-file-size=32M
innodb-flush-log-at-trx-commit=1
max-connections=300
init-file={folder}/init.sql
skip-name-resolve
"""
_INIT = """\
CREATE USER IF NOT EXISTS 'matinee'@'{host}' IDENTIFIED BY '{secret}';
GRANT ALL ON *.* TO 'matinee'@'{host}' WITH GRANT OPTION;
"""
_SERVER_OPTIONS = ("--defaults-file={folder}/my.cnf", "--user={user}")


def _run_client(location: EngineLocation, program: str, *arguments: str) -> None:
    """Run a client program. Raises EngineFailed."""
    access = ["--no-defaults", f"--host={location.host}", f"--port={location.port}", "--protocol=tcp", "--user=matinee"]
    command = [*_SOURCE.find(program), *access, "--connect-timeout=2", *arguments]
    run("mariadb", command, {"MYSQL_PWD": location.secret})


def _answers(location: EngineLocation) -> bool:
    with contextlib.suppress(EngineFailed):
        _run_client(location, "mariadb-admin", "ping")
        return True
    return False


def _create_database(location: EngineLocation, name: str) -> None:
    _run_client(location, "mariadb", "-e", f"CREATE DATABASE IF NOT EXISTS `{name}`")


MARIADB = Engine(
    source=_SOURCE,
    files={"my.cnf": _CONFIG, "init.sql": _INIT},
    install=("mariadb-install-db", *_SERVER_OPTIONS, "--auth-root-authentication-method=socket", "--skip-test-db"),
    start=("mariadbd", *_SERVER_OPTIONS),
    probe=_answers,
    base_url="mysql+asyncmy://matinee:{secret}@{host}:{client}",
    path="/{namespace}?charset=utf8mb4",
    create=_create_database,
)
