"""`matinee dev`: for those who build Matinee."""

from __future__ import annotations

import click

from matinee.app.cli.options import run, with_settings
from matinee.app.settings import Settings
from matinee.kit import log


@click.group()
def dev() -> None:
    """For those who build Matinee."""


@dev.command()
@with_settings
def demo(settings: Settings) -> None:
    """Fill a running house with the demo films; what is there is left alone."""
    from matinee.app.demo.fill import fill  # draws with numpy and Pillow, which no other command needs

    log.configure(level=settings.house.log_level, service="demo")
    run(fill(settings))
