"""The outbox on Cassandra: a fact is kept before the change that it tells of is made, and relayed to the log after it.

Cassandra has transactions within a partition, and a fact and its change lie in two. A logged batch would bind them,
but it waits for two more nodes to keep the batch, and so stands still for as long as the ring takes to notice that
one of three is gone. Keeping the fact first needs no more than a quorum, and what can go wrong is harmless: a fact
may be told whose change was not acknowledged; a change without its fact cannot be.

Each process writes to a shard of its own, in partitions of one second, and relays from its memory; a fact's row is
dropped once the log has it. A process shows every few seconds that it lives, and from when on its shard has to be
read. The shards of those that are not heard of any more are divided among the others. Nothing here needs a lock:
two that relay the same fact hand it to the log twice, and the log drops what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

from matinee.drivers.cassandra import Cassandra, Change, Query
from matinee.drivers.engine import ENGINE_PROBLEMS
from matinee.kit import log
from matinee.kit.clock import Clock, to_ms

T = TypeVar("T")
Append: TypeAlias = Callable[[list[bytes]], Awaitable[None]]
BUCKET_MS: Final = 1000
BATCH: Final = 500
# Facts held in memory while the log is away; what is more is read again when it is back.
MEMORY_LIMIT: Final = 20_000
BEAT_S: Final = 5.0
ADOPT_S: Final = 10.0
# A shard is an orphan when it was not heard of for so long; nobody writes whose last sign of life is half as old.
ORPHAN_MS: Final = 30_000
FORGET_MS: Final = 600_000
IDLE_S: Final = 5.0
GATHER_S: Final = 0.05
AT_ONCE: Final = 16
_log = log.get()


def define_outbox_tables(domain: str) -> tuple[str, str]:
    """The steps of a schema that make a domain's outbox."""
    facts = """CREATE TABLE IF NOT EXISTS DOMAIN_outbox (
      shard uuid, bucket bigint, seq bigint, record blob,
      PRIMARY KEY ((shard, bucket), seq)) WITH gc_grace_seconds = 10800"""
    shards = """CREATE TABLE IF NOT EXISTS DOMAIN_outbox_shard (
      lane int, shard uuid, beat_at bigint, oldest bigint, gone boolean,
      PRIMARY KEY (lane, shard)) WITH gc_grace_seconds = 86400"""
    return facts.replace("DOMAIN", domain), shards.replace("DOMAIN", domain)


class Kept(NamedTuple):
    """A fact in the outbox. `bucket` is the second it was kept in, in milliseconds since 1970."""

    bucket: int
    seq: int
    record: bytes


class _Shard(NamedTuple):
    """What a process has said of its shard."""

    shard: uuid.UUID
    beat_at: int
    oldest: int
    gone: bool


