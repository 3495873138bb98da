"""`matinee accounts`."""

from __future__ import annotations

import secrets

import click
import msgspec

from matinee.cli.options import call, json_option, with_settings
from matinee.identity.api import Account, Identity
from matinee.mesh.hosting.settings import Settings

_email = click.argument("email")
_role = click.argument("role", type=click.Choice(["operator"]))
_GENERATED_BYTES = 12


@click.group()
def accounts() -> None:
    """Manage accounts, their roles, passwords and sign-ins."""


@accounts.command()
@_email
@json_option
@with_settings
def show(settings: Settings, email: str, json_: bool) -> None:
    """Show an account."""
    account = call(settings, lambda clients: clients.get(Identity).find_account(email=email))
    if json_:
        click.echo(msgspec.json.encode(account).decode())
        return
    click.echo(f"{account.email}, {account.status}, created {account.created_at:%Y-%m-%d}, {_describe_roles(account)}")


@accounts.command()
@_email
@_role
@with_settings
def grant(settings: Settings, email: str, role: str) -> None:
    """Give an account a role."""
    account = call(settings, lambda clients: clients.get(Identity).grant_role(email=email, role=role))
    click.echo(f"{account.email}: {_describe_roles(account)}")


@accounts.command()
@_email
@_role
@with_settings
def revoke(settings: Settings, email: str, role: str) -> None:
    """Take a role from an account, at once."""
    account = call(settings, lambda clients: clients.get(Identity).revoke_role(email=email, role=role))
    click.echo(f"{account.email}: {_describe_roles(account)}")


@accounts.command("reset-password")
@_email
@click.option("--generate", is_flag=True, help="Generate a password and print it, instead of asking for one.")
@with_settings
def reset_password(settings: Settings, email: str, generate: bool) -> None:
    """Set a new password and end every sign-in of an account."""
    if generate:
        password = secrets.token_urlsafe(_GENERATED_BYTES)
    else:
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    account = call(settings, lambda clients: clients.get(Identity).reset_password(email=email, password=password))
    click.echo(f"{account.email} has a new password{f': {password}' if generate else ''}")


@accounts.command("sign-out")
@_email
@with_settings
def sign_out(settings: Settings, email: str) -> None:
    """End every sign-in of an account; what it plays stops within seconds."""
    ended = call(settings, lambda clients: clients.get(Identity).end_sign_ins(email=email))
    click.echo(f"{ended} sign-in{'' if ended == 1 else 's'} ended")


def _describe_roles(account: Account) -> str:
    return f"roles: {', '.join(account.roles)}" if account.roles else "no roles"
