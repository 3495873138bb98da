"""The outbox on Cassandra: a fact is stored before the change that it describes, and relayed to the log after it.

Cassandra has transactions only within a partition, and a fact and its change are in different ones. A logged batch
would make them atomic, but it waits for two more nodes, and fails until the ring has detected that one of three nodes
is down. Storing the fact first needs only a quorum. A fact may then be relayed whose change was not acknowledged, which
followers must allow for; a change without its fact is impossible.

Each process writes to its own shard, in partitions of one second, and relays from memory; a fact's row is deleted once
the log has it. A heartbeat every few seconds records that the process is alive, and the first second of its shard that
may contain facts. The shards of dead processes are divided among the others. No lock is needed: two processes that
relay the same fact append it twice, and the log drops the duplicate.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

from matinee.drivers.cassandra import Cassandra, Change, Query
from matinee.drivers.engine import ENGINE_PROBLEMS
from matinee.drivers.outbox import BATCH, GATHER_S, Append, RelayLoop
from matinee.kit import log
from matinee.kit.clock import BoundedTimes, Clock, from_ms, to_ms

T = TypeVar("T")
BUCKET_MS: Final = 1000
# Facts kept in memory; those beyond are read again when the log is available.
MEMORY_LIMIT: Final = 20_000
HEARTBEAT_S: Final = 5.0
ADOPT_S: Final = 10.0
# A shard without a heartbeat for this long is an orphan. A process stops writing facts when its own is half as old.
ORPHAN_MS: Final = 30_000
FORGET_MS: Final = 600_000
CONCURRENCY: Final = 16
_log = log.get()


_STATEMENTS: Final = {
    "insert": "INSERT INTO DOMAIN_outbox (shard, bucket, seq, record) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
    "select": "SELECT seq, record FROM DOMAIN_outbox WHERE shard = ? AND bucket = ? LIMIT 500",
    "delete": "DELETE FROM DOMAIN_outbox USING TIMESTAMP ? WHERE shard = ? AND bucket = ? AND seq IN ?",
    "shards": "SELECT shard, beat_at, oldest, gone FROM DOMAIN_outbox_shard WHERE lane = 0",
    "heartbeat": "INSERT INTO DOMAIN_outbox_shard (lane, shard, beat_at, oldest, gone) VALUES (0, ?, ?, ?, ?)"
    " USING TIMESTAMP ?",
    "delete_shard": "DELETE FROM DOMAIN_outbox_shard USING TIMESTAMP ? WHERE lane = 0 AND shard = ?",
}


def define_outbox_tables(domain: str) -> tuple[str, str]:
    """Return the schema steps that create a domain's outbox."""
    facts = """CREATE TABLE IF NOT EXISTS DOMAIN_outbox (
      shard uuid, bucket bigint, seq bigint, record blob,
      PRIMARY KEY ((shard, bucket), seq)) WITH gc_grace_seconds = 10800"""
    shards = """CREATE TABLE IF NOT EXISTS DOMAIN_outbox_shard (
      lane int, shard uuid, beat_at bigint, oldest bigint, gone boolean,
      PRIMARY KEY (lane, shard)) WITH gc_grace_seconds = 86400"""
    return facts.replace("DOMAIN", domain), shards.replace("DOMAIN", domain)


class StoredFact(NamedTuple):
    """A fact in the outbox. `bucket` is the second in which it was stored, in milliseconds since 1970."""

    bucket: int
    seq: int
    record: bytes


class _Shard(NamedTuple):
    """The last heartbeat of a process: `oldest` is the first bucket with facts, `has_ended` that the process has."""

    shard: uuid.UUID
    beat_at: int
    oldest: int
    has_ended: bool


