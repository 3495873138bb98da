"""`SessionStore` in Redis: a hash for each session, sets of the open and the ended ones, a set of open ones by account.

Each change is one script, which changes the session, the sets and the facts atomically. Its first write is one that a
full Redis refuses. No key expires: sessions are deleted by `delete_ended`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self, TypeAlias

import msgspec
from redis.asyncio import Redis as RedisClient
from redis.commands.core import AsyncScript

from matinee.drivers.redis import Redis
from matinee.drivers.redis_outbox import PUT_FACTS, RedisOutbox, warn_about_durability
from matinee.kit.clock import CLOCK_SKEW, from_ms, to_ms
from matinee.kit.ids import AccountId, EdgeId, PlaySessionId
from matinee.playback.model.sessions import StoredSession

_Fields: TypeAlias = list[bytes | None]
# The body as created; the others change. The last is missing in sessions of earlier versions.
_FIELDS = ("body", "seen", "position", "avoid", "ended", "served")
_DELETE_BATCH = 500
_body = msgspec.json.Decoder(StoredSession)
_edges = msgspec.json.Decoder(tuple[EdgeId, ...])

# KEYS: the session, the open sessions by their last heartbeat, the stream of facts, the ended sessions by their end;
# for a new one also the open sessions of its account, a key that it keeps. ARGV[1] is the session's id. Scripts
# are idempotent: they are repeated when an answer is lost.
_CREATE = (
    PUT_FACTS
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'body', ARGV[2], 'seen', ARGV[3], 'position', ARGV[4], 'avoid', ARGV[5])
redis.call('HSET', KEYS[1], 'siblings', KEYS[5])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('SADD', KEYS[5], ARGV[1])
put_facts(KEYS[3], 6)
return 1
"""
)
# The latest time stays, in whatever order changes arrive, unless it is from a clock that was ahead.
_IF_OPEN = f"""
local seen, ended, by = unpack(redis.call('HMGET', KEYS[1], 'seen', 'ended', 'by'))
if not seen then return 0 end
local function change(...)
  local ahead_ms = tonumber(seen) - tonumber(ARGV[2])
  if ahead_ms > 0 and ahead_ms <= {CLOCK_SKEW // timedelta(milliseconds=1)} then return end
  redis.call('HSET', KEYS[1], 'seen', ARGV[2], ...)
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
end
"""
_MOVE = (
    PUT_FACTS
    + _IF_OPEN
    + """
if ended then return 0 end
change('position', ARGV[3])
put_facts(KEYS[3], 4)
return 1
"""
)
_SET_EDGES = (
    _IF_OPEN
    + """
if ended then return 0 end
redis.call('HSET', KEYS[1], 'avoid', ARGV[3], 'served', ARGV[4])
change()
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
local siblings = redis.call('HGET', KEYS[1], 'siblings')
if siblings then redis.call('SREM', siblings, ARGV[1]) end
put_facts(KEYS[3], 5)
return 1
"""
)
# KEYS: the ended sessions, then those to delete, whose ids are ARGV. Not a MULTI, which a full Redis refuses.
_DELETE = """
for at = 2, #KEYS do redis.call('UNLINK', KEYS[at]) end
return redis.call('ZREM', KEYS[1], unpack(ARGV))
"""


