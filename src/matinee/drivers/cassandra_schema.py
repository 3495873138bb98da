"""The schema of a keyspace, brought forward step by step; safe when several processes start at once.

`schema_version` holds, for each domain, how many of its steps are done. A step is one statement of CQL that may be
done twice (`IF NOT EXISTS`), since whoever does it may be killed before it is counted. One process at a time does
steps: the one whose name stands in the row, put there by a lightweight transaction and gone a minute after its last
sign of life.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from matinee.drivers.cassandra import VERSION, Cassandra, Query
from matinee.drivers.engine import EngineUnavailable, SchemaAhead, StoreEmpty

WAIT_S = 90
PAUSE_S = 0.2
_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (name text PRIMARY KEY, version int, owner text)"
_LOCK = Query("UPDATE schema_version USING TTL 60 SET owner = ? WHERE name = ? IF owner = null", idempotent=False)
_KEEP = Query("UPDATE schema_version USING TTL 60 SET owner = ? WHERE name = ? IF owner = ?", idempotent=False)
_COUNT = Query("UPDATE schema_version SET version = ? WHERE name = ? IF owner = ?", idempotent=False)
_UNLOCK = Query("UPDATE schema_version SET owner = null WHERE name = ? IF owner = ?", idempotent=False)


async def migrate(cassandra: Cassandra, name: str, steps: Sequence[str]) -> None:
    """Do the steps of a domain that are not done yet. Raises SchemaAhead, EngineUnavailable."""
    try:
        if await _version(cassandra, name, steps) < len(steps):
            await _locked(cassandra, name, steps, uuid.uuid4().hex)
    except SchemaAhead:
        cassandra.schemas[name] = len(steps)  # for `check` to say so as well
        raise
    cassandra.schemas[name] = len(steps)


async def _locked(cassandra: Cassandra, name: str, steps: Sequence[str], owner: str) -> None:
    """Do what is left to do once nobody else does it."""
    for _ in range(round(WAIT_S / PAUSE_S)):
        if await cassandra.execute_conditional(_LOCK, owner, name):
            break
        await asyncio.sleep(PAUSE_S)
    else:
        raise EngineUnavailable(
            engine="cassandra", detail=f"Somebody else has been changing the schema {name} for too long."
        )
    try:
        await _do(cassandra, name, steps, owner)
    finally:
        await cassandra.execute_conditional(_UNLOCK, name, owner)


async def _do(cassandra: Cassandra, name: str, steps: Sequence[str], owner: str) -> None:
    for done in range(await _version(cassandra, name, steps), len(steps)):
        if not await cassandra.execute_conditional(_KEEP, owner, name, owner):
            raise EngineUnavailable(engine="cassandra", detail=f"Somebody else has begun to change the schema {name}.")
        await cassandra.change_schema(steps[done])
        await cassandra.execute_conditional(_COUNT, done + 1, name, owner)


async def _version(cassandra: Cassandra, name: str, steps: Sequence[str]) -> int:
    """How many steps are done. Raises SchemaAhead where they are more than there are."""
    try:
        rows = await cassandra.fetch(VERSION, name)
    except StoreEmpty:
        await cassandra.change_schema(_TABLE)
        rows = await cassandra.fetch(VERSION, name)
    version = (rows[0][0] or 0) if rows else 0
    if version > len(steps):
        detail = f"The tables of {name} in {cassandra.engine} are of a newer Matinee ({version} > {len(steps)})."
        raise SchemaAhead(store=name, detail=detail)
    return version
