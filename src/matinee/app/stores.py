"""The SQL stores that the settings name: their revisions, migrations and backups."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from matinee.app.domains import DOMAINS
from matinee.app.settings import flatten
from matinee.drivers.engine import describe_engine
from matinee.drivers.migrations import (
    MigrationConnection,
    MigrationScripts,
    downgrade,
    read_revision,
    run_on_store,
    upgrade,
)
from matinee.kit import url
from matinee.kit.problem import Problem
from matinee.mesh.hosting.settings import BadSettings, Settings

NONE: Final = "none"


class UnknownStore(Problem, status=404):
    """There is no such store."""


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """The SQL store of a domain, by the domain's name. `backups` is the folder of its backups."""

    name: str
    setting: str
    url: str
    backups: Path

    @property
    def scripts(self) -> MigrationScripts:
        """The store's migration scripts."""
        package = "mesh.schedules" if self.name == "schedules" else self.name
        return MigrationScripts.load(f"matinee.{package}.adapters:migrations")

    @property
    def exists(self) -> bool:
        """Whether the store can be read: it is on a server, or its file exists."""
        return url.scheme(self.url) != "sqlite" or url.file_path(self.url).exists()


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A store's status. `revision` is empty where the store has none; `problem` is why it cannot be read or used."""

    name: str
    setting: str
    engine: str
    revision: str
    newest: str
    pending: list[str]
    problem: str = ""


def list_stores(settings: Settings, names: tuple[str, ...] = ()) -> list[Store]:
    """Return the SQL stores, all or those named. Raises UnknownStore."""
    values = flatten(settings)
    keys = {"mesh": "mesh.registry", "schedules": "mesh.schedules"} | {
        d.name: f"{d.name}.{d.store}" for d in DOMAINS.values() if d.store
    }
    found = {
        name: Store(name=name, setting=key, url=values[key], backups=settings.data / "backups")
        for name, key in keys.items()
        if url.scheme(values[key]) in {"sqlite", "mysql"}
    }
    for name in names:
        if name not in found:
            raise UnknownStore(
                detail=f"There is no SQL store {name!r} in these settings; there are {', '.join(found)}."
            )
    return [store for name, store in found.items() if not names or name in names]


def read_status(store: Store) -> StoreStatus:
    """Read a store's status. Nothing is changed; a file that does not exist is not created."""
    scripts, problem, revision = store.scripts, "", ""
    try:
        if store.exists:
            revision = run_on_store(store.url, partial(_read_revision, store.name))
    except Problem as error:
        problem = str(error)
    pending = [] if problem else [one for one in scripts.revisions if one > revision.removesuffix("…")]
    return StoreStatus(
        name=store.name,
        setting=store.setting,
        engine=describe_engine(store.url),
        revision=revision,
        newest=scripts.newest,
        pending=pending,
        problem=problem or _find_problem(revision, scripts),
    )


def migrate(store: Store, *, backup: bool) -> None:
    """Upgrade a store to the newest revision. Raises SchemaAhead, EngineUnavailable."""
    if url.scheme(store.url) == "sqlite":
        url.file_path(store.url).parent.mkdir(parents=True, exist_ok=True)
    run_on_store(store.url, partial(upgrade, scripts=store.scripts, name=store.name, backup=backup), store.backups)


def migrate_back(store: Store, to: str, *, backup: bool) -> None:
    """Downgrade a store to an earlier revision. Raises BadSettings for an unknown one, SchemaAhead."""
    scripts = store.scripts
    if to != NONE and to not in scripts.revisions:
        raise BadSettings(detail=f"{store.name} has no revision {to!r}; there are {', '.join(scripts.revisions)}.")
    to = "" if to == NONE else to
    run_on_store(store.url, partial(downgrade, scripts=scripts, name=store.name, to=to, backup=backup), store.backups)


def back_up(store: Store) -> Path | None:
    """Back a store up. Returns the file, or None where there is none; the log then has the reason."""
    if not store.exists:
        return None
    file: Path | None = run_on_store(store.url, partial(_back_up, store.name), store.backups)
    return file


def _read_revision(name: str, connection: MigrationConnection) -> str:
    with connection.step(resume=False):
        return read_revision(name, connection.connection)


def _back_up(name: str, connection: MigrationConnection) -> Path | None:
    return connection.back_up(name, _read_revision(name, connection).removesuffix("…") or NONE)


def _find_problem(revision: str, scripts: MigrationScripts) -> str:
    revision = revision.removesuffix("…")
    return "a newer Matinee wrote it" if revision and revision not in scripts.revisions else ""
