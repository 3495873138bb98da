"""Migrations on SQLite: under its write lock, each step in one transaction with its revision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from matinee.drivers.backups import backup_path, prune_backups
from matinee.drivers.sqlite import create_sqlite_engine
from matinee.kit import log
from matinee.kit import url as urls

_log = log.get()


def run_on_store(url: str, work: Callable[[SqliteMigrationConnection], Any], backups: Path | None) -> Any:
    """Call `work` with a connection; backups go beside the database's file where no folder is named."""
    engine = create_sqlite_engine(url, begin="BEGIN IMMEDIATE")
    try:
        with engine.connect() as connection:
            return work(SqliteMigrationConnection(connection, urls.file_path(url), backups))
    finally:
        engine.dispose()


class SqliteMigrationConnection:
    """One connection to one file."""

    marks_steps = False

    def __init__(self, connection: Connection, file: Path, backups: Path | None) -> None:
        self.connection = connection
        self._file = file
        self._backups = backups or file.parent

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        with self.connection.begin():
            yield

    def step(self, *, resume: bool) -> nullcontext[None]:
        return nullcontext()

    def back_up(self, name: str, revision: str) -> Path | None:
        """Copy what is committed, by a second connection."""
        size_bytes = self._file.stat().st_size
        target = backup_path(self._backups, self._file.name, revision, "db", size_bytes=size_bytes)
        part = target.with_suffix(".part")
        engine = create_sqlite_engine(f"sqlite:///{self._file}", begin="BEGIN")
        try:
            with engine.connect() as connection:
                raw: Any = connection.connection.driver_connection
                raw.execute("VACUUM INTO ?", (str(part),))
        finally:
            engine.dispose()
        part.rename(target)
        prune_backups(self._backups, self._file.name)
        _log.info("store.back_up", store=name, revision=revision, file=str(target))
        return target
