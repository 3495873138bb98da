"""Schema migrations: Alembic scripts in `versions/0001_what.py`, run one after the other.

On SQLite a step and its new revision are one transaction. MariaDB commits at each statement that changes a schema, so
a step can stop half-way. A mark beside the revision therefore records that a step has begun. If a mark is found, the
step runs again and skips what it has already created or dropped. A script changes data only after all its
changes of the schema: its data and the new revision are one transaction on every engine. Alembic's own environment
cannot resume a step (docs/adr/0017).
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec
from sqlalchemy import Connection, exc, text

from matinee.drivers.engine import SchemaAhead, StoreEmpty
from matinee.kit import log

_log = log.get()
# Alembic's `op` is a global of the process.
_alembic = threading.Lock()


class MigrationScripts(msgspec.Struct, frozen=True):
    """The migration scripts of one store, oldest first."""

    paths: tuple[Path, ...]

    @classmethod
    def load(cls, place: str) -> Self:
        """List the scripts in `package:folder`, or in a folder named by its path, without importing them."""
        package, colon, folder = place.rpartition(":")
        spec = importlib.util.find_spec(package) if colon else None
        root = Path(next(iter(spec.submodule_search_locations or ()))) / folder if spec else Path(folder)
        return cls(tuple(sorted((root / "versions").glob("[0-9]*.py"))))

    @property
    def revisions(self) -> list[str]:
        """The revisions, oldest first."""
        return [path.stem.partition("_")[0] for path in self.paths]

    @property
    def newest(self) -> str:
        """The revision that this code works with."""
        return self.revisions[-1]

    def check(self, name: str, found: str) -> None:
        """Check that this code knows the revision of a store in use. Raises StoreEmpty, SchemaAhead."""
        revision = found.removesuffix("…")
        if not revision:
            detail = f"The tables of {name} are lost: restore its data, or restart its processes to begin empty."
            raise StoreEmpty(store=name, detail=detail)
        if revision not in self.revisions:
            raise SchemaAhead(
                store=name,
                detail=f"The store of {name} is at revision {revision}, and the newest that this Matinee knows is "
                f"{self.newest}: run the newer Matinee that wrote it, or downgrade the store with that one "
                "(`matinee stores back`).",
            )

    def step(self, revision: str, *, up: bool) -> Callable[[], None]:
        """Import a script and return its `upgrade` or `downgrade`. Raises ValueError for a gap between scripts."""
        # Imported here, because this takes a second and most starts have nothing to migrate.
        from alembic.script import ScriptDirectory

        position = self.revisions.index(revision)
        script = ScriptDirectory(str(self.paths[0].parents[1])).get_revision(revision)
        previous = self.revisions[position - 1] if position else None
        if script is None or script.down_revision != previous:
            raise ValueError(f"{self.paths[position]} must be revision {revision} and follow {previous}")
        step: Callable[[], None] = script.module.upgrade if up else script.module.downgrade
        return step


class MigrationConnection(Protocol):
    """One connection to a store's engine, with the engine's locking and backups, as migrations need them.

    `marks_steps`: whether a step can stop half-way and must be marked.
    """

    connection: Connection
    marks_steps: bool

    def exclusive(self, name: str) -> AbstractContextManager[None]:
        """Make other processes that migrate this store wait."""

    def step(self, *, resume: bool) -> AbstractContextManager[None]:
        """Run statements and commit; with `resume`, skip those whose effect exists already."""

    def back_up(self, name: str, revision: str) -> Path | None:
        """Make a backup and return its path; if that is impossible, log the reason and return None."""


def read_revision(name: str, connection: Connection) -> str:
    """Read a store's revision: empty where it has none, followed by `…` where a step stopped half-way."""
    revision, mark = _read_state(name, connection)
    return revision + ("…" if mark else "")