class CassandraOutbox:
    """A domain's facts on their way to the log, of this process and of those that are gone."""

    def __init__(self, cassandra: Cassandra, domain: str, clock: Clock, *, memory_limit: int = MEMORY_LIMIT) -> None:
        self._cassandra = cassandra
        self._domain = domain
        self._clock = clock
        self._memory_limit = memory_limit
        self._statements = _Statements.of(domain)
        self._shard = uuid.uuid4()
        self._numbers = itertools.count()
        self._waiting: Counter[int] = Counter()  # by bucket: facts of ours that may be in the outbox
        self._ready: deque[Kept] = deque()
        self._unread: Counter[int] = Counter()  # by bucket: facts of ours that must be read, for want of memory
        self._done: list[Kept] = []  # rows to be dropped
        self._heartbeat_at = 0
        self._stirred, self._relaying, self._beating = asyncio.Event(), asyncio.Lock(), asyncio.Lock()

    def write_ahead(self, record: bytes, *others: Change) -> _Keeping:
        """A block that makes a change: before it the fact is kept, and `others` with it; after it the fact is relayed.

        The fact is relayed also where the block fails, since the change may have been made.
        """
        return _Keeping(self, record, others)

    async def keep(self, record: bytes, others: Sequence[Change]) -> Kept:
        """Keep a fact, with other changes on the same journey; it waits until `release`."""
        now_ms = to_ms(self._clock.now())
        if now_ms - self._heartbeat_at > ORPHAN_MS // 2:
            await self._show_life()
            now_ms = to_ms(self._clock.now())
        fact = Kept(now_ms - now_ms % BUCKET_MS, next(self._numbers), record)
        self._waiting[fact.bucket] += 1
        row = (self._shard, fact.bucket, fact.seq, record, fact.bucket * 1000)
        try:
            await self._cassandra.execute_batch((self._statements.keep, row), *others)
        except BaseException:  # it may be there all the same
            self._done.append(fact)
            self._stirred.set()
            raise
        return fact

    def release(self, fact: Kept) -> None:
        """Let a fact be relayed."""
        if len(self._ready) < self._memory_limit:
            self._ready.append(fact)
        else:
            self._unread[fact.bucket] += 1
        self._stirred.set()

    async def relay(self, append: Append) -> int:
        """Hand every fact that waits, whoever kept it, to the log, and drop it here; tells how many."""
        async with self._relaying:
            sent = await self._send(append)
            for one in await self._shards():
                if one.shard != self._shard:
                    sent += await self._empty(one, append)
            return sent

    async def run(self, append: Append) -> None:
        """Relay what this process keeps, and what others have left, until cancelled."""
        beating = asyncio.create_task(self._beat_for_ever())
        adopt_at = 0.0
        try:
            while True:
                self._stirred.clear()
                try:
                    async with self._relaying:
                        await self._send(append)
                        if time.monotonic() >= adopt_at:
                            await self._adopt(append)
                            adopt_at = time.monotonic() + ADOPT_S
                except Exception as error:  # the log or the engine may be away; the facts stay here until it is back
                    _log.warning("outbox.waits", domain=self._domain, error=repr(error))
                    await asyncio.sleep(1)
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stirred.wait(), IDLE_S)
                await asyncio.sleep(GATHER_S)
        finally:
            beating.cancel()
            with contextlib.suppress(*ENGINE_PROBLEMS):  # where it cannot be said, it is seen after a while
                await self._leave()

    async def _send(self, append: Append) -> int:
        """Relay what is ours."""
        sent = 0
        while self._ready:
            batch = list(itertools.islice(self._ready, BATCH))
            await append([fact.record for fact in batch])
            for _ in batch:
                self._done.append(self._ready.popleft())
            sent += len(batch)
        sent += await self._catch_up(append)
        await self._drop_done()
        return sent

    async def _catch_up(self, append: Append) -> int:
        """Relay what did not fit into memory. Facts of these seconds that are done already may be relayed again."""
        sent = 0
        for bucket in sorted(self._unread):
            facts = self._unread.pop(bucket)  # those that come while we read are counted anew
            try:
                sent += await self._relayed(self._shard, bucket, append)
            except BaseException:
                self._unread[bucket] += facts
                raise
            self._settle(bucket, facts)
        return sent

    def _settle(self, bucket: int, facts: int) -> None:
        self._waiting[bucket] -= facts
        if self._waiting[bucket] <= 0:
            del self._waiting[bucket]

    async def _drop_done(self) -> None:
        done, self._done = self._done, []
        try:
            await self._drop(self._shard, done)
        except BaseException:
            self._done += done
            raise
        for fact in done:
            self._settle(fact.bucket, 1)

    async def _adopt(self, append: Append) -> None:
        """Relay the facts of those that are gone, as far as they fall to us."""
        now_ms = to_ms(self._clock.now())
        shards = await self._shards()
        orphans = [one for one in shards if self._is_orphan(one, now_ms)]
        alive = sorted({one.shard for one in shards} - {one.shard for one in orphans} | {self._shard})
        for one in orphans:
            if alive[one.shard.int % len(alive)] != self._shard:
                continue
            if sent := await self._empty(one, append):
                _log.info("outbox.adopted", domain=self._domain, shard=str(one.shard), facts=sent)
            elif one.gone or one.beat_at < now_ms - FORGET_MS:
                await self._forget(one)

    def _is_orphan(self, one: _Shard, now_ms: int) -> bool:
        return one.shard != self._shard and (one.gone or one.beat_at < now_ms - ORPHAN_MS)

    async def _empty(self, one: _Shard, append: Append) -> int:
        """Relay all that somebody else may have kept. Who lives writes half an orphan's age after its last heartbeat."""
        sent = 0
        buckets = range(one.oldest, one.beat_at + ORPHAN_MS, BUCKET_MS)
        for start in range(0, len(buckets), AT_ONCE):
            some = buckets[start : start + AT_ONCE]
            found = await asyncio.gather(*(self._rows(one.shard, bucket) for bucket in some))
            for bucket, facts in zip(some, found, strict=True):
                if facts:
                    sent += await self._relayed(one.shard, bucket, append)
        return sent

    async def _relayed(self, shard: uuid.UUID, bucket: int, append: Append) -> int:
        sent = 0
        while facts := await self._rows(shard, bucket):
            await append([fact.record for fact in facts])
            await self._drop(shard, facts)
            sent += len(facts)
        return sent

    async def _rows(self, shard: uuid.UUID, bucket: int) -> list[Kept]:
        rows = await self._cassandra.fetch(self._statements.waiting, shard, bucket)
        return [Kept(bucket, seq, record) for seq, record in rows]

    async def _drop(self, shard: uuid.UUID, facts: Iterable[Kept]) -> None:
        by_bucket: defaultdict[int, list[int]] = defaultdict(list)
        for fact in facts:
            by_bucket[fact.bucket].append(fact.seq)
        # The time of the row itself: clocks of two processes may differ, and a fact's number is used once.
        drop = self._statements.drop
        for some in _chunks([(bucket, seqs) for bucket, all_ in by_bucket.items() for seqs in _chunks(all_, BATCH)]):
            await asyncio.gather(
                *(self._cassandra.execute(drop, bucket * 1000, shard, bucket, seqs) for bucket, seqs in some)
            )

    async def _shards(self) -> list[_Shard]:
        rows = await self._cassandra.fetch(self._statements.shards)
        return [_Shard(uuid.UUID(shard), beat_at, oldest, gone) for shard, beat_at, oldest, gone in rows]

    async def _beat_for_ever(self) -> None:
        while True:
            with contextlib.suppress(*ENGINE_PROBLEMS):  # who would write says it itself
                await self._heartbeat()
            await asyncio.sleep(BEAT_S)

    async def _show_life(self) -> None:
        """See to it that our facts are found if we end now."""
        async with self._beating:
            if to_ms(self._clock.now()) - self._heartbeat_at > ORPHAN_MS // 2:
                await self._heartbeat()

    async def _heartbeat(self, gone: bool = False) -> None:
        now_ms = max(to_ms(self._clock.now()), self._heartbeat_at + 1)
        oldest = min(self._waiting, default=now_ms - now_ms % BUCKET_MS)
        await self._cassandra.execute(self._statements.heartbeat, self._shard, now_ms, oldest, gone, now_ms * 1000)
        self._heartbeat_at = 0 if gone else now_ms

    async def _leave(self) -> None:
        """Say that others may take at once what we leave."""
        if not self._heartbeat_at:
            return
        with contextlib.suppress(*ENGINE_PROBLEMS):
            await self._drop_done()
        await self._heartbeat(gone=True)

    async def _forget(self, one: _Shard) -> None:
        # With the time of the heartbeat that was seen, so that a later one stands.
        await self._cassandra.execute(self._statements.forget, one.beat_at * 1000, one.shard)


