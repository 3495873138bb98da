"""A cold host of a Memcached ring is filled with what the other zones have of its keys."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import unquote

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.memcached import Memcached

# A listing is made by the host in pieces; one that says nothing for so long has ended.
_SILENT_S = 5.0
_KEY = re.compile(rb"key=(\S+) exp=(-?\d+) ")


async def listed(client: Memcached, prefix: str, limit: int) -> AsyncIterator[str]:
    """The keys on a host that begin with a prefix, at most `limit`, without the prefix. Raises EngineUnavailable.

    On a connection of its own: a listing is long, and all else on its line would wait.
    """
    try:
        async with asyncio.timeout(_SILENT_S):
            reader, writer = await asyncio.open_connection(*client.place)
    except OSError as error:
        raise EngineUnavailable(engine="memcached", detail=f"{client.engine} does not answer: {error}") from error
    try:
        writer.write(b"lru_crawler metadump all\r\n")
        count = 0
        while count < limit and (key := await _next(reader, client)) is not None:
            if key.startswith(prefix):
                count += 1
                yield key.removeprefix(prefix)
    finally:
        writer.transport.abort()


async def _next(reader: asyncio.StreamReader, client: Memcached) -> str | None:
    try:
        async with asyncio.timeout(_SILENT_S):
            line = await reader.readline()
    except (OSError, ValueError) as error:
        raise EngineUnavailable(
            engine="memcached", detail=f"{client.engine} does not list its keys: {error!r}"
        ) from error
    found = _KEY.match(line)
    return None if found is None else unquote(found[1].decode())
