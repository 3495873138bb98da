"""Sign-ins, their devices and counts of tries in Redis.

What becomes of a sign-in or of a count is decided by the rules in `identity.model`, on what was read. A script then
keeps it where what was read still stands; else it tells what stands now, and the rule is asked again. A script writes
first what a full Redis refuses; what only reads or drops is a script too, and no MULTI, which it refuses whatever is
in it. Nothing has a time to live: `expire` and `forget` drop what has run out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self

import msgspec
from redis.commands.core import AsyncScript

from matinee.drivers.redis import Redis
from matinee.drivers.redis_outbox import PUT_FACTS, RedisOutbox, warn_about_durability
from matinee.identity import model
from matinee.identity.api import Device
from matinee.identity.model import SignIn, Tries
from matinee.identity.ports import SignInChange
from matinee.kit.clock import from_ms, to_ms
from matinee.kit.ids import AccountId, DeviceId, SignInId
from matinee.kit.problem import Overloaded

_BATCH = 500
# Every round that is lost was won by somebody else; so many in a row mean that too many want the same.
_ROUNDS = 100
_RETRY_AFTER_MS = 1000
_sign_in = msgspec.json.Decoder(SignIn)
_device = msgspec.json.Decoder(Device)
_tries = msgspec.json.Decoder(Tries)

# KEYS of each: all sign-ins by when they run out; the stream of facts. ARGV[1]: what the other keys begin with:
#   sign-in:<id>          its account, and its body
#   sign-ins:<account>    of each sign-in by its id: "<its device> <when it runs out>"
#   devices:<account>     of each device by its id: "<when it was last seen> <what it shows>"
_DROP = """
local function drop(id)
  redis.call('ZREM', KEYS[1], id)
  local key = ARGV[1] .. 'sign-in:' .. id
  local account = redis.call('HGET', key, 'account')
  if not account then return 0 end
  redis.call('HDEL', ARGV[1] .. 'sign-ins:' .. account, id)
  return redis.call('DEL', key)
end
"""
_KEEP = """
local function keep(id, account, body, device, runs_out)
  redis.call('HSET', ARGV[1] .. 'sign-in:' .. id, 'account', account, 'body', body)
  redis.call('HSET', ARGV[1] .. 'sign-ins:' .. account, id, device .. ' ' .. runs_out)
  redis.call('ZADD', KEYS[1], runs_out, id)
end
"""
_BEGIN = (
    _KEEP
    + """
