"""`matinee accounts` and `matinee keys`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import click
import msgspec

from matinee.app.clients import Clients
from matinee.cli.options import PathType, Result, call, json_option, with_settings
from matinee.cli.output import show as show_table
from matinee.gateway.api.export import export_account
from matinee.identity.api import COMMAND_LINE, NAME_LIMIT, Account, AuditEntry, Identity
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId
from matinee.kit.page import Page
from matinee.mesh.hosting.settings import Settings
from matinee.viewing.api import Viewing

_email = click.argument("email")
_role = click.argument("role", type=click.Choice(["operator"]))
_limit = click.option(
    "--limit", default=50, type=click.IntRange(min=1), show_default=True, help="How many, newest first."
)
_generate = click.option(
    "--generate", is_flag=True, help="Generate a password and print it, instead of asking for one."
)
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_GENERATED_BYTES = 12


@click.group()
def accounts() -> None:
    """Manage accounts, their roles, passwords and sign-ins."""


@accounts.command("list")
@click.option("--email", "query", default="", help="A part of the e-mail address.")
@_limit
@json_option
@with_settings
def list_(settings: Settings, query: str, limit: int, json_: bool) -> None:
    """List accounts."""

    def read(clients: Clients) -> Awaitable[list[Account]]:
        return _collect(lambda cursor: clients.get(Identity).list_accounts(query=query, cursor=cursor), limit)

    found = call(settings, read)
    show_table(found, ("e-mail", "created", "roles", "account"), _to_cells, as_json=json_, empty="There is no account.")


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
@click.option("--name", help="The name of the first profile [the first part of the address].")
@click.option("--language", default="en", show_default=True, help="The language of the first profile (BCP 47).")
@click.option("--role", "roles", multiple=True, type=click.Choice(["operator"]), help="Give it a role.")
@_generate
@with_settings
def create(
    settings: Settings, email: str, name: str | None, language: str, roles: tuple[str, ...], generate: bool
) -> None:
    """Open an account, also where strangers cannot."""
    password = _choose_password(generate)

    def work(clients: Clients) -> Awaitable[Account]:
        return clients.get(Identity).create_account(
            by=COMMAND_LINE,
            email=email,
            password=password,
            name=name or email.partition("@")[0][:NAME_LIMIT],
            language=language,
            roles=roles,
        )

    account = call(settings, work)
    click.echo(f"{account.email}: {_describe_roles(account)}{f', password: {password}' if generate else ''}")


@accounts.command()
@_email
@_role
@with_settings
def grant(settings: Settings, email: str, role: str) -> None:
    """Give an account a role."""
    account = _change(
        settings, email, lambda identity, id_: identity.grant_role(by=COMMAND_LINE, account_id=id_, role=role)
    )
    click.echo(f"{account.email}: {_describe_roles(account)}")


@accounts.command()
@_email
@_role
@with_settings
def revoke(settings: Settings, email: str, role: str) -> None:
    """Take a role from an account, at once."""
    account = _change(
        settings, email, lambda identity, id_: identity.revoke_role(by=COMMAND_LINE, account_id=id_, role=role)
    )
    click.echo(f"{account.email}: {_describe_roles(account)}")


@accounts.command("reset-password")
@_email
@_generate
@with_settings
def reset_password(settings: Settings, email: str, generate: bool) -> None:
    """Set a new password and end every sign-in of an account."""
    password = _choose_password(generate)

    def reset(identity: Identity, account_id: AccountId) -> Awaitable[Account]:
        return identity.reset_password(by=COMMAND_LINE, account_id=account_id, password=password)

    account = _change(settings, email, reset)
    click.echo(f"{account.email} has a new password{f': {password}' if generate else ''}")


@accounts.command("sign-out")
@_email
@with_settings
def sign_out(settings: Settings, email: str) -> None:
    """End every sign-in of an account; what it plays stops within seconds."""
    ended = _change(settings, email, lambda identity, id_: identity.end_sign_ins(by=COMMAND_LINE, account_id=id_))
    click.echo(f"{ended} sign-in{'' if ended == 1 else 's'} ended")


@accounts.command()
@_email
@click.option("--out", type=PathType(dir_okay=False), help="The file to write [standard output].")
@with_settings
def export(settings: Settings, email: str, out: Path | None) -> None:
    """Write what is stored of an account's people, as JSON."""

    async def work(clients: Clients) -> bytes:
        identity = clients.get(Identity)
        account = await identity.find_account(email=email)
        data = await export_account(
            identity=identity,
            viewing=clients.get(Viewing),
            clock=SystemClock(),
            by=COMMAND_LINE,
            account_id=account.account_id,
        )
        return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"

    data = call(settings, work)
    if out is None:
        sys.stdout.write(data.decode())
    else:
        out.write_bytes(data)
        click.echo(f"{out} has {len(data)} bytes")


