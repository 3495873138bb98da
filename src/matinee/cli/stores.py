"""`matinee stores`."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from matinee.app import stores as known
from matinee.app.settings import Settings
from matinee.app.stores import Standing
from matinee.cli.options import as_json, json_option, with_settings
from matinee.kit import log

_names = click.argument("names", nargs=-1, metavar="[STORE]...")
_no_backup = click.option("--no-backup", is_flag=True, help="Keep no copy of what was there before.")


@click.group()
def stores() -> None:
    """What is kept in SQL: revisions, migrations, backups."""


@stores.command()
@_names
@json_option
@with_settings
def status(settings: Settings, names: tuple[str, ...], json_: bool) -> None:
    """Each store's engine, its revision, and which revisions are pending."""
    log.configure(level=settings.deployment.log_level, service="stores")
    found = [known.status(store) for store in known.stores(settings, names)]
    as_json(found) if json_ else Console().print(_table(found))


@stores.command()
@_names
@_no_backup
@json_option
@with_settings
def migrate(settings: Settings, names: tuple[str, ...], no_backup: bool, json_: bool) -> None:
    """Bring stores to the newest revision; the deployment may be running, and does so itself when it starts."""
    log.configure(level=settings.deployment.log_level, service="stores")
    chosen = known.stores(settings, names)
    for store in chosen:
        known.migrate(store, backup=not no_backup)
    found = [known.status(store) for store in chosen]
    as_json(found) if json_ else Console().print(_table(found))


@stores.command()
@click.argument("name", metavar="STORE")
@click.option("--to", required=True, help="The revision to go back to; `none` is before the first.")
@_no_backup
@json_option
@with_settings
def back(settings: Settings, name: str, to: str, no_backup: bool, json_: bool) -> None:
    """Bring a store back to an earlier revision. Stop what uses it before: it would bring it forward again."""
    log.configure(level=settings.deployment.log_level, service="stores")
    store = known.stores(settings, (name,))[0]
    known.go_back(store, to, backup=not no_backup)
    found = [known.status(store)]
    as_json(found) if json_ else Console().print(_table(found))


@stores.command()
@_names
@json_option
@with_settings
def backup(settings: Settings, names: tuple[str, ...], json_: bool) -> None:
    """Keep a copy of stores in `backups` of the data directory: files of SQLite, dumps of MariaDB."""
    log.configure(level=settings.deployment.log_level, service="stores")
    kept = {store.name: known.back_up(store) for store in known.stores(settings, names)}
    if json_:
        as_json({name: file and str(file) for name, file in kept.items()})
    else:
        for name, file in kept.items():
            click.echo(f"{name}: {file or 'no copy was made'}")


def _table(found: list[Standing]) -> Table:
    made = Table("store", "engine", "revision", "newest", "", box=None, header_style="bold")
    for one in found:
        state = "see below" if one.trouble else f"pending: {', '.join(one.pending)}" if one.pending else "up to date"
        made.add_row(one.name, one.engine, one.revision or "none", one.newest, state)
    made.caption = "\n".join(f"{one.name}: {one.trouble}" for one in found if one.trouble)
    made.caption_justify = "left"
    return made
