"""`matinee lab engines`: real engines on this machine."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from matinee.app.settings import Settings
from matinee.cli.options import as_json, json_option, with_settings
from matinee.lab.engines import ENGINES, Absent
from matinee.lab.engines.fetch import fetch
from matinee.lab.engines.fleet import Fleet
from matinee.lab.engines.known import APART
from matinee.lab.profile import KEEPERS

names_argument = click.argument("names", nargs=-1, type=click.Choice(list(ENGINES)), metavar="[NAME]...")
dir_option = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the engines keep their data [{data}/engines].",
)


@click.group()
def engines() -> None:
    """Real engines on this machine."""


@engines.command()
@names_argument
@dir_option
@with_settings
def up(settings: Settings, names: tuple[str, ...], folder: Path | None) -> None:
    """Fetch what is missing, start all engines or those named, and write a `matinee.toml` that leads to them.

    All are those that a deployment can have its state in: kubernetes only comes where it is named.
    """
    wanted = names or tuple(name for name in ENGINES if name not in APART)
    for name, lack in fetch(wanted, _say).items():
        raise Absent(engine=name, detail=lack)
    fleet = _fleet(settings, folder)
    fleet.up(wanted, _say)
    file = fleet.write_settings(KEEPERS)
    for one in fleet.status():
        _say(f"  {one.name:18} {one.url}")
    _say(f"\nA deployment on them: matinee up --config {file}")


@engines.command()
@names_argument
@dir_option
@with_settings
def down(settings: Settings, names: tuple[str, ...], folder: Path | None) -> None:
    """End all engines or those named; their data stays."""
    for name in _fleet(settings, folder).down(names or tuple(ENGINES)):
        _say(f"  stopped            {name}")


@engines.command()
@dir_option
@json_option
@with_settings
def status(settings: Settings, folder: Path | None, json_: bool) -> None:
    """What runs, where, and how much memory it holds."""
    shown = _fleet(settings, folder).status()
    if json_:
        as_json(shown)
        return
    table = Table("engine", "version", "state", "pid", "memory", box=None, header_style="bold")
    table.add_column("url", overflow="fold")
    for one in shown:
        memory = f"{one.memory_bytes / 1e6:.0f} MB" if one.pid else ""
        table.add_row(one.name, one.version, one.state, str(one.pid or ""), memory, one.url)
    Console(width=120).print(table)


def _fleet(settings: Settings, folder: Path | None) -> Fleet:
    return Fleet(folder or settings.data / "engines")


def _say(words: str) -> None:
    click.echo(words)
