"""The real identity service on a real store, and the facts it relayed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from matinee.drivers.argon import Argon2
from matinee.drivers.jwt import Signer, Verifier
from matinee.drivers.passwords import find_weakness
from matinee.drivers.sql import Database
from matinee.events.api import AnyFact, FactRecord
from matinee.identity.adapters.sql import SqlIdentityStore
from matinee.identity.adapters.sql_audit import SqlAuditLog
from matinee.identity.api import DeviceInfo, Grant, parse_principal
from matinee.identity.service import IdentityService
from matinee.kit.clock import ManualClock
from matinee.kit.context import Principal
from matinee.kit.ids import ProfileId
from matinee.kit.structs import build_from

EMAIL, PASSWORD = "ada@example.org", "correct horse"
BROWSER = DeviceInfo(name="Chromium")


class Rig:
    """The service, put together as the wiring does it, and the facts it relayed."""

    def __init__(self, store: SqlIdentityStore, audit: SqlAuditLog, folder: Path) -> None:
        self.store = store
        self.audit = audit
        self.folder = folder
        self.clock = ManualClock()
        self.argon = Argon2(time_cost=1, memory_kib=64)
        self.identity = self.instance()
        self.verifier: Verifier[Principal] = Verifier(
            fetch_keys=self.identity.public_keys, parse_claims=parse_principal, clock=self.clock
        )

    def instance(self, **more: Any) -> IdentityService:
        """One more process of the service on the same store."""
        signer = Signer.open(self.folder / "signing.pem")
        parts: dict[str, Any] = {
            "accounts": self.store,
            "sign_ins": self.store,
            "throttle": self.store,
            "secrets": self.argon,
        }
        parts |= {"audit": self.audit, "find_weakness": find_weakness, "signer": signer, "clock": self.clock}
        return IdentityService(**{**parts, **more})

    async def sign_up(self, email: str = EMAIL) -> Grant:
        return await self.identity.sign_up(email=email, password=PASSWORD, name="Ada", language="en", device=BROWSER)

    async def sign_in(self, password: str = PASSWORD, device: DeviceInfo = BROWSER, email: str = EMAIL) -> Grant:
        return await self.identity.sign_in(email=email, password=password, device=device)

    def principal(self, grant: Grant) -> Principal:
        return build_from(grant, Principal)

    async def first_profile(self, grant: Grant) -> ProfileId:
        return (await self.identity.profiles(account_id=grant.account_id))[0].profile_id

    async def choose(self, grant: Grant, profile_id: ProfileId, pin: str | None = None) -> Grant:
        return await self.identity.choose_profile(
            account_id=grant.account_id, sign_in_id=grant.sign_in_id, profile_id=profile_id, pin=pin
        )

    async def refresh(self, grant: Grant) -> Grant:
        return await self.identity.refresh(refresh_token=grant.refresh_token)

    async def acts(self) -> list[str]:
        """Return the acts in the audit log, oldest first."""
        return [entry.act for entry in (await self.identity.audit_log()).items][::-1]

    async def facts(self) -> list[AnyFact]:
        relayed: list[AnyFact] = []

        async def append(records: list[bytes]) -> None:
            relayed.extend(msgspec.json.decode(record, type=FactRecord).fact for record in records)

        await self.store.outbox.relay(append)
        return relayed


@asynccontextmanager
async def open_rig(folder: Path) -> AsyncIterator[Rig]:
    """A rig on an empty store."""
    async with Database(f"sqlite:///{folder}/identity.db") as database:
        rig = Rig(await SqlIdentityStore.open(database), SqlAuditLog(database), folder)
        yield rig
        rig.argon.close()
