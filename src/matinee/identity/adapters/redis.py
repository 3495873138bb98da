"""Sign-ins, their devices and attempt counts in Redis.

The rules in `identity.model` compute the new state from the value that was read. A script stores it if that value is
unchanged; otherwise it returns the current value, and the rule is applied again. A full Redis refuses writes: scripts
write first and delete afterwards, and reads and deletions are scripts too, because a full Redis refuses MULTI whatever
it contains. Keys have no time to live: `expire` and `expire_attempts` delete expired entries.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self

import msgspec
from redis.commands.core import AsyncScript

from matinee.drivers.redis import Redis
from matinee.drivers.redis_outbox import PUT_FACTS, RedisOutbox, warn_about_durability
from matinee.events.api import FactRecord
from matinee.identity import model
from matinee.identity.api import Device, DeviceInfo
from matinee.identity.model import Attempts, SignIn
from matinee.identity.ports import SignInChange
from matinee.kit.clock import from_ms, to_ms
from matinee.kit.ids import AccountId, DeviceId, SignInId
from matinee.kit.problem import Overloaded
from matinee.kit.structs import build_from

_BATCH = 500
# Each failed round means that another writer succeeded; this many in a row mean too much contention.
_ROUNDS = 100
_RETRY_AFTER_MS = 1000
_sign_in = msgspec.json.Decoder(SignIn)
_device = msgspec.json.Decoder(Device)
_attempts = msgspec.json.Decoder(Attempts)

# KEYS of each script: sign-ins sorted by expiry; the stream of facts; "<account> <device>" sorted by the time when the
# device was last seen. ARGV[1] is the prefix of the other keys:
#   sign-in:<id>          a hash of account and body
#   sign-ins:<account>    sign-in id → "<device id> <expiry>"
#   devices:<account>     device id → "<last seen> <encoded device>"
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
_STORE = """
local function store(id, account, body, device, expires_ms)
  redis.call('HSET', ARGV[1] .. 'sign-in:' .. id, 'account', account, 'body', body)
  redis.call('HSET', ARGV[1] .. 'sign-ins:' .. account, id, device .. ' ' .. expires_ms)
  redis.call('ZADD', KEYS[1], expires_ms, id)
end
"""
_BEGIN = (
    _STORE
    + """
