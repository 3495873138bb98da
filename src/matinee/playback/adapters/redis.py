"""Play sessions in Redis: one hash a session, and two sorted sets to find the silent and the long over.

Each change is one script: the session, its place in the sets and its facts stand together or not at all. A script
writes first what a full Redis refuses. Nothing has a time to live: a session goes when `forget` says so.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Self, TypeAlias

import msgspec
from redis.asyncio import Redis as RedisClient
from redis.commands.core import AsyncScript

from matinee.drivers.redis import Redis
from matinee.drivers.redis_outbox import PUT_FACTS, RedisOutbox, warn_about_durability
from matinee.kit.clock import from_ms, to_ms
from matinee.kit.ids import EdgeId, PlaySessionId
from matinee.playback.model.sessions import StoredSession

_Fields: TypeAlias = list[bytes | None]
_FIELDS = ("body", "seen", "position", "avoid", "ended")  # the body as it was opened; the others hold what moves
_FORGET_BATCH = 500
_body = msgspec.json.Decoder(StoredSession)
_edges = msgspec.json.Decoder(tuple[EdgeId, ...])

# KEYS of each: the session, the open ones by when they were last heard of, the stream of facts, the ended ones by when
# they ended. ARGV[1] is the session's id. Each may be said again after its answer was lost.
_BEGIN = (
    PUT_FACTS
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'body', ARGV[2], 'seen', ARGV[3], 'position', ARGV[4], 'avoid', ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
put_facts(KEYS[3], 6)
return 1
"""
)
# Of two that are heard of at once the newer holds, whichever comes last.
_IF_OPEN = """
local seen, ended, by = unpack(redis.call('HMGET', KEYS[1], 'seen', 'ended', 'by'))
if not seen then return 0 end
local function hear(...)
  if tonumber(ARGV[2]) < tonumber(seen) then return end
  redis.call('HSET', KEYS[1], 'seen', ARGV[2], ...)
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
end
"""
_MOVE = (
    PUT_FACTS
    + _IF_OPEN
    + """
if ended then return 0 end
hear('position', ARGV[3])
put_facts(KEYS[3], 4)
return 1
"""
)
_STEER = (
    _IF_OPEN
    + """
if ended then return 0 end
redis.call('HSET', KEYS[1], 'avoid', ARGV[3])
hear()
return 1
"""
)
_CLOSE = (
    PUT_FACTS
    + _IF_OPEN
    + """
if ended then return by == ARGV[4] and 1 or 0 end
redis.call('HSET', KEYS[1], 'seen', ARGV[2], 'position', ARGV[3], 'ended', ARGV[2], 'by', ARGV[4])
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
put_facts(KEYS[3], 5)
return 1
"""
)
# KEYS: the ended ones, then those to drop, whose ids are ARGV. No MULTI: a full Redis refuses any.
_DROP = """
for at = 2, #KEYS do redis.call('UNLINK', KEYS[at]) end
return redis.call('ZREM', KEYS[1], unpack(ARGV))
"""


class RedisSessionStore:
    """Playback's keys; `outbox` relays its facts."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._open, self._ended = redis.key("playback:open"), redis.key("playback:ended")
        self._begin, self._move = redis.script(_BEGIN), redis.script(_MOVE)
        self._steer, self._close = redis.script(_STEER), redis.script(_CLOSE)
        self._drop = redis.script(_DROP)
        self.outbox = RedisOutbox(redis, redis.key("playback:outbox"))

    @classmethod
    async def open(cls, redis: Redis) -> Self:
        """The store; the log is warned of a Redis that may lose or drop what is kept."""
        await warn_about_durability(redis, "playback.store")
        return cls(redis)

    async def create(self, *, session: StoredSession, records: list[bytes]) -> None:
        body, avoid = msgspec.json.encode(session), msgspec.json.encode(session.avoid)
        opened = (body, to_ms(session.last_seen_at), session.position_ms, avoid)
        await self._run(self._begin, session.session_id, *opened, *records)

    async def find(self, *, session_id: PlaySessionId) -> StoredSession | None:
        fields: Any = await self._redis.retry(lambda client: client.hmget(self._key(session_id), _FIELDS))
        return _session(fields)

    async def move(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        return await self._run(self._move, session_id, to_ms(now), position_ms, *records)

    async def avoid_edges(self, *, session_id: PlaySessionId, edge_ids: tuple[EdgeId, ...], now: datetime) -> None:
        await self._run(self._steer, session_id, to_ms(now), msgspec.json.encode(edge_ids))

    async def close(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        by = secrets.token_hex(8)  # so that, said again, it knows its own end
        return await self._run(self._close, session_id, to_ms(now), position_ms, by, *records)

    async def find_idle(self, *, since: datetime, limit: int) -> list[StoredSession]:
        async with self._redis.operation() as client:
            several = client.pipeline(transaction=False)
            for session_id in await _before(client, self._open, since, limit):
                several.hmget(self._key(session_id), _FIELDS)
            found = [_session(fields) for fields in await several.execute()]
        return [one for one in found if one is not None and one.ended_at is None]

    async def delete_ended(self, *, before: datetime) -> int:
        gone = 0
        while True:
            async with self._redis.operation() as client:
                over = await _before(client, self._ended, before, _FORGET_BATCH)
                if not over:
                    return gone
                gone += await self._drop(keys=[self._ended, *map(self._key, over)], args=over)

    async def _run(self, script: AsyncScript, session_id: PlaySessionId, *values: bytes | int | str) -> bool:
        keys = [self._key(session_id), self._open, self.outbox.stream, self._ended]
        changed = await self._redis.retry(lambda _: script(keys=keys, args=[session_id, *values]))
        self.outbox.notify()
        return bool(changed)

    def _key(self, session_id: str) -> str:
        return self._redis.key(f"playback:session:{session_id}")


async def _before(client: RedisClient, index: str, moment: datetime, limit: int) -> list[str]:
    """The ids in a sorted set from before a moment, the longest before it first."""
    found: Any = await client.zrange(index, "-inf", f"({to_ms(moment)}", byscore=True, offset=0, num=limit)
    return [session_id.decode() for session_id in found]


def _session(fields: _Fields) -> StoredSession | None:
    body, seen, position, avoid, ended = fields
    if body is None or seen is None or position is None or avoid is None:
        return None
    return msgspec.structs.replace(
        _body.decode(body),
        last_seen_at=from_ms(int(seen)),
        position_ms=int(position),
        avoid=_edges.decode(avoid),
        ended_at=None if ended is None else from_ms(int(ended)),
    )
