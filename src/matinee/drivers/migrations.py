"""Schemas and their versions: a folder of Alembic scripts each, `versions/0001_what.py`, one after the other.

On SQLite a step and its new version are one transaction. MariaDB commits at every statement that changes a schema:
there a mark beside the version says that a step has begun, and when the mark is found again (whoever took the step was
killed) the step is taken once more, and what is there already is passed over. What a script does to data it does after
all it does to the schema: that, with the new version, is one transaction on every engine, and happens once.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, Self

import msgspec
from sqlalchemy import Connection, exc, text

from matinee.drivers.engine import SchemaAhead, StoreEmpty
from matinee.kit import log

_log = log.get()
# Alembic's `op` is one for the whole process.
_alembic = threading.Lock()


class MigrationScripts(msgspec.Struct, frozen=True):
    """The scripts of one store, oldest first: what each revision is called and where it lies."""

    scripts: tuple[Path, ...]

    @classmethod
    def load(cls, place: str) -> Self:
        """The scripts in `package:folder`, or in a folder named by its path. Nothing is imported yet."""
        package, colon, folder = place.rpartition(":")
        spec = importlib.util.find_spec(package) if colon else None
        root = Path(next(iter(spec.submodule_search_locations or ()))) / folder if spec else Path(folder)
        return cls(tuple(sorted((root / "versions").glob("[0-9]*.py"))))

    @property
    def revisions(self) -> list[str]:
        """The revisions, oldest first."""
        return [path.stem.partition("_")[0] for path in self.scripts]

    @property
    def newest(self) -> str:
        """The revision that this code works with."""
        return self.revisions[-1]

    def check(self, name: str, found: str) -> None:
        """See that the revision of a store in use is one that this code knows. Raises StoreEmpty, SchemaAhead."""
        standing = found.removesuffix("…")
        if not standing:
            raise StoreEmpty(
                store=name,
                detail=f"The store of {name} has lost its tables: bring its data back, or start its processes again "
                "to begin with nothing.",
            )
        if standing not in self.revisions:
            raise SchemaAhead(
                store=name,
                detail=f"The store of {name} is at revision {standing}, and the newest that this Matinee knows is "
                f"{self.newest}: a newer one wrote it. Run that one, or let it go back first (`matinee stores back`).",
            )

    def script(self, revision: str) -> ModuleType:
        """A script, ready to run. Raises ValueError for one that does not follow the one before it."""
        at = self.revisions.index(revision)
        spec = importlib.util.spec_from_file_location(f"_matinee_{self.scripts[at].stem}", self.scripts[at])
        if spec is None or spec.loader is None:
            raise ValueError(f"{self.scripts[at]} cannot be read")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        before = self.revisions[at - 1] if at else None
        if (module.revision, module.down_revision) != (revision, before):
            raise ValueError(f"{self.scripts[at]} must be revision {revision} and come down to {before}")
        return module


class MigrationConnection(Protocol):
    """An engine that migrates: one connection, held by nobody else at the same time."""

    @property
    def connection(self) -> Connection: ...

    def exclusive(self, name: str) -> AbstractContextManager[None]:
        """Keep every other process that migrates this store waiting."""

    def step(self, *, again: bool) -> AbstractContextManager[None]:
        """Run a step and commit it; with `again`, pass over what is there already."""

    def marks(self) -> bool:
        """Whether a step that was begun must be marked, because it can stop half-way."""

    def back_up(self, name: str, revision: str) -> Path | None:
        """Keep what is there now; say in the log where, or why not."""


def read_revision(name: str, connection: Connection) -> str:
    """A store's revision; empty where it has none yet, with `…` behind it where a step stopped half-way."""
    rows = _rows(name, connection) or []
    standing = next((row for row in rows if row[0] not in "+-"), "")
    return standing + ("…" if any(row[0] in "+-" for row in rows) else "")


