"""`matinee config`."""

from __future__ import annotations

from pathlib import Path

import click

from matinee.app import settings
from matinee.cli import output
from matinee.cli.options import DEFAULT_FILE, config_option, data_option, json_option


@click.group()
def config() -> None:
    """Show the settings."""


@config.command()
@config_option
@data_option
@json_option
def show(config_file: Path | None, data: str | None, json_: bool) -> None:
    """Show every setting with its value, its default and its source."""
    output.show(
        settings.show(config_file or DEFAULT_FILE, overrides={} if data is None else {"deployment.data": data}),
        ("setting", "value", "default", "from"),
        lambda view: (view.key, view.value, "" if view.value == view.default else view.default, view.source),
        as_json=json_,
    )
