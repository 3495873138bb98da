"""`matinee accounts`."""

from __future__ import annotations

import click

from matinee.app.settings import Settings
from matinee.app.wiring import clients
from matinee.cli.options import run, with_settings
from matinee.identity.api import Account


@click.group()
def accounts() -> None:
    """Who may do what."""


@accounts.command()
@click.argument("email")
@click.argument("role", type=click.Choice(["operator"]))
@with_settings
def grant(settings: Settings, email: str, role: str) -> None:
    """Give an account a role."""

    async def ask() -> Account:
        async with clients(settings) as deployment:
            return await deployment.identity.grant_role(email=email, role=role)

    account = run(ask())
    click.echo(f"{account.email} is now: {', '.join(account.roles)}")