@accounts.command()
@_email
@_yes
@with_settings
def close(settings: Settings, email: str, yes: bool) -> None:
    """Close an account and erase its profiles, devices and history, for good."""
    account = call(settings, lambda clients: clients.get(Identity).find_account(email=email))
    if not yes:
        click.confirm(f"Erase {account.email} with its profiles and history? This cannot be undone", abort=True)
    _change(settings, email, lambda identity, id_: identity.close_account(by=COMMAND_LINE, account_id=id_))
    click.echo(f"{account.email} is closed and erased")


@accounts.command()
@click.argument("email", required=False)
@_limit
@json_option
@with_settings
def audit(settings: Settings, email: str | None, limit: int, json_: bool) -> None:
    """Show the audit log, newest first: all, or what concerns an account."""

    async def read(clients: Clients) -> list[AuditEntry]:
        identity = clients.get(Identity)
        account_id = (await identity.find_account(email=email)).account_id if email else None
        return await _collect(lambda cursor: identity.audit_log(account_id=account_id, cursor=cursor), limit)

    headings = ("time", "act", "by", "from", "account", "detail")
    show_table(call(settings, read), headings, _to_audit_cells, as_json=json_, empty="The audit log is empty.")


@click.group()
def keys() -> None:
    """Manage the keys that sign access tokens."""


@keys.command()
@click.option(
    "--discard", is_flag=True, help="Use the new key at once and make every token void: the old key is known."
)
@with_settings
def rotate(settings: Settings, discard: bool) -> None:
    """Add a new key, which signs once every process has it. Sign-ins stay."""
    call(settings, lambda clients: clients.get(Identity).rotate_keys(by=COMMAND_LINE, discard=discard))
    click.echo("the new key signs now; devices refresh their tokens" if discard else "the new key signs in six minutes")


def _change(settings: Settings, email: str, change: Callable[[Identity, AccountId], Awaitable[Result]]) -> Result:
    """Do something to the account with an e-mail address."""

    async def work(clients: Clients) -> Result:
        identity = clients.get(Identity)
        return await change(identity, (await identity.find_account(email=email)).account_id)

    return call(settings, work)


async def _collect(list_page: Callable[[str | None], Awaitable[Page[Result]]], limit: int) -> list[Result]:
    """Return the first items of a list of pages."""
    page = await list_page(None)
    items = page.items
    while len(items) < limit and page.next_cursor is not None:
        page = await list_page(page.next_cursor)
        items += page.items
    return items[:limit]


def _choose_password(generate: bool) -> str:
    if generate:
        return secrets.token_urlsafe(_GENERATED_BYTES)
    if sys.stdin.isatty():
        prompted: str = click.prompt("New password", hide_input=True, confirmation_prompt=True)
        return prompted
    if not (password := sys.stdin.readline().rstrip("\r\n")):
        raise click.UsageError("Standard input is no terminal: write the password to it, or use --generate.")
    return password


def _to_cells(account: Account) -> Iterable[object]:
    return account.email, f"{account.created_at:%Y-%m-%d}", " ".join(account.roles), account.account_id


def _to_audit_cells(entry: AuditEntry) -> Iterable[object]:
    actor, account = entry.actor or entry.actor_id or "", entry.account or entry.account_id or ""
    return f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.act, actor, entry.client, account, entry.detail


def _describe_roles(account: Account) -> str:
    return f"roles: {', '.join(account.roles)}" if account.roles else "no roles"
