"""Where a SQLite store migrates: under SQLite's one write lock, a step with its version in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from matinee.drivers.backups import KEPT, fresh, thinned
from matinee.drivers.sqlite import engine_of
from matinee.kit import log, url

_log = log.get()


def standing(place: str, work: Callable[[SqliteMigrationConnection], Any], backups: Path | None) -> Any:
    """Run a piece of work on a database; backups go beside its file unless a folder is named."""
    engine = engine_of(place, begin="BEGIN IMMEDIATE")
    try:
        with engine.connect() as connection:
            return work(SqliteMigrationConnection(connection, url.file_path(place), backups))
    finally:
        engine.dispose()


class SqliteMigrationConnection:
    """One connection to one file."""

    def __init__(self, connection: Connection, file: Path, backups: Path | None) -> None:
        self.connection = connection
        self._file = file
        self._backups = backups or file.parent

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        with self.connection.begin():
            yield

    @contextmanager
    def step(self, *, again: bool) -> Iterator[None]:
        yield

    def marks(self) -> bool:
        return False

    def back_up(self, name: str, revision: str) -> Path | None:
        """A copy made by SQLite itself, of what was committed before."""
        self._backups.mkdir(parents=True, exist_ok=True)
        target = fresh(self._backups, self._file.name, revision, "db")
        engine = engine_of(f"sqlite:///{self._file}", begin="BEGIN")
        try:
            with engine.connect() as connection:
                raw: Any = connection.connection.driver_connection
                raw.execute("VACUUM INTO ?", (str(target.with_suffix(".part")),))
        finally:
            engine.dispose()
        target.with_suffix(".part").rename(target)
        thinned(self._backups, self._file.name, KEPT)
        _log.info("store.backed_up", store=name, revision=revision, file=str(target))
        return target
