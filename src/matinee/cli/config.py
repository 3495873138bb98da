"""`matinee config`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from matinee.app import settings as known_settings
from matinee.cli.options import DEFAULT_FILE, as_json, config_option, json_option


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@config_option
@json_option
def show(config_file: Path | None, json_: bool) -> None:
    """Every setting with its value, its default and where it came from."""
    shown = known_settings.show(config_file or DEFAULT_FILE)
    if json_:
        as_json(shown)
        return
    table = Table("setting", "value", "default", "from", box=None, header_style="bold")
    for one in shown:
        table.add_row(one.key, str(one.value), "" if one.value == one.default else str(one.default), one.source)
    Console().print(table)
