"""Migrations of a keyspace, which several processes may run at once.

`schema_version` stores, for each domain, the number of its steps that are done. A step is one idempotent statement of
CQL (`IF NOT EXISTS`), since a process may be killed between the step and its count. One process at a time runs steps:
it acquires the row by a lightweight transaction, and loses it a minute after its last renewal.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from matinee.drivers.cassandra import VERSION, Cassandra, Query
from matinee.drivers.engine import EngineUnavailable, SchemaAhead, StoreEmpty

WAIT_S = 90
RETRY_S = 0.2
_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (name text PRIMARY KEY, version int, owner text)"
_LOCK = Query("UPDATE schema_version USING TTL 60 SET owner = ? WHERE name = ? IF owner = null", idempotent=False)
_RENEW = Query("UPDATE schema_version USING TTL 60 SET owner = ? WHERE name = ? IF owner = ?", idempotent=False)
_COUNT = Query("UPDATE schema_version SET version = ? WHERE name = ? IF owner = ?", idempotent=False)
_UNLOCK = Query("UPDATE schema_version SET owner = null WHERE name = ? IF owner = ?", idempotent=False)


async def migrate(cassandra: Cassandra, name: str, steps: Sequence[str]) -> None:
    """Run the steps of a domain that are not done yet. Raises SchemaAhead, EngineUnavailable."""
    try:
        if await _read_version(cassandra, name, steps) < len(steps):
            await _run_steps_locked(cassandra, name, steps, uuid.uuid4().hex)
    except SchemaAhead:
        cassandra.schemas[name] = len(steps)  # so that `check` reports it as well
        raise
    cassandra.schemas[name] = len(steps)


async def _run_steps_locked(cassandra: Cassandra, name: str, steps: Sequence[str], owner: str) -> None:
    for _ in range(round(WAIT_S / RETRY_S)):
        if await cassandra.execute_conditional(_LOCK, owner, name):
            break
        await asyncio.sleep(RETRY_S)
    else:
        raise EngineUnavailable(
            engine="cassandra", detail=f"Another process has been changing the schema {name} for {WAIT_S} s."
        )
    try:
        await _run_steps(cassandra, name, steps, owner)
    finally:
        await cassandra.execute_conditional(_UNLOCK, name, owner)


async def _run_steps(cassandra: Cassandra, name: str, steps: Sequence[str], owner: str) -> None:
    for done in range(await _read_version(cassandra, name, steps), len(steps)):
        if not await cassandra.execute_conditional(_RENEW, owner, name, owner):
            raise EngineUnavailable(
                engine="cassandra", detail=f"Another process has begun to change the schema {name}."
            )
        await cassandra.change_schema(steps[done])
        await cassandra.execute_conditional(_COUNT, done + 1, name, owner)


async def _read_version(cassandra: Cassandra, name: str, steps: Sequence[str]) -> int:
    """Read how many steps are done. Raises SchemaAhead if this code has fewer steps."""
    try:
        rows = await cassandra.fetch(VERSION, name)
    except StoreEmpty:
        await cassandra.change_schema(_TABLE)
        rows = await cassandra.fetch(VERSION, name)
    version = (rows[0][0] or 0) if rows else 0
    if version > len(steps):
        detail = (
            f"The tables of {name} in {cassandra.engine} were written by a newer Matinee ({version} > {len(steps)})."
        )
        raise SchemaAhead(store=name, detail=detail)
    return version