def upgrade(ground: MigrationConnection, chain: MigrationScripts, name: str, *, backup: bool = True) -> None:
    """Bring a store to the newest revision. Raises SchemaAhead, and then nothing was changed."""
    with _alembic, ground.exclusive(name):
        standing, mark = _standing(ground, chain, name)
        pending = [one for one in chain.revisions if one > standing or mark == f"-{one}"]
        if not pending:
            return
        if backup and standing:
            ground.back_up(name, standing)
        for revision in pending:
            _take(ground, chain, name, revision, up=True)
        _log.info("store.migrated", store=name, revision=chain.newest, before=standing)


def downgrade(ground: MigrationConnection, chain: MigrationScripts, name: str, to: str, *, backup: bool = True) -> None:
    """Bring a store back to an earlier revision, empty for before the first. Raises SchemaAhead."""
    with _alembic, ground.exclusive(name):
        standing, mark = _standing(ground, chain, name)
        undone = [one for one in reversed(chain.revisions) if to < one <= standing or mark == f"+{one}"]
        if backup and undone:
            ground.back_up(name, standing)
        for revision in undone:
            _take(ground, chain, name, revision, up=False)
        _log.info("store.migrated_back", store=name, revision=to, before=standing)


def _standing(ground: MigrationConnection, chain: MigrationScripts, name: str) -> tuple[str, str]:
    """The revision, empty where there is none, and the mark of a step that stopped half-way. Raises SchemaAhead."""
    with ground.step(again=False):
        rows = _rows(name, ground.connection) or []
    standing = next((row for row in rows if row[0] not in "+-"), "")
    if standing:
        chain.check(name, standing)
    return standing, next((row for row in rows if row[0] in "+-"), "")


def _take(ground: MigrationConnection, chain: MigrationScripts, name: str, revision: str, *, up: bool) -> None:
    script = chain.script(revision)
    at = chain.revisions.index(revision)
    stands = revision if up else (chain.revisions[at - 1] if at else "")
    again = _mark(ground, name, ("+" if up else "-") + revision)
    with ground.step(again=again), _operations(ground.connection):
        (script.upgrade if up else script.downgrade)()
        _keep(name, stands, ground.connection)


def _mark(ground: MigrationConnection, name: str, mark: str) -> bool:
    """Mark a step as begun; tells whether it was before."""
    with ground.step(again=False):
        rows = _rows(name, ground.connection)
        if rows is None:
            made = f"CREATE TABLE {name}_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
            ground.connection.execute(text(made))
        if not ground.marks():
            return False
        begun = any(row[1:] == mark[1:] for row in rows or () if row[0] in "+-")
        if not begun:
            ground.connection.execute(text(f"INSERT INTO {name}_version VALUES (:mark)"), {"mark": mark})  # noqa: S608  # a domain's name
        return begun


def _keep(name: str, revision: str, connection: Connection) -> None:
    connection.execute(text(f"DELETE FROM {name}_version"))  # noqa: S608  # a domain's name
    if revision:
        connection.execute(text(f"INSERT INTO {name}_version VALUES (:revision)"), {"revision": revision})  # noqa: S608  # as above


def _rows(name: str, connection: Connection) -> list[str] | None:
    """The revision and the mark; None where there is no table for them yet."""
    try:
        return list(connection.execute(text(f"SELECT version_num FROM {name}_version")).scalars())  # noqa: S608  # a domain's name
    except (exc.OperationalError, exc.ProgrammingError) as error:
        if "no such table" in str(error.orig) or getattr(error.orig, "args", ())[:1] == (1146,):
            return None
        raise


@contextmanager
def _operations(connection: Connection) -> Iterator[None]:
    # Imported here, because a process whose stores are up to date should not take a second to start.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    with Operations.context(MigrationContext.configure(connection)):
        yield


def run_on_store(url: str, work: Callable[[MigrationConnection], Any], backups: Path | None = None) -> Any:
    """Run a piece of work on a store's own ground; in a thread of its own, never in an event loop's."""
    if url.startswith("sqlite:"):
        from matinee.drivers import sqlite_migrations

        return sqlite_migrations.standing(url, work, backups)
    from matinee.drivers import mariadb_migrations

    return mariadb_migrations.standing(url, work, backups)