keep(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
redis.call('HSET', ARGV[1] .. 'devices:' .. ARGV[3], ARGV[5], ARGV[7])
"""
)
# Said again after its answer was lost it finds what it kept, and is done. An empty body ends the sign-in.
_CHANGE = (
    PUT_FACTS
    + _DROP
    + _KEEP
    + """
local id, old, new, account, device = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local held = redis.call('HGET', ARGV[1] .. 'sign-in:' .. id, 'body')
if held ~= old then return {held and held == new and 1 or 0, held} end
put_facts(KEYS[2], 9)
if new == '' then return {drop(id)} end
keep(id, account, new, device, ARGV[7])
local devices = ARGV[1] .. 'devices:' .. account
local shown = redis.call('HGET', devices, device)
if shown then redis.call('HSET', devices, device, ARGV[8] .. string.sub(shown, string.find(shown, ' '), -1)) end
return {1}
"""
)
_END = _DROP + "return drop(ARGV[2])"
_END_ALL = (
    _DROP
    + """
local ended = 0
for _, id in ipairs(redis.call('HKEYS', ARGV[1] .. 'sign-ins:' .. ARGV[2])) do ended = ended + drop(id) end
return ended
"""
)
_DEVICES = """
local shown = redis.call('HGETALL', ARGV[1] .. 'devices:' .. ARGV[2])
return {shown, redis.call('HGETALL', ARGV[1] .. 'sign-ins:' .. ARGV[2])}
"""
_REMOVE_DEVICE = (
    _DROP
    + """
local held = redis.call('HGETALL', ARGV[1] .. 'sign-ins:' .. ARGV[2])
for at = 1, #held, 2 do
  if string.match(held[at + 1], '^[^ ]*') == ARGV[3] then drop(held[at]) end
end
return redis.call('HDEL', ARGV[1] .. 'devices:' .. ARGV[2], ARGV[3])
"""
)
_EXPIRE = (
    _DROP
    + """
local over = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[2], 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, id in ipairs(over) do drop(id) end
return #over
"""
)


class RedisSignInStore:
    """Fulfils `SignInStore`; `outbox` relays its facts."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._prefix, self._by_end = redis.key("identity:"), redis.key("identity:by-end")
        self._begin, self._change = redis.script(_BEGIN), redis.script(_CHANGE)
        self._end, self._end_all = redis.script(_END), redis.script(_END_ALL)
        self._devices, self._remove_device = redis.script(_DEVICES), redis.script(_REMOVE_DEVICE)
        self._expire = redis.script(_EXPIRE)
        self.outbox = RedisOutbox(redis, redis.key("identity:outbox"))

    @classmethod
    async def open(cls, redis: Redis) -> Self:
        """The store; the log is warned of a Redis that may lose or drop what is kept."""
        await warn_about_durability(redis, "identity.sessions")
        return cls(redis)

    async def begin(self, *, sign_in: SignIn, device: Device) -> None:
        shown = b"%d %b" % (to_ms(device.last_seen_at), msgspec.json.encode(device))
        body, runs_out = msgspec.json.encode(sign_in), to_ms(sign_in.expires_at)
        of = (sign_in.sign_in_id, sign_in.account_id)
        await self._run(self._begin, *of, body, device.device_id, runs_out, shown)

    async def change(
        self, *, sign_in_id: SignInId, now: datetime, change: Callable[[SignIn], SignInChange]
    ) -> SignInChange | None:
        key = f"{self._prefix}sign-in:{sign_in_id}"
        held: Any = await self._redis.retry(lambda client: client.hget(key, "body"))
        for _ in range(_ROUNDS):
            if not held:
                return None
            made = change(old := _sign_in.decode(held))
            done, *stands = await self._keep(old, held, made, now)
            if done:
                return made
            held = stands[0] if stands else None
        raise Overloaded(retry_after_ms=_RETRY_AFTER_MS)

    async def end(self, *, sign_in_id: SignInId) -> None:
        await self._run(self._end, sign_in_id)

    async def end_all(self, *, account_id: AccountId) -> int:
        return int(await self._run(self._end_all, account_id))

    async def devices(self, *, account_id: AccountId, now: datetime) -> list[Device]:
        shown, signed_in = await self._run(self._devices, account_id)
        good = (pair.split() for pair in signed_in[1::2])
        used = {device_id for device_id, runs_out in good if from_ms(int(runs_out)) > now}
        found = [
            _shown(said, signed_in=device_id in used) for device_id, said in zip(shown[::2], shown[1::2], strict=True)
        ]
        return sorted(found, key=lambda device: (-to_ms(device.last_seen_at), device.device_id))

    async def remove_device(self, *, account_id: AccountId, device_id: DeviceId) -> bool:
        return bool(await self._run(self._remove_device, account_id, device_id))

    async def expire(self, *, now: datetime) -> int:
        dropped = 0
        while over := int(await self._run(self._expire, to_ms(now), _BATCH)):
            dropped += over
        return dropped

    async def _keep(self, old: SignIn, held: bytes, made: SignInChange, now: datetime) -> Any:
        new = made.sign_in or old
        body = msgspec.json.encode(made.sign_in) if made.sign_in else b""
        of = (new.account_id, new.device_id, to_ms(new.expires_at))
        records = [msgspec.json.encode(record) for record in made.records]
        answer = await self._run(self._change, old.sign_in_id, held, body, *of, to_ms(now), *records)
        if records:
            self.outbox.notify()
        return answer

    async def _run(self, script: AsyncScript, *values: str | bytes | int) -> Any:
        keys = [self._by_end, self.outbox.stream]
        return await self._redis.retry(lambda _: script(keys=keys, args=[self._prefix, *values]))


# KEYS: the tries by their subject, the subjects by when they were last tried. ARGV: now; then of each subject its name,
# what is thought to stand, and what is to stand.
_COUNT = """
local held, same = {}, true
for at = 2, #ARGV, 3 do
  local tries = redis.call('HGET', KEYS[1], ARGV[at]) or ''
  held[#held + 1] = tries
  same = same and tries == ARGV[at + 1]
end
if not same then return held end
for at = 2, #ARGV, 3 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
  redis.call('ZADD', KEYS[2], ARGV[1], ARGV[at])
end
return {}
"""
_FORGIVE = """
redis.call('HDEL', KEYS[1], unpack(ARGV))
redis.call('ZREM', KEYS[2], unpack(ARGV))
"""
_FORGET = """
local old = redis.call('ZRANGE', KEYS[2], '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #old > 0 then
  redis.call('HDEL', KEYS[1], unpack(old))
  redis.call('ZREM', KEYS[2], unpack(old))
end
return #old
"""


class RedisThrottle:
    """Fulfils `Throttle`. A try whose answer was lost may be counted twice."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._keys = [redis.key("identity:tries"), redis.key("identity:tried")]
        self._count, self._forgive = redis.script(_COUNT), redis.script(_FORGIVE)
        self._forget = redis.script(_FORGET)

    @classmethod
    async def open(cls, redis: Redis) -> Self:
        """The counts; the log is warned of a Redis that may lose or drop them."""
        await warn_about_durability(redis, "identity.throttle")
        return cls(redis)

    async def attempt(self, *, subjects: tuple[str, ...], now: datetime) -> int:
        held: Any = await self._redis.retry(lambda client: client.hmget(self._keys[0], subjects))
        for _ in range(_ROUNDS):
            known = [_tries.decode(one) if one else None for one in held]
            if wait_ms := max(model.wait_ms(tries, now) for tries in known):
                return wait_ms
            counted = [msgspec.json.encode(model.tried(tries, now)) for tries in known]
            triples = zip(subjects, (one or b"" for one in held), counted, strict=True)
            if not (held := await self._run(self._count, to_ms(now), *(part for triple in triples for part in triple))):
                return 0
        raise Overloaded(retry_after_ms=_RETRY_AFTER_MS)

    async def forgive(self, *, subjects: tuple[str, ...]) -> None:
        await self._run(self._forgive, *subjects)

    async def forget(self, *, before: datetime) -> int:
        dropped = 0
        while old := int(await self._run(self._forget, to_ms(before), _BATCH)):
            dropped += old
        return dropped

    async def _run(self, script: AsyncScript, *values: str | bytes | int) -> Any:
        return await self._redis.retry(lambda _: script(keys=self._keys, args=values))


def _shown(said: bytes, *, signed_in: bool) -> Device:
    seen_at, _, shown = said.partition(b" ")
    return msgspec.structs.replace(_device.decode(shown), last_seen_at=from_ms(int(seen_at)), signed_in=signed_in)
