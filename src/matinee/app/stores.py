"""The SQL stores that the settings name: where each is, its revision, and what may be done to it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from matinee.app.settings import BadSettings, Settings
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

_SETTINGS: Final = {
    "mesh": "registry",
    "events": "log",
    "catalogue": "store",
    "identity": "store",
    "licensing": "store",
    "viewing": "store",
    "steering": "store",
    "encoding": "store",
    "playback": "store",
}
NONE: Final = "none"


class UnknownStore(Problem, status=404):
    """There is no such store."""


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """One store, by its domain's name. `place` is its URL, `backups` the folder of its backups."""

    name: str
    setting: str
    place: str
    backups: Path

    @property
    def chain(self) -> MigrationScripts:
        """The scripts that this Matinee has for it."""
        return MigrationScripts.load(f"matinee.{self.name}.adapters:migrations")

    @property
    def is_there(self) -> bool:
        """Whether there is something to look at: an engine elsewhere, or a file."""
        return url.scheme(self.place) != "sqlite" or url.file_path(self.place).exists()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a store stands. `revision` is empty where it has none yet; `trouble` says why nothing could be seen."""

    name: str
    setting: str
    engine: str
    revision: str
    newest: str
    pending: list[str]
    trouble: str = ""


def stores(settings: Settings, names: tuple[str, ...] = ()) -> list[Store]:
    """The stores kept by SQL, all or those named. Raises UnknownStore."""
    found = {name: store for name in _SETTINGS if (store := _store(settings, name)) is not None}
    for name in names:
        if name not in found:
            raise UnknownStore(
                detail=f"There is no SQL store {name!r} in these settings; there are {', '.join(found)}."
            )
    return [store for name, store in found.items() if not names or name in names]


def status(store: Store) -> Standing:
    """How a store stands; nothing is changed, and a file that is not there is not made."""
    chain = store.chain
    try:
        revision = run_on_store(store.place, partial(_revision, store.name)) if store.is_there else ""
        trouble = ""
    except Problem as problem:
        revision, trouble = "", str(problem)
    pending = [] if trouble else [one for one in chain.revisions if one > revision.removesuffix("…")]
    return Standing(
        name=store.name,
        setting=store.setting,
        engine=describe_engine(store.place),
        revision=revision,
        newest=chain.newest,
        pending=pending,
        trouble=trouble or _ahead(revision, chain),
    )


def migrate(store: Store, *, backup: bool) -> None:
    """Bring a store to the newest revision. Raises SchemaAhead, EngineUnavailable."""
    if url.scheme(store.place) == "sqlite":
        url.file_path(store.place).parent.mkdir(parents=True, exist_ok=True)
    run_on_store(store.place, partial(upgrade, scripts=store.chain, name=store.name, backup=backup), store.backups)


def go_back(store: Store, to: str, *, backup: bool) -> None:
    """Bring a store back to an earlier revision. Raises BadSettings for one that is not known, SchemaAhead."""
    chain = store.chain
    if to != NONE and to not in chain.revisions:
        raise BadSettings(detail=f"{store.name} has no revision {to!r}; there are {', '.join(chain.revisions)}.")
    to = "" if to == NONE else to
    run_on_store(store.place, partial(downgrade, scripts=chain, name=store.name, to=to, backup=backup), store.backups)


def back_up(store: Store) -> Path | None:
    """Keep a copy; tells where, or None where the log says why there is none."""
    if not store.is_there:
        return None
    kept: Path | None = run_on_store(store.place, partial(_back_up, store.name), store.backups)
    return kept


def _store(settings: Settings, name: str) -> Store | None:
    setting = _SETTINGS[name]
    place: str = getattr(getattr(settings, name), setting)
    if url.scheme(place) not in {"sqlite", "mysql"}:
        return None
    return Store(name=name, setting=f"{name}.{setting}", place=place, backups=settings.data / "backups")


def _revision(name: str, ground: MigrationConnection) -> str:
    with ground.step(resume=False):
        return read_revision(name, ground.connection)


def _back_up(name: str, ground: MigrationConnection) -> Path | None:
    return ground.back_up(name, _revision(name, ground).removesuffix("…") or NONE)


def _ahead(revision: str, chain: MigrationScripts) -> str:
    standing = revision.removesuffix("…")
    return "a newer Matinee wrote it" if standing and standing not in chain.revisions else ""
