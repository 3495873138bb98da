"""`matinee lab engines`: real engines on this machine."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from matinee.cli.options import PathType, json_option, with_settings
from matinee.cli.output import print_json
from matinee.lab.engines import ENGINES, EngineMissing, Fleet
from matinee.lab.engines.fetch import fetch
from matinee.lab.engines.known import OPTIONAL
from matinee.lab.profile import ENGINE_SETTINGS
from matinee.mesh.hosting.settings import Settings

_names = click.argument("names", nargs=-1, type=click.Choice(list(ENGINES)), metavar="[NAME]...")
_dir = click.option(
    "--dir",
    "folder",
    type=PathType(file_okay=False),
    help="The folder of the engines' data [{data}/engines].",
)


@click.group()
def engines() -> None:
    """Run real engines on this machine."""


@engines.command()
@_names
@_dir
@with_settings
def up(settings: Settings, names: tuple[str, ...], folder: Path | None) -> None:
    """Fetch what is missing, start all engines or those named, and write a `matinee.toml` with their URLs.

    All are those that can hold the state of a deployment: kubernetes is started only where it is named.
    """
    names = names or tuple(name for name in ENGINES if name not in OPTIONAL)
    for name, reason in fetch(names, click.echo).items():
        raise EngineMissing(engine=name, detail=reason)
    fleet = _open_fleet(settings, folder)
    fleet.up(names, click.echo)
    file = fleet.write_settings(ENGINE_SETTINGS)
    for one in fleet.status():
        click.echo(f"  {one.name:18} {one.url}")
    click.echo(f"\nRun a deployment on them: matinee up --config {file}")


@engines.command()
@_names
@_dir
@with_settings
def down(settings: Settings, names: tuple[str, ...], folder: Path | None) -> None:
    """Stop all engines or those named; their data is kept."""
    for name in _open_fleet(settings, folder).down(names or tuple(ENGINES)):
        click.echo(f"  stopped            {name}")


@engines.command()
@_dir
@json_option
@with_settings
def status(settings: Settings, folder: Path | None, json_: bool) -> None:
    """Show the engines that run, with their addresses and memory."""
    found = _open_fleet(settings, folder).status()
    if json_:
        print_json(found)
        return
    table = Table("engine", "version", "state", "pid", "memory", box=None, header_style="bold")
    table.add_column("url", overflow="fold")
    for one in found:
        memory = f"{one.memory_bytes / 1e6:.0f} MB" if one.pid else ""
        table.add_row(one.name, one.version, one.state, str(one.pid or ""), memory, one.url)
    Console(width=120).print(table)


def _open_fleet(settings: Settings, folder: Path | None) -> Fleet:
    return Fleet(folder or settings.data / "engines")
