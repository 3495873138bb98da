"""`matinee dev`: for those who build Matinee."""

from __future__ import annotations

import click


@click.group()
def dev() -> None:
    """For those who build Matinee."""
