"""Migrations on MariaDB: under an advisory lock, each step marked before it begins."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, exc, make_url, text
from sqlalchemy.pool import NullPool

from matinee.drivers.backups import backup_path, prune_backups
from matinee.drivers.engine import EngineUnavailable, describe_engine
from matinee.drivers.mariadb import create_mariadb_engine
from matinee.drivers.sql_faults import to_fault
from matinee.kit import log

_log = log.get()
LOCK_S = 120
DUMP_S = 3600
DUMP_OPTIONS = ("--single-transaction", "--skip-lock-tables", "--skip-add-locks", "--no-tablespaces", "--hex-blob")
# Errors of a statement whose effect exists already: a table, column, key or row to be added exists; a column, key or
# table to be dropped does not.
DONE = {1050, 1060, 1061, 1062, 1091, 1051}
_SCHEMA = ("CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE")
_DATA = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def run_on_store(url: str, work: Callable[[MariaDBMigrationConnection], Any], backups: Path | None) -> Any:
    """Call `work` with a connection, in an event loop of this thread's own."""
    return asyncio.run(_run_on_store(url, work, backups))


async def _run_on_store(url: str, work: Callable[[MariaDBMigrationConnection], Any], backups: Path | None) -> Any:
    place = make_url(url)
    engine = create_mariadb_engine(place, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: work(MariaDBMigrationConnection(sync, place, backups)))
    except exc.DBAPIError as error:
        raise (to_fault(error, describe_engine(url)).problem or error) from error
    finally:
        await engine.dispose()


class MariaDBMigrationConnection:
    """One connection without autocommit: only changes of the schema commit implicitly."""

    marks_steps = True

    def __init__(self, connection: Connection, url: URL, backups: Path | None) -> None:
        self.connection = connection
        self._url = url
        self._backups = backups
        self._resume = False
        self._has_changed_data = False
        for name in ("do_execute", "do_execute_no_params"):
            event.listen(connection.engine, name, self._execute)
        self._query("SET SESSION autocommit=0, lock_wait_timeout=60")

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        lock = f"matinee.{self._url.database}.{name}"[:64]
        if self._query("SELECT GET_LOCK(:lock, :wait)", lock=lock, wait=LOCK_S) != [1]:
            engine, detail = self._describe(), f"Another process has been migrating {name} for {LOCK_S} s."
            raise EngineUnavailable(engine=engine, detail=detail)
        try:
            yield
        finally:
            if not self.connection.invalidated:
                self._query("SELECT RELEASE_LOCK(:lock)", lock=lock)

    @contextmanager
    def step(self, *, resume: bool) -> Iterator[None]:
        self._resume, self._has_changed_data = resume, False
        with self.connection.begin():
            yield

    def back_up(self, name: str, revision: str) -> Path | None:
        """Dump the tables with MariaDB's own program, where it is installed and a folder is named."""
        program = shutil.which("mariadb-dump") or shutil.which("mysqldump")
        if program is None or self._backups is None:
            reason = "no folder is named for backups" if program else "mariadb-dump is not installed"
            _log.warning("store.back_up_skipped", store=name, revision=revision, reason=reason)
            return None
        target = backup_path(self._backups, name, revision, "sql")
        self._dump(program, self._query("SHOW TABLES LIKE :like", like=f"{name}\\_%"), target)
        prune_backups(self._backups, name)
        _log.info("store.back_up", store=name, revision=revision, file=str(target))
        return target

    def _query(self, statement: str, **values: Any) -> list[Any]:
        with self.connection.begin():
            result = self.connection.execute(text(statement), values)
            return list(result.scalars()) if result.returns_rows else []

    def _execute(self, cursor: Any, statement: str, *values: Any) -> bool:
        """Execute a statement; return True, so that SQLAlchemy does not execute it again."""
        verb = statement.lstrip()[:8].upper()
        if verb.startswith(_SCHEMA) and self._has_changed_data:
            raise ValueError(f"a script must change data after all its changes of the schema: {statement}")
        self._has_changed_data = self._has_changed_data or verb.startswith(_DATA)
        try:
            cursor.execute(statement, *values[:-1])
        except Exception as error:
            if not (self._resume and error.args[:1] and error.args[0] in DONE):
                raise
            _log.info("store.statement_skipped", statement=statement.split("\n")[0][:80])
        return True

    def _dump(self, program: str, tables: list[str], target: Path) -> None:
        part = target.with_suffix(".part")
        part.touch(mode=0o600)
        with _write_access_file(self._url) as access, part.open("wb") as output:
            dump = subprocess.run(
                [program, f"--defaults-extra-file={access}", *DUMP_OPTIONS, str(self._url.database), *tables],
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=DUMP_S,
                check=False,
            )
        if dump.returncode:
            part.unlink()
            reason = dump.stderr.decode(errors="replace").strip()
            detail = f"No backup could be made, so nothing was migrated: {reason}"
            raise EngineUnavailable(engine=self._describe(), detail=detail)
        part.rename(target)

    def _describe(self) -> str:
        return describe_engine(str(self._url))


@contextmanager
def _write_access_file(url: URL) -> Iterator[str]:
    """Write the password to a file that only its owner can read, since arguments are visible to all processes."""
    options = {"host": url.host, "port": url.port or 3306, "user": url.username, "password": url.password}
    with tempfile.NamedTemporaryFile("w", prefix="matinee-", suffix=".cnf") as file:
        file.write("[client]\n" + "".join(f'{key}="{value or ""}"\n' for key, value in options.items()))
        file.flush()
        yield file.name
