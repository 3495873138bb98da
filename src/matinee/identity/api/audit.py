"""The audit log: who signed in, and what was done to accounts and by operators."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from matinee.kit.ids import AccountId, AuditEntryId

# `operator` is any other act of an operator; its detail names the operation. The detail of `refused` is the act that
# was recorded just before it, and the kind of the problem.
Act: TypeAlias = Literal[
    "sign-up",
    "sign-in",
    "sign-in-failed",
    "sign-out",
    "sign-ins-ended",
    "token-reused",
    "proof-failed",
    "password-changed",
    "password-reset",
    "profile-created",
    "profile-changed",
    "profile-removed",
    "device-removed",
    "role-granted",
    "role-revoked",
    "account-created",
    "account-closed",
    "account-exported",
    "keys-rotated",
    "operator",
    "refused",
]


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, and from where: `client` is a network address or `command line`. Commands have no account."""

    account_id: AccountId | None = None
    client: str = ""


COMMAND_LINE = Actor(client="command line")


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit log: at `at` `actor` did `act` to `account`, from `client`.

    `actor` and `account` are e-mail addresses, None where there is no such account or no longer. An entry is written
    before its act; an act that is refused after that has a second entry.
    """

    entry_id: AuditEntryId
    at: datetime
    act: Act
    client: str = ""
    detail: str = ""
    actor_id: AccountId | None = None
    actor: str | None = None
    account_id: AccountId | None = None
    account: str | None = None
