"""Writes and reads the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from matinee.identity.api import Act, Actor, AuditEntry
from matinee.identity.ports import AuditLog
from matinee.kit import ids, log
from matinee.kit.clock import Clock
from matinee.kit.ids import AccountId, AuditEntryId
from matinee.kit.page import Page, make_cursor, parse_cursor
from matinee.kit.problem import Problem
from matinee.kit.text import replace_controls

_log = log.get()
_PAGE = 50
_CLIENT_LIMIT, _DETAIL_LIMIT = 64, 255
# From this status on a problem is a failure, and the act may have happened.
_FAILURE = 500


class Audit:
    """Writes entries before their acts, so that no act is without one, and lists them."""

    def __init__(self, *, log: AuditLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def record(self, act: Act, by: Actor, account_id: AccountId | None = None, *, detail: str = "") -> None:
        """Store an entry. There must be no e-mail address in `detail`: it would outlive its account.

        What cannot be printed is replaced: clients choose the ids in their paths, which are part of a detail.
        """
        now = self._clock.now()
        await self._log.add(
            AuditEntry(
                entry_id=ids.generate(AuditEntryId, now),
                at=now,
                act=act,
                client=by.client[:_CLIENT_LIMIT],
                detail=replace_controls(detail[:_DETAIL_LIMIT]),
                actor_id=by.account_id,
                account_id=account_id,
            )
        )

    @asynccontextmanager
    async def recording(
        self, act: Act, by: Actor, account_id: AccountId | None = None, *, detail: str = ""
    ) -> AsyncIterator[None]:
        """Store an entry before an act, and one more if the act is refused."""
        await self.record(act, by, account_id, detail=detail)
        try:
            yield
        except Problem as problem:
            if problem.status < _FAILURE:
                await self.record("refused", by, account_id, detail=f"{act} {problem.kind()}")
            raise

    async def record_if_possible(
        self, act: Act, by: Actor, account_id: AccountId | None = None, *, detail: str = ""
    ) -> None:
        """Store an entry of a sign-in, which is not refused because the audit log cannot be written."""
        try:
            await self.record(act, by, account_id, detail=detail)
        except Problem as problem:
            _log.error("audit.not_written", act=act, client=by.client, account_id=account_id, error=str(problem))

    async def list_entries(self, account_id: AccountId | None, cursor: str | None) -> Page[AuditEntry]:
        """List a page of entries. Raises Invalid."""
        after = None
        if cursor is not None:
            at, (entry_id,) = parse_cursor(cursor, 1)
            after = at, AuditEntryId(entry_id)
        found = await self._log.list_entries(account_id=account_id, after=after, limit=_PAGE + 1)
        page = found[:_PAGE]
        return Page(items=page, next_cursor=make_cursor(page[-1].at, page[-1].entry_id) if len(found) > _PAGE else None)

    async def has_act(self, act: Act, account_id: AccountId) -> bool:
        """Return whether an act is among the newest entries of which an account is a party."""
        return any(entry.act == act for entry in (await self.list_entries(account_id, None)).items)

    async def list_own(self, account_id: AccountId) -> list[AuditEntry]:
        """List every entry of which an account is a party, without what it tells about other people."""
        page = await self.list_entries(account_id, None)
        entries = page.items
        while page.next_cursor is not None:
            page = await self.list_entries(account_id, page.next_cursor)
            entries += page.items
        return [_hide_others(entry, account_id) for entry in entries]


def _hide_others(entry: AuditEntry, account_id: AccountId) -> AuditEntry:
    if entry.actor_id not in (None, account_id):
        entry = msgspec.structs.replace(entry, actor_id=None, actor=None, client="")
    if entry.account_id not in (None, account_id):
        entry = msgspec.structs.replace(entry, account_id=None, account=None)
    return entry