store(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
redis.call('HSET', ARGV[1] .. 'devices:' .. ARGV[3], ARGV[5], ARGV[7])
redis.call('ZADD', KEYS[3], string.match(ARGV[7], '^%d+'), ARGV[3] .. ' ' .. ARGV[5])
"""
)
# Idempotent: repeated after a lost response it finds its own result. An empty body ends the sign-in.
_CHANGE = (
    PUT_FACTS
    + _DROP
    + _STORE
    + """
local id, old, new, account, device = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local current = redis.call('HGET', ARGV[1] .. 'sign-in:' .. id, 'body')
if current ~= old then return {current and current == new and 1 or 0, current} end
put_facts(KEYS[2], 9)
if new == '' then return {drop(id)} end
store(id, account, new, device, ARGV[7])
local devices = ARGV[1] .. 'devices:' .. account
local device_entry = redis.call('HGET', devices, device)
if device_entry then
  redis.call('HSET', devices, device, ARGV[8] .. string.sub(device_entry, string.find(device_entry, ' '), -1))
  redis.call('ZADD', KEYS[3], ARGV[8], account .. ' ' .. device)
end
return {1}
"""
)
# Deletions come first: a full Redis allows them, and then the fact too (a script that has written is not interrupted).
_END = (
    PUT_FACTS
    + _DROP
    + """
local account, only, ended = ARGV[2], ARGV[3], 0
for _, id in ipairs(redis.call('HKEYS', ARGV[1] .. 'sign-ins:' .. account)) do
  if only == '' or only == id then ended = ended + drop(id) end
end
if ended > 0 then put_facts(KEYS[2], 4) end
return ended
"""
)
_DEVICES = """
local device_entry = redis.call('HGETALL', ARGV[1] .. 'devices:' .. ARGV[2])
return {device_entry, redis.call('HGETALL', ARGV[1] .. 'sign-ins:' .. ARGV[2])}
"""
_REMOVE_DEVICE = (
    PUT_FACTS
    + _DROP
    + """
local stored = redis.call('HGETALL', ARGV[1] .. 'sign-ins:' .. ARGV[2])
for at = 1, #stored, 2 do
  if string.match(stored[at + 1], '^[^ ]*') == ARGV[3] then drop(stored[at]) end
end
local removed = redis.call('HDEL', ARGV[1] .. 'devices:' .. ARGV[2], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[2] .. ' ' .. ARGV[3])
if removed > 0 then put_facts(KEYS[2], 4) end
return removed
"""
)
_ERASE = (
    PUT_FACTS
    + _DROP
    + """
local ended = 0
for _, id in ipairs(redis.call('HKEYS', ARGV[1] .. 'sign-ins:' .. ARGV[2])) do ended = ended + drop(id) end
for _, device in ipairs(redis.call('HKEYS', ARGV[1] .. 'devices:' .. ARGV[2])) do
  redis.call('ZREM', KEYS[3], ARGV[2] .. ' ' .. device)
end
redis.call('DEL', ARGV[1] .. 'devices:' .. ARGV[2])
if ended > 0 then put_facts(KEYS[2], 3) end
"""
)
_EXPIRE = (
    _DROP
    + """
local expired = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[2], 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, id in ipairs(expired) do drop(id) end
return #expired
"""
)
_EXPIRE_DEVICES = """
local unseen = redis.call('ZRANGE', KEYS[3], '-inf', '(' .. ARGV[2], 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, member in ipairs(unseen) do
  local account, device = string.match(member, '^(%S+) (%S+)$')
  redis.call('HDEL', ARGV[1] .. 'devices:' .. account, device)
  redis.call('ZREM', KEYS[3], member)
end
return #unseen
"""


class RedisSignInStore:
    """Stores sign-ins in Redis; `outbox` holds the facts to relay."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._prefix, self._by_end = redis.key("identity:"), redis.key("identity:by-end")
        self._device_times = redis.key("identity:device-times")
        self._begin, self._change = redis.script(_BEGIN), redis.script(_CHANGE)
        self._end, self._remove_device = redis.script(_END), redis.script(_REMOVE_DEVICE)
        self._devices, self._expire = redis.script(_DEVICES), redis.script(_EXPIRE)
        self._erase, self._expire_devices = redis.script(_ERASE), redis.script(_EXPIRE_DEVICES)
        self.outbox = RedisOutbox(redis, redis.key("identity:outbox"))

    @classmethod
    async def open(cls, redis: Redis) -> Self:
        """Open the store; log a warning if Redis may lose or evict data."""
        await warn_about_durability(redis, "identity.sessions")
        return cls(redis)

    async def begin(self, *, sign_in: SignIn, device: Device) -> None:
        device_entry = b"%d %b" % (to_ms(device.last_seen_at), msgspec.json.encode(device))
        body, expires_ms = msgspec.json.encode(sign_in), to_ms(sign_in.expires_at)
        ids = (sign_in.sign_in_id, sign_in.account_id)
        await self._run(self._begin, *ids, body, device.device_id, expires_ms, device_entry)

    async def change(
        self, *, sign_in_id: SignInId, now: datetime, change: Callable[[SignIn], SignInChange]
    ) -> SignInChange | None:
        stored = await self._read(sign_in_id)
        for _ in range(_ROUNDS):
            if not stored:
                return None
            result = change(old := _sign_in.decode(stored))
            is_stored, *current = await self._compare_and_set(old, stored, result, now)
            if is_stored:
                return result
            stored = current[0] if current else None
        raise Overloaded(retry_after_ms=_RETRY_AFTER_MS)

    async def find(self, *, sign_in_id: SignInId) -> SignIn | None:
        stored = await self._read(sign_in_id)
        return _sign_in.decode(stored) if stored else None

    async def end(self, *, account_id: AccountId, sign_in_id: SignInId | None = None, record: FactRecord) -> int:
        ended = int(await self._run(self._end, account_id, sign_in_id or "", msgspec.json.encode(record)))
        self.outbox.notify()
        return ended

    async def devices(self, *, account_id: AccountId, now: datetime) -> list[Device]:
        entries, signed_in = await self._run(self._devices, account_id)
        pairs = (pair.split() for pair in signed_in[1::2])
        used = {device_id for device_id, expires_ms in pairs if from_ms(int(expires_ms)) > now}
        found = [
            _decode_device(entry, signed_in=device_id in used)
            for device_id, entry in zip(entries[::2], entries[1::2], strict=True)
        ]
        return sorted(found, key=lambda device: (-to_ms(device.last_seen_at), device.device_id))

    async def find_device(self, *, account_id: AccountId, device_id: DeviceId) -> DeviceInfo | None:
        key = f"{self._prefix}devices:{account_id}"
        entry: Any = await self._redis.retry(lambda client: client.hget(key, device_id))
        return build_from(_decode_device(entry, signed_in=False), DeviceInfo) if entry else None

    async def remove_device(self, *, account_id: AccountId, device_id: DeviceId, record: FactRecord) -> bool:
        removed = bool(await self._run(self._remove_device, account_id, device_id, msgspec.json.encode(record)))
        self.outbox.notify()
        return removed

    async def erase(self, *, account_id: AccountId, record: FactRecord) -> None:
        await self._run(self._erase, account_id, msgspec.json.encode(record))
        self.outbox.notify()

    async def expire(self, *, now: datetime) -> int:
        deleted = 0
        while expired := int(await self._run(self._expire, to_ms(now), _BATCH)):
            deleted += expired
        return deleted

    async def expire_devices(self, *, before: datetime) -> int:
        deleted = 0
        while unseen := int(await self._run(self._expire_devices, to_ms(before), _BATCH)):
            deleted += unseen
        return deleted

    async def _read(self, sign_in_id: SignInId) -> Any:
        key = f"{self._prefix}sign-in:{sign_in_id}"
        return await self._redis.retry(lambda client: client.hget(key, "body"))

    async def _compare_and_set(self, old: SignIn, stored: bytes, result: SignInChange, now: datetime) -> Any:
        new = result.sign_in or old
        body = msgspec.json.encode(result.sign_in) if result.sign_in else b""
        fields = (new.account_id, new.device_id, to_ms(new.expires_at))
        records = [msgspec.json.encode(record) for record in result.records]
        response = await self._run(self._change, old.sign_in_id, stored, body, *fields, to_ms(now), *records)
        if records:
            self.outbox.notify()
        return response

    async def _run(self, script: AsyncScript, *values: str | bytes | int) -> Any:
        keys = [self._by_end, self.outbox.stream, self._device_times]
        return await self._redis.retry(lambda _: script(keys=keys, args=[self._prefix, *values]))


# KEYS: attempts by subject; subjects sorted by their last attempt. ARGV: now, then for each subject its name, the
# expected value and the new value.
_COUNT = """
local current, same = {}, true
for at = 2, #ARGV, 3 do
  local attempts = redis.call('HGET', KEYS[1], ARGV[at]) or ''
  current[#current + 1] = attempts
  same = same and attempts == ARGV[at + 1]
end
if not same then return current end
for at = 2, #ARGV, 3 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
  redis.call('ZADD', KEYS[2], ARGV[1], ARGV[at])
end
return {}
"""
_RESET = """
redis.call('HDEL', KEYS[1], unpack(ARGV))
redis.call('ZREM', KEYS[2], unpack(ARGV))
"""
_EXPIRE_ATTEMPTS = """
local old = redis.call('ZRANGE', KEYS[2], '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #old > 0 then
  redis.call('HDEL', KEYS[1], unpack(old))
  redis.call('ZREM', KEYS[2], unpack(old))
end
return #old
"""


class RedisThrottle:
    """Counts attempts in Redis. An attempt whose response was lost may be counted twice."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._keys = [redis.key("identity:tries"), redis.key("identity:tried")]
        self._count, self._reset = redis.script(_COUNT), redis.script(_RESET)
        self._expire_attempts = redis.script(_EXPIRE_ATTEMPTS)

    @classmethod
    async def open(cls, redis: Redis) -> Self:
        """Open the throttle; log a warning if Redis may lose or evict data."""
        await warn_about_durability(redis, "identity.throttle")
        return cls(redis)

    async def attempt(self, *, subjects: tuple[str, ...], now: datetime) -> int:
        stored: Any = await self._redis.retry(lambda client: client.hmget(self._keys[0], subjects))
        for _ in range(_ROUNDS):
            known = [_attempts.decode(one) if one else None for one in stored]
            pairs = zip(subjects, known, strict=True)
            if wait_ms := max(model.get_wait_ms(subject, attempts, now) for subject, attempts in pairs):
                return wait_ms
            counted = [msgspec.json.encode(model.add_attempt(attempts, now)) for attempts in known]
            triples = zip(subjects, (one or b"" for one in stored), counted, strict=True)
            if not (
                stored := await self._run(self._count, to_ms(now), *(part for triple in triples for part in triple))
            ):
                return 0
        raise Overloaded(retry_after_ms=_RETRY_AFTER_MS)

    async def reset(self, *, subjects: tuple[str, ...]) -> None:
        await self._run(self._reset, *subjects)

    async def expire_attempts(self, *, before: datetime) -> int:
        deleted = 0
        while old := int(await self._run(self._expire_attempts, to_ms(before), _BATCH)):
            deleted += old
        return deleted

    async def _run(self, script: AsyncScript, *values: str | bytes | int) -> Any:
        return await self._redis.retry(lambda _: script(keys=self._keys, args=values))


def _decode_device(entry: bytes, *, signed_in: bool) -> Device:
    last_seen_ms, _, body = entry.partition(b" ")
    return msgspec.structs.replace(_device.decode(body), last_seen_at=from_ms(int(last_seen_ms)), signed_in=signed_in)
