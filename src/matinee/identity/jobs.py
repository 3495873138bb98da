"""Background jobs of identity."""

from __future__ import annotations

from datetime import timedelta

from matinee.identity.model import ATTEMPTS_EXPIRE_AFTER, DEVICES_EXPIRE_AFTER
from matinee.identity.ports import AuditLog, SignInStore, Throttle
from matinee.identity.service import IdentityService
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()


async def delete_expired(sign_ins: SignInStore, throttle: Throttle, clock: Clock, *, refresh_ttl_s: int) -> None:
    """Delete expired sign-ins, attempt counts and devices.

    A device that was not seen for longer than a sign-in lasts unused has none.
    """
    now = clock.now()
    ended = await sign_ins.expire(now=now)
    expired = await throttle.expire_attempts(before=now - ATTEMPTS_EXPIRE_AFTER)
    unused = max(DEVICES_EXPIRE_AFTER, 2 * timedelta(seconds=refresh_ttl_s))
    devices = await sign_ins.expire_devices(before=now - unused)
    if ended or expired or devices:
        _log.info("identity.expired", sign_ins=ended, attempts=expired, devices=devices)


async def finish_closing(service: IdentityService) -> None:
    """Erase closed accounts whose erasure was interrupted."""
    if erased := await service.finish_closing():
        _log.info("identity.erased", accounts=erased)


async def delete_old_entries(audit: AuditLog, clock: Clock, *, keep_days: int) -> None:
    """Delete old entries of the audit log."""
    if deleted := await audit.delete_before(before=clock.now() - timedelta(days=keep_days)):
        _log.info("audit.expired", entries=deleted)