class RedisSessionStore:
    """Playback's keys; `outbox` relays its facts."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._open, self._ended = redis.key("playback:open"), redis.key("playback:ended")
        self._create, self._move = redis.script(_CREATE), redis.script(_MOVE)
        self._set_edges, self._close = redis.script(_SET_EDGES), redis.script(_CLOSE)
        self._delete = redis.script(_DELETE)
        self.outbox = RedisOutbox(redis, redis.key("playback:outbox"))

    @classmethod
    async def open(cls, redis: Redis) -> Self:
        """Open the store; log a warning for a Redis that may lose or evict data."""
        await warn_about_durability(redis, "playback.store")
        return cls(redis)

    async def create(self, *, session: StoredSession, records: list[bytes]) -> None:
        body, avoid = msgspec.json.encode(session), msgspec.json.encode(session.avoid)
        values = (body, to_ms(session.last_seen_at), session.position_ms, avoid)
        siblings = self._siblings_key(session.account_id)
        await self._run(self._create, session.session_id, *values, *records, more_keys=(siblings,))

    async def find(self, *, session_id: PlaySessionId) -> StoredSession | None:
        fields: Any = await self._redis.retry(lambda client: client.hmget(self._key(session_id), _FIELDS))
        return _to_session(fields)

    async def move(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        return await self._run(self._move, session_id, to_ms(now), position_ms, *records)

    async def set_edges(
        self, *, session_id: PlaySessionId, avoid: tuple[EdgeId, ...], served: tuple[EdgeId, ...], now: datetime
    ) -> None:
        edges = msgspec.json.encode(avoid), msgspec.json.encode(served)
        await self._run(self._set_edges, session_id, to_ms(now), *edges)

    async def close(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        by = secrets.token_hex(8)  # a repeated script recognises its own close by this
        return await self._run(self._close, session_id, to_ms(now), position_ms, by, *records)

    async def list_open(self, *, account_id: AccountId, limit: int) -> list[StoredSession]:
        async with self._redis.operation() as client:
            return await self._load_open(client, await _list_members(client, self._siblings_key(account_id)), limit)

    async def list_idle(self, *, since: datetime, now: datetime, limit: int) -> list[StoredSession]:
        async with self._redis.operation() as client:
            session_ids = await _list_before(client, self._open, since, limit)
            session_ids += await _list_after(client, self._open, now + CLOCK_SKEW, limit)
            return await self._load_open(client, session_ids, limit)

    async def delete_ended(self, *, before: datetime) -> int:
        deleted = 0
        while True:
            async with self._redis.operation() as client:
                ended = await _list_before(client, self._ended, before, _DELETE_BATCH)
                if not ended:
                    return deleted
                deleted += await self._delete(keys=[self._ended, *map(self._key, ended)], args=ended)

    async def _load_open(self, client: RedisClient, session_ids: Sequence[str], limit: int) -> list[StoredSession]:
        """Return those sessions that are still open, the longest idle first."""
        pipeline = client.pipeline(transaction=False)
        for session_id in session_ids:
            pipeline.hmget(self._key(session_id), _FIELDS)
        found = [_to_session(fields) for fields in await pipeline.execute()]
        still_open = (session for session in found if session is not None and session.ended_at is None)
        return sorted(still_open, key=lambda session: session.last_seen_at)[:limit]

    async def _run(
        self,
        script: AsyncScript,
        session_id: PlaySessionId,
        *values: bytes | int | str,
        more_keys: tuple[str, ...] = (),
    ) -> bool:
        keys = [self._key(session_id), self._open, self.outbox.stream, self._ended, *more_keys]
        changed = await self._redis.retry(lambda _: script(keys=keys, args=[session_id, *values]))
        self.outbox.notify()
        return bool(changed)

    def _key(self, session_id: str) -> str:
        return self._redis.key(f"playback:session:{session_id}")

    def _siblings_key(self, account_id: AccountId) -> str:
        return self._redis.key(f"playback:open:{account_id}")


async def _list_before(client: RedisClient, index: str, moment: datetime, limit: int) -> list[str]:
    """List the ids in a sorted set from before a moment, the earliest first."""
    found: Any = await client.zrange(index, "-inf", f"({to_ms(moment)}", byscore=True, offset=0, num=limit)
    return [session_id.decode() for session_id in found]


async def _list_after(client: RedisClient, index: str, moment: datetime, limit: int) -> list[str]:
    """List the ids in a sorted set from after a moment, the earliest first."""
    found: Any = await client.zrange(index, f"({to_ms(moment)}", "+inf", byscore=True, offset=0, num=limit)
    return [session_id.decode() for session_id in found]


async def _list_members(client: RedisClient, index: str) -> list[str]:
    found: Any = await client.smembers(index)
    return [session_id.decode() for session_id in found]


def _to_session(fields: _Fields) -> StoredSession | None:
    body, last_seen, position, avoid, ended, served = fields
    if body is None or last_seen is None or position is None or avoid is None:
        return None
    session = _body.decode(body)
    return msgspec.structs.replace(
        session,
        last_seen_at=from_ms(int(last_seen)),
        position_ms=int(position),
        avoid=_edges.decode(avoid),
        served=session.served if served is None else _edges.decode(served),
        ended_at=None if ended is None else from_ms(int(ended)),
    )
