"""`matinee stores`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from matinee.app.stores import Store, StoreStatus, back_up, list_stores, migrate_back, read_status
from matinee.app.stores import migrate as migrate_store
from matinee.cli.options import json_option, with_settings
from matinee.cli.output import print_json, show
from matinee.kit import log
from matinee.mesh.hosting.settings import Settings

_names = click.argument("names", nargs=-1, metavar="[STORE]...")
_no_backup = click.option("--no-backup", is_flag=True, help="Make no backup before.")


@click.group()
def stores() -> None:
    """Manage the SQL stores: revisions, migrations, backups."""


@stores.command()
@_names
@json_option
@with_settings
def status(settings: Settings, names: tuple[str, ...], json_: bool) -> None:
    """Show each store's engine, its revision, and the revisions that are pending."""
    _print(_select(settings, names), json_)


@stores.command()
@_names
@_no_backup
@json_option
@with_settings
def migrate(settings: Settings, names: tuple[str, ...], no_backup: bool, json_: bool) -> None:
    """Upgrade stores to the newest revision; a deployment does so itself when it starts, and may be running."""
    selected = _select(settings, names)
    for store in selected:
        migrate_store(store, backup=not no_backup)
    _print(selected, json_)


@stores.command()
@click.argument("name", metavar="STORE")
@click.option("--to", required=True, help="The revision to go back to; `none` is before the first.")
@_no_backup
@json_option
@with_settings
def back(settings: Settings, name: str, to: str, no_backup: bool, json_: bool) -> None:
    """Downgrade a store to an earlier revision. First stop the processes that use it: they would upgrade it again."""
    selected = _select(settings, (name,))
    migrate_back(selected[0], to, backup=not no_backup)
    _print(selected, json_)


@stores.command()
@_names
@json_option
@with_settings
def backup(settings: Settings, names: tuple[str, ...], json_: bool) -> None:
    """Back stores up to `backups` in the data directory: files of SQLite, dumps of MariaDB."""
    files = {store.name: back_up(store) for store in _select(settings, names)}
    if json_:
        print_json({name: file and str(file) for name, file in files.items()})
        return
    for name, file in files.items():
        click.echo(f"{name}: {file or 'no backup was made'}")


def _select(settings: Settings, names: tuple[str, ...]) -> list[Store]:
    log.configure(level=settings.deployment.log_level, service="stores")
    return list_stores(settings, names)


def _print(selected: list[Store], json_: bool) -> None:
    found = [read_status(store) for store in selected]
    show(found, ("store", "engine", "revision", "newest", ""), _to_cells, as_json=json_)


def _to_cells(store: StoreStatus) -> Iterable[object]:
    state = f"pending: {', '.join(store.pending)}" if store.pending else "up to date"
    return store.name, store.engine, store.revision or "none", store.newest, store.problem or state