def upgrade(store: MigrationConnection, scripts: MigrationScripts, name: str, *, backup: bool = True) -> None:
    """Bring a store to the newest revision. Raises SchemaAhead before anything is changed."""
    with _alembic, store.exclusive(name):
        revision, mark = _read_checked(store, scripts, name)
        pending = [one for one in scripts.revisions if one > revision or mark == f"-{one}"]
        if not pending:
            return
        if backup and revision:
            store.back_up(name, revision)
        for step in pending:
            _run_step(store, scripts, name, step, up=True)
        _log.info("store.upgrade", store=name, revision=scripts.newest, before=revision)


def downgrade(
    store: MigrationConnection, scripts: MigrationScripts, name: str, to: str, *, backup: bool = True
) -> None:
    """Bring a store to an earlier revision, or remove its tables where `to` is empty. Raises SchemaAhead."""
    with _alembic, store.exclusive(name):
        revision, mark = _read_checked(store, scripts, name)
        steps = [one for one in reversed(scripts.revisions) if to < one <= revision or mark == f"+{one}"]
        if backup and steps:
            store.back_up(name, revision)
        for step in steps:
            _run_step(store, scripts, name, step, up=False)
        _log.info("store.downgrade", store=name, revision=to, before=revision)


def run_on_store(url: str, work: Callable[[MigrationConnection], Any], backups: Path | None = None) -> Any:
    """Call `work` with a migration connection. Blocks: call it in a thread without an event loop."""
    if url.startswith("sqlite:"):
        from matinee.drivers import sqlite_migrations

        return sqlite_migrations.run_on_store(url, work, backups)
    from matinee.drivers import mariadb_migrations

    return mariadb_migrations.run_on_store(url, work, backups)


def _run_step(store: MigrationConnection, scripts: MigrationScripts, name: str, revision: str, *, up: bool) -> None:
    step = scripts.step(revision, up=up)
    below = next((one for one in reversed(scripts.revisions) if one < revision), "")
    resume = _mark_begun(store, name, ("+" if up else "-") + revision)
    with store.step(resume=resume), _operations(store.connection):
        step()
        _execute(store.connection, "DELETE FROM {table}", name)
        if reached := revision if up else below:
            _execute(store.connection, "INSERT INTO {table} VALUES (:value)", name, value=reached)


def _mark_begun(store: MigrationConnection, name: str, mark: str) -> bool:
    """Record that a step has begun; return whether it had begun before, in either direction."""
    with store.step(resume=False):
        _, found = _read_state(name, store.connection)
        _execute(
            store.connection, "CREATE TABLE IF NOT EXISTS {table} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)", name
        )
        has_begun = found[1:] == mark[1:]
        if store.marks_steps and not has_begun:
            _execute(store.connection, "INSERT INTO {table} VALUES (:value)", name, value=mark)
        return has_begun


def _read_checked(store: MigrationConnection, scripts: MigrationScripts, name: str) -> tuple[str, str]:
    """Read the revision and the mark. Raises SchemaAhead."""
    with store.step(resume=False):
        revision, mark = _read_state(name, store.connection)
    if revision:
        scripts.check(name, revision)
    return revision, mark


def _read_state(name: str, connection: Connection) -> tuple[str, str]:
    """Read the revision and the mark (`+0002`, `-0002`) of a step that has begun; each empty where there is none."""
    try:
        rows = _execute(connection, "SELECT version_num FROM {table}", name).scalars().all()
    except (exc.OperationalError, exc.ProgrammingError) as error:
        if "no such table" in str(error.orig) or getattr(error.orig, "args", ())[:1] == (1146,):
            return "", ""
        raise
    return next((row for row in rows if row[0] not in "+-"), ""), next((row for row in rows if row[0] in "+-"), "")


def _execute(connection: Connection, statement: str, name: str, **values: Any) -> Any:
    return connection.execute(text(statement.format(table=f"{name}_version")), values)


@contextmanager
def _operations(connection: Connection) -> Iterator[None]:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    with Operations.context(MigrationContext.configure(connection)):
        yield
