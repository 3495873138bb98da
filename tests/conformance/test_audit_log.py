"""The audit log on every SQL engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.stores import SQL, database_url

from matinee.drivers.sql import Database
from matinee.identity.adapters.sql import SqlIdentityStore
from matinee.identity.adapters.sql_audit import SqlAuditLog
from matinee.identity.api import Account, AuditEntry, Profile
from matinee.identity.model import Credentials
from matinee.kit.ids import AccountId, AuditEntryId, ProfileId

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize("engine", SQL)
async def test_audit_log_is_listed_with_addresses_of_accounts_that_exist(engine: str, tmp_path: Path) -> None:
    ada, gone = AccountId("acc_ada"), AccountId("acc_gone")
    entries = [
        AuditEntry(entry_id=AuditEntryId(f"aud_{n}"), at=NOW + timedelta(seconds=n // 2), act="sign-in", **parties)
        for n, parties in enumerate(
            [
                {"actor_id": ada, "account_id": ada, "client": "::1"},
                {"actor_id": ada, "account_id": gone, "detail": "x"},
                {"account_id": gone},
                {"actor_id": gone},
            ]
        )
    ]
    account = Account(account_id=ada, email="ada@example.org", created_at=NOW)
    profile = Profile(profile_id=ProfileId("pro_1"), account_id=ada, name="Ada", avatar="ember", language="en")
    async with Database(database_url(engine, tmp_path, "identity")) as database:
        store, log = await SqlIdentityStore.open(database), SqlAuditLog(database)
        credentials = Credentials(account=account, password_hash="$")
        await store.open_account(credentials=credentials, profile=profile, records=())
        for entry in entries:
            await log.add(entry)
        found = await log.list_entries(account_id=None, after=None, limit=10)
        assert [(entry.entry_id, entry.actor, entry.account) for entry in found] == [
            ("aud_3", None, None),
            ("aud_2", None, None),
            ("aud_1", "ada@example.org", None),
            ("aud_0", "ada@example.org", "ada@example.org"),
        ]
        assert msgspec.structs.replace(found[-1], actor=None, account=None) == entries[0]
        after = (found[1].at, found[1].entry_id)
        assert await log.list_entries(account_id=None, after=after, limit=1) == [found[2]]
        assert await log.list_entries(account_id=ada, after=None, limit=10) == found[2:]
        assert await log.delete_before(before=NOW + timedelta(seconds=1)) == 2
        assert await log.list_entries(account_id=None, after=None, limit=10) == found[:2]
