"""The registration of identity."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from matinee.events.api import Events, relay_facts
from matinee.identity.api import Identity
from matinee.kit.bounds import Days, Seconds
from matinee.mesh.hosting.domain import Domain, Wiring


class IdentitySection(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts and tokens; times in seconds.

    `proof_s`: how long the household may be changed after the password or an adult's PIN was given.
    `sessions` stores sign-ins and their devices, `throttle` counts failed attempts; where empty, `store` does.
    `sign_up`: whether strangers may open an account: `open`, `closed`, or `demo`, which is open only with the demo.
    `audit_days`: how long the audit log keeps an entry.
    """

    store: str = "sqlite:///{data}/identity.db"
    sessions: str = ""
    throttle: str = ""
    access_token_s: Seconds = 600
    refresh_token_s: Seconds = 60 * 86_400
    proof_s: Seconds = 600
    sign_up: Literal["demo", "open", "closed"] = "demo"
    audit_days: Days = 365


async def _build(wiring: Wiring[IdentitySection]) -> Identity:
    from matinee.drivers.argon import Argon2
    from matinee.drivers.jwt import Signer
    from matinee.drivers.passwords import find_weakness
    from matinee.identity import jobs
    from matinee.identity.adapters.sql import SqlIdentityStore
    from matinee.identity.adapters.sql_audit import SqlAuditLog
    from matinee.identity.service import IdentityService

    settings, events = wiring.settings, wiring.client(Events)
    database = await wiring.database("store")
    store, audit = await SqlIdentityStore.open(database), SqlAuditLog(database)
    sign_ins = await _open(wiring, "sessions") if settings.sessions else store
    throttle = await _open(wiring, "throttle") if settings.throttle else store
    secrets = Argon2()
    wiring.stack.callback(secrets.close)
    wiring.add_job(relay_facts, store.outbox, events)
    if sign_ins is not store:
        wiring.add_job(relay_facts, sign_ins.outbox, events)
    service = IdentityService(
        accounts=store,
        sign_ins=sign_ins,
        throttle=throttle,
        audit=audit,
        secrets=secrets,
        signer=Signer.open(wiring.deployment.secrets / "access-tokens.pem"),
        find_weakness=find_weakness,
        clock=wiring.clock,
        is_sign_up_open=settings.sign_up == "open" or (settings.sign_up == "demo" and wiring.deployment.demo),
        access_ttl_s=settings.access_token_s,
        refresh_ttl_s=settings.refresh_token_s,
        proof_s=settings.proof_s,
    )
    ttl_s = settings.refresh_token_s
    wiring.add_schedule("@every 10m", jobs.delete_expired, sign_ins, throttle, wiring.clock, refresh_ttl_s=ttl_s)
    wiring.add_schedule("@every 10m", jobs.finish_closing, service)
    wiring.add_schedule("@every 24h", jobs.delete_old_entries, audit, wiring.clock, keep_days=settings.audit_days)
    return service


async def _open(wiring: Wiring[IdentitySection], key: Literal["sessions", "throttle"]) -> Any:
    """Open the store of sign-ins or of failed attempts."""
    if wiring.is_redis(key):
        from matinee.identity.adapters.redis import RedisSignInStore, RedisThrottle

        redis = await wiring.redis(key)
        return await (RedisSignInStore.open(redis) if key == "sessions" else RedisThrottle.open(redis))
    from matinee.identity.adapters.sql import SqlIdentityStore

    return await SqlIdentityStore.open(await wiring.database(key))


DOMAIN = Domain(
    name="identity", section=IdentitySection, protocol=Identity, needs=(Events,), build=_build, store="store"
)
