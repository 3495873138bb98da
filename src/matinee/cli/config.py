"""`matinee config`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from matinee.app import settings
from matinee.cli.options import DEFAULT_FILE, config_option, json_option, print_json


@click.group()
def config() -> None:
    """Show the settings."""


@config.command()
@config_option
@json_option
def show(config_file: Path | None, json_: bool) -> None:
    """Show every setting with its value, its default and its source."""
    views = settings.show(config_file or DEFAULT_FILE)
    if json_:
        print_json(views)
        return
    table = Table("setting", "value", "default", "from", box=None, header_style="bold")
    for view in views:
        default = "" if view.value == view.default else str(view.default)
        table.add_row(view.key, str(view.value), default, view.source)
    Console().print(table)