class CassandraOutbox:
    """A domain's facts: those of this process and those of dead processes."""

    def __init__(self, cassandra: Cassandra, domain: str, clock: Clock, *, memory_limit: int = MEMORY_LIMIT) -> None:
        self._cassandra = cassandra
        self._domain = domain
        self._clock = clock
        self._memory_limit = memory_limit
        self._queries = {name: Query(cql.replace("DOMAIN", domain)) for name, cql in _STATEMENTS.items()}
        self._shard = uuid.uuid4()
        self._numbers = itertools.count()
        self._stored: Counter[int] = Counter()  # by bucket: our facts that may be in the outbox
        self._ready: deque[StoredFact] = deque()
        self._unread: Counter[int] = Counter()  # by bucket: our facts beyond the memory limit
        self._sent: list[StoredFact] = []  # rows to be deleted
        self._heartbeat_at = 0
        self._adopt_at = 0.0
        self._heartbeats = BoundedTimes()
        self._loop = RelayLoop(domain)
        self._relay_lock, self._heartbeat_lock = asyncio.Lock(), asyncio.Lock()

    def write_ahead(self, record: bytes, *others: Change) -> _WriteAhead:
        """Return a context for a change: it stores the fact and `others` first, and relays the fact at its end.

        The fact is relayed also when the block raises, since the change may have been made.
        """
        return _WriteAhead(self, record, others)

    async def put(self, record: bytes, others: Sequence[Change]) -> StoredFact:
        """Store a fact, with other changes in the same batch; it is not relayed before `release`."""
        now_ms = to_ms(self._clock.now())
        if now_ms - self._heartbeat_at > ORPHAN_MS // 2:
            await self._ensure_heartbeat()
            now_ms = to_ms(self._clock.now())
        fact = StoredFact(now_ms - now_ms % BUCKET_MS, next(self._numbers), record)
        self._stored[fact.bucket] += 1
        row = (self._shard, fact.bucket, fact.seq, record, fact.bucket * 1000)
        try:
            await self._cassandra.execute_batch((self._queries["insert"], row), *others)
        except BaseException:  # the row may exist nevertheless
            self._sent.append(fact)
            self._loop.notify()
            raise
        return fact

    def release(self, fact: StoredFact) -> None:
        """Let a fact be relayed."""
        if len(self._ready) < self._memory_limit:
            self._ready.append(fact)
        else:
            self._unread[fact.bucket] += 1
        self._loop.notify()

    async def relay(self, append: Append) -> int:
        """Append all facts to the log, of every process, and return their number."""
        async with self._relay_lock:
            sent = await self._relay_own(append)
            for one in await self._read_shards():
                if one.shard != self._shard:
                    sent += await self._relay_shard(one, append)
            return sent

    async def run(self, append: Append) -> None:
        """Relay the facts of this process and of dead ones after each notification, until cancelled."""
        heartbeats = asyncio.create_task(self._repeat_heartbeat())
        try:
            await self._loop.run(lambda: self._relay_and_adopt(append))
        finally:
            heartbeats.cancel()
            with contextlib.suppress(*ENGINE_PROBLEMS):  # the others notice by the missing heartbeats
                await self._leave()

    async def _relay_and_adopt(self, append: Append) -> None:
        await asyncio.sleep(GATHER_S)
        async with self._relay_lock:
            await self._relay_own(append)
            if time.monotonic() >= self._adopt_at:
                await self._adopt(append)
                self._adopt_at = time.monotonic() + ADOPT_S

    async def _relay_own(self, append: Append) -> int:
        sent = 0
        while self._ready:
            batch = list(itertools.islice(self._ready, BATCH))
            await append([fact.record for fact in batch])
            for _ in batch:
                self._sent.append(self._ready.popleft())
            sent += len(batch)
        sent += await self._relay_unread(append)
        await self._delete_sent()
        return sent

    async def _relay_unread(self, append: Append) -> int:
        """Relay the facts beyond the memory limit. Facts of the same seconds that were sent may be sent again."""
        sent = 0
        for bucket in sorted(self._unread):
            facts = self._unread.pop(bucket)  # those released meanwhile are counted again
            try:
                sent += await self._relay_bucket(self._shard, bucket, append)
            except BaseException:
                self._unread[bucket] += facts
                raise
            self._count_deleted(bucket, facts)
        return sent

    def _count_deleted(self, bucket: int, facts: int) -> None:
        self._stored[bucket] -= facts
        if self._stored[bucket] <= 0:
            del self._stored[bucket]

    async def _delete_sent(self) -> None:
        sent, self._sent = self._sent, []
        try:
            await self._delete(self._shard, sent)
        except BaseException:
            self._sent += sent
            raise
        for fact in sent:
            self._count_deleted(fact.bucket, 1)

    async def _adopt(self, append: Append) -> None:
        """Relay this process's share of the orphans."""
        shards = await self._read_shards()
        silent_ms = self._measure_silence(shards)
        orphans = [one for one in shards if self._is_orphan(one, silent_ms[one.shard])]
        alive = sorted({one.shard for one in shards} - {one.shard for one in orphans} | {self._shard})
        for one in orphans:
            if alive[one.shard.int % len(alive)] != self._shard:
                continue
            if sent := await self._relay_shard(one, append):
                _log.info("outbox.adopt", outbox=self._domain, shard=str(one.shard), facts=sent)
            elif one.has_ended or silent_ms[one.shard] > FORGET_MS:
                await self._delete_shard(one)

    def _measure_silence(self, shards: list[_Shard]) -> dict[uuid.UUID, int]:
        """Return the time since the last heartbeat of each shard, in milliseconds."""
        now = self._clock.now()
        self._heartbeats.keep_only({one.shard for one in shards})
        heartbeats = {one.shard: self._heartbeats.limit(one.shard, from_ms(one.beat_at), now) for one in shards}
        return {shard: to_ms(now) - to_ms(at) for shard, at in heartbeats.items()}

    def _is_orphan(self, one: _Shard, silent_ms: int) -> bool:
        return one.shard != self._shard and (one.has_ended or silent_ms > ORPHAN_MS)

    async def _relay_shard(self, one: _Shard, append: Append) -> int:
        """Relay another shard, up to the last second in which its process may have written."""
        sent = 0
        for buckets in _split(range(one.oldest, one.beat_at + ORPHAN_MS, BUCKET_MS)):
            found = await asyncio.gather(*(self._read(one.shard, bucket) for bucket in buckets))
            for bucket, facts in zip(buckets, found, strict=True):
                if facts:
                    sent += await self._relay_bucket(one.shard, bucket, append)
        return sent

    async def _relay_bucket(self, shard: uuid.UUID, bucket: int, append: Append) -> int:
        sent = 0
        while facts := await self._read(shard, bucket):
            await append([fact.record for fact in facts])
            await self._delete(shard, facts)
            sent += len(facts)
        return sent

    async def _read(self, shard: uuid.UUID, bucket: int) -> list[StoredFact]:
        rows = await self._cassandra.fetch(self._queries["select"], shard, bucket)
        return [StoredFact(bucket, seq, record) for seq, record in rows]

    async def _delete(self, shard: uuid.UUID, facts: Iterable[StoredFact]) -> None:
        by_bucket: defaultdict[int, list[int]] = defaultdict(list)
        for fact in facts:
            by_bucket[fact.bucket].append(fact.seq)
        # With the row's own timestamp: clocks of two processes may differ, and a number is used once.
        delete = self._queries["delete"]
        for some in _split([(bucket, seqs) for bucket, all_ in by_bucket.items() for seqs in _split(all_, BATCH)]):
            await asyncio.gather(
                *(self._cassandra.execute(delete, bucket * 1000, shard, bucket, seqs) for bucket, seqs in some)
            )

    async def _read_shards(self) -> list[_Shard]:
        rows = await self._cassandra.fetch(self._queries["shards"])
        return [_Shard(uuid.UUID(shard), beat_at, oldest, has_ended) for shard, beat_at, oldest, has_ended in rows]

    async def _repeat_heartbeat(self) -> None:
        while True:
            with contextlib.suppress(*ENGINE_PROBLEMS):  # the next write reports it
                await self._heartbeat()
            await asyncio.sleep(HEARTBEAT_S)

    async def _ensure_heartbeat(self) -> None:
        """Write a heartbeat if the last one would not lead others to our facts if this process died now."""
        async with self._heartbeat_lock:
            if to_ms(self._clock.now()) - self._heartbeat_at > ORPHAN_MS // 2:
                await self._heartbeat()

    async def _heartbeat(self, *, has_ended: bool = False) -> None:
        now_ms = max(to_ms(self._clock.now()), self._heartbeat_at + 1)
        oldest = min(self._stored, default=now_ms - now_ms % BUCKET_MS)
        await self._cassandra.execute(self._queries["heartbeat"], self._shard, now_ms, oldest, has_ended, now_ms * 1000)
        self._heartbeat_at = 0 if has_ended else now_ms

    async def _leave(self) -> None:
        """Let the others adopt this shard at once."""
        if not self._heartbeat_at:
            return
        with contextlib.suppress(*ENGINE_PROBLEMS):
            await self._delete_sent()
        await self._heartbeat(has_ended=True)

    async def _delete_shard(self, one: _Shard) -> None:
        # With the timestamp of the heartbeat that was read, so that a later heartbeat stays.
        await self._cassandra.execute(self._queries["delete_shard"], one.beat_at * 1000, one.shard)


class _WriteAhead:
    """The context of `write_ahead`. A class, because a generator's context would cost more than the rest of it."""

    __slots__ = ("_fact", "_others", "_outbox", "_record")

    def __init__(self, outbox: CassandraOutbox, record: bytes, others: Sequence[Change]) -> None:
        self._outbox, self._record, self._others = outbox, record, others

    async def __aenter__(self) -> None:
        self._fact = await self._outbox.put(self._record, self._others)

    async def __aexit__(self, *_: object) -> None:
        self._outbox.release(self._fact)


def _split(values: Sequence[T], size: int = CONCURRENCY) -> list[Sequence[T]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
