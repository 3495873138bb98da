"""`matinee accounts`."""

from __future__ import annotations

import click

from matinee.cli.options import call, with_settings
from matinee.identity.api import Identity
from matinee.mesh.hosting.settings import Settings


@click.group()
def accounts() -> None:
    """Manage accounts and their roles."""


@accounts.command()
@click.argument("email")
@click.argument("role", type=click.Choice(["operator"]))
@with_settings
def grant(settings: Settings, email: str, role: str) -> None:
    """Give an account a role."""
    account = call(settings, lambda clients: clients.get(Identity).grant_role(email=email, role=role))
    click.echo(f"{account.email} has the roles: {', '.join(account.roles)}")
