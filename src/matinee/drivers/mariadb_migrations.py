"""Where a MariaDB store migrates: under a lock of its name, each step marked before it is begun."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, exc, text
from sqlalchemy.util import greenlet_spawn

from matinee.drivers.backups import KEPT, fresh, thinned
from matinee.drivers.engine import EngineUnavailable, describe_engine
from matinee.drivers.mariadb import MariaDB
from matinee.drivers.sql_faults import fault_of
from matinee.kit import log

_log = log.get()
LOCK_S = 120
DUMP_S = 3600
# What a statement says that was done before: table, column, key, row there already; column or key, table not there.
DONE = {1050, 1060, 1061, 1062, 1091, 1051}
_SCHEMA = ("CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE")
_DATA = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def standing(place: str, work: Callable[[MariaDBMigrationConnection], Any], backups: Path | None) -> Any:
    """Run a piece of work on a database, in an event loop of this thread's own."""
    return asyncio.run(_standing(MariaDB(place), work, backups))


async def _standing(database: MariaDB, work: Callable[[MariaDBMigrationConnection], Any], backups: Path | None) -> Any:
    def run() -> Any:
        with database.engine.connect() as connection:
            return work(MariaDBMigrationConnection(connection, database, backups))

    try:
        return await greenlet_spawn(run)
    except exc.DBAPIError as error:
        raise (fault_of(error, database.engine_name).problem or error) from error
    finally:
        await greenlet_spawn(database.engine.dispose)


class MariaDBMigrationConnection:
    """One connection, on which nothing is committed unasked but what changes the schema."""

    def __init__(self, connection: Connection, database: MariaDB, backups: Path | None) -> None:
        self.connection = connection
        self._engine = database.engine_name
        self._place = database.place
        self._backups = backups
        self._again = False
        self._changed_data = False
        for name in ("do_execute", "do_execute_no_params"):
            event.listen(connection.engine, name, self._executed)
        with connection.begin():
            connection.execute(text("SET SESSION autocommit=0, lock_wait_timeout=60"))

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        lock = {"lock": f"matinee.{self._place.database}.{name}"[:64], "wait": LOCK_S}
        if self._said(text("SELECT GET_LOCK(:lock, :wait)"), lock) != 1:
            raise EngineUnavailable(
                engine=self._engine, detail=f"Another process has been migrating {name} for {LOCK_S} s."
            )
        try:
            yield
        finally:
            if not self.connection.invalidated:
                self._said(text("SELECT RELEASE_LOCK(:lock)"), lock)

    @contextmanager
    def step(self, *, again: bool) -> Iterator[None]:
        self._again, self._changed_data = again, False
        with self._transaction():
            yield

    def marks(self) -> bool:
        return True

    def back_up(self, name: str, revision: str) -> Path | None:
        """A dump by MariaDB's own program, where it is installed and a folder is named."""
        program = shutil.which("mariadb-dump") or shutil.which("mysqldump")
        if program is None or self._backups is None:
            why = "no folder is named for it" if program else "mariadb-dump is not installed here"
            _log.warning("store.not_backed_up", store=name, revision=revision, reason=why)
            return None
        self._backups.mkdir(parents=True, exist_ok=True)
        target = fresh(self._backups, name, revision, "sql")
        _dump(program, self._place, self._tables(name), target)
        thinned(self._backups, name, KEPT)
        _log.info("store.backed_up", store=name, revision=revision, file=str(target))
        return target

    def _tables(self, name: str) -> list[str]:
        with self._transaction():
            return list(self.connection.execute(text("SHOW TABLES LIKE :like"), {"like": f"{name}\\_%"}).scalars())

    def _said(self, statement: Any, values: dict[str, Any]) -> Any:
        with self._transaction():
            return self.connection.execute(statement, values).scalar()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self.connection.in_transaction():
            yield
            return
        with self.connection.begin():
            yield
            self.connection.exec_driver_sql("COMMIT")

    def _executed(self, cursor: Any, statement: str, *values: Any) -> bool:
        """Run a statement; tells SQLAlchemy that it need not."""
        verb = statement.lstrip()[:8].upper()
        if verb.startswith(_SCHEMA) and self._changed_data:
            raise ValueError(f"a script changes data after all its changes of the schema, not before: {statement}")
        self._changed_data = self._changed_data or verb.startswith(_DATA)
        try:
            cursor.execute(statement, *values[:-1])
        except Exception as error:
            if not (self._again and error.args[:1] and error.args[0] in DONE):
                raise
            _log.info("store.step_was_done", statement=statement.split("\n")[0][:80])
        return True


def _dump(program: str, place: URL, tables: list[str], target: Path) -> None:
    said = {"host": place.host, "port": place.port or 3306, "user": place.username, "password": place.password}
    with tempfile.NamedTemporaryFile("w", prefix="matinee-", suffix=".cnf") as access:  # made for its owner alone
        access.write("[client]\n" + "".join(f'{key}="{value or ""}"\n' for key, value in said.items()))
        access.flush()
        part = target.with_suffix(".part")
        part.touch(mode=0o600)
        with part.open("wb") as output:
            options = [
                "--single-transaction",
                "--skip-lock-tables",
                "--skip-add-locks",
                "--no-tablespaces",
                "--hex-blob",
            ]
            done = subprocess.run(
                [program, f"--defaults-extra-file={access.name}", *options, str(place.database), *tables],
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=DUMP_S,
                check=False,
            )
    if done.returncode:
        part.unlink()
        words = done.stderr.decode(errors="replace").strip()
        raise EngineUnavailable(
            engine=describe_engine(str(place)), detail=f"No backup could be made, so nothing was migrated: {words}"
        )
    part.rename(target)