class _Keeping:
    """What `keeping` gives: a generator made into a context costs more than all else that is done here."""

    __slots__ = ("_fact", "_others", "_outbox", "_record")

    def __init__(self, outbox: CassandraOutbox, record: bytes, others: Sequence[Change]) -> None:
        self._outbox, self._record, self._others = outbox, record, others

    async def __aenter__(self) -> None:
        self._fact = await self._outbox.keep(self._record, self._others)

    async def __aexit__(self, *_: object) -> None:
        self._outbox.release(self._fact)


class _Statements(NamedTuple):
    """The statements of a domain's outbox."""

    keep: Query
    waiting: Query
    drop: Query
    shards: Query
    heartbeat: Query
    forget: Query

    @classmethod
    def of(cls, domain: str) -> _Statements:
        def query(cql: str) -> Query:
            return Query(cql.replace("DOMAIN", domain))

        return cls(
            keep=query("INSERT INTO DOMAIN_outbox (shard, bucket, seq, record) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"),
            waiting=query("SELECT seq, record FROM DOMAIN_outbox WHERE shard = ? AND bucket = ? LIMIT 500"),
            drop=query("DELETE FROM DOMAIN_outbox USING TIMESTAMP ? WHERE shard = ? AND bucket = ? AND seq IN ?"),
            shards=query("SELECT shard, beat_at, oldest, gone FROM DOMAIN_outbox_shard WHERE lane = 0"),
            heartbeat=query(
                "INSERT INTO DOMAIN_outbox_shard (lane, shard, beat_at, oldest, gone) VALUES (0, ?, ?, ?, ?)"
                " USING TIMESTAMP ?"
            ),
            forget=query("DELETE FROM DOMAIN_outbox_shard USING TIMESTAMP ? WHERE lane = 0 AND shard = ?"),
        )


def _chunks(all_: Sequence[T], size: int = AT_ONCE) -> list[Sequence[T]]:
    return [all_[start : start + size] for start in range(0, len(all_), size)]
