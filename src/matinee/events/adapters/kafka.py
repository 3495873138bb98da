"""The log on Kafka: a topic for each type of fact, its partitions chosen by region and key.

Facts of one type and key lie in one partition, in the order in which they were acknowledged. A cursor is the offset of
every partition that has been read from, `PlaybackHeartbeat:17,,4;TitlePublished:2`; a partition or a type that it does not
name begins at its beginning. How far a consumer has come is what Kafka keeps of the group of that name.

Dead letters have a topic of one partition, where the last message of a consumer and a fact says how it stands with it:
buried, or handed over `again`. One message does both, to take a letter away and to give it to its consumer, whose
members follow that topic as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from heapq import merge
from typing import ClassVar, Final

import msgspec

from matinee.drivers.engine import StoreEmpty
from matinee.drivers.kafka import (
    Cluster,
    Fetched,
    Group,
    GroupInUse,
    Message,
    Offsets,
    Partition,
    Producer,
    Reader,
    Span,
)
from matinee.events.adapters.letters import again, handed_over, kept
from matinee.events.api import BadCursor, Batch, ConsumerInUse, DeadLetter, Entry, FactRecord, Lag, type_name
from matinee.events.model import KINDS, revision
from matinee.events.ports import DeadLetterFilter, StoredDeadLetter
from matinee.kit import log
from matinee.kit.clock import to_ms

DEAD: Final = "DeadLetter"
# How many of its newest messages are looked through for letters that wait, and how many at once.
DEAD_LOOK: Final = 100_000
DEAD_AT_ONCE: Final = 2_000
_DAY_MS: Final = 86_400_000
_log = log.get()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(FactRecord)
_PLACES = re.compile(r"([A-Za-z]\w*):((?:\d{0,18},)*[1-9]\d{0,17})", re.ASCII)


class KafkaEventLog:
    """Fulfils `EventLog`, `DeadLetterStore` and `ConsumerGroups`. `region` leads every message's key."""

    drops_repeats: ClassVar[bool] = False
    one_order: ClassVar[bool] = False

    def __init__(
        self, cluster: Cluster, producer: Producer, reader: Reader, *, region: str, topics: Topics, session_ms: int
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._reader = reader
        self._region = region
        self._topics = topics
        self._session_ms = session_ms
        self._groups: set[Group] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        place: str,
        *,
        region: str,
        partitions: int,
        replication: int,
        retention_days: int = 0,
        session_ms: int = 15_000,
    ) -> AsyncIterator[KafkaEventLog]:
        """The log behind a `kafka://` URL; topics that are not there are made. `retention_days` 0 keeps all.

        Raises EngineUnavailable, EngineReadOnly, WrongVersion.
        """
        cluster = Cluster(place)
        topics = Topics(cluster, partitions=partitions, replication=replication, retention_days=retention_days)
        await topics.make()
        reader = Reader(cluster)
        async with Producer(cluster) as producer:
            try:
                yield cls(cluster, producer, reader, region=region, topics=topics, session_ms=session_ms)
            finally:
                await reader.close()

    @property
    def engine(self) -> str:
        """The engine and where it is."""
        return self._cluster.engine

    async def check(self) -> None:
        """Look whether all topics are there, and still the same ones.

        After Kafka came back without its data they are made again, and those who follow begin anew: librdkafka goes
        on asking for the topics that are gone, and hears nothing.
        """
        if await self._topics.make():
            _log.warning("events.topics_made_again", engine=self.engine)
            for group in self._groups:
                group.fail(StoreEmpty(store="events", detail=f"{self.engine} came back without its data."))

    async def append(self, records: list[FactRecord], *, now: datetime) -> None:
        now_ms = to_ms(now)
        await self._producer.send([self._message(record, now_ms) for record in records])

    async def read(self, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        done = _decoded(after)
        partitions = await self._partitions(types or KINDS)
        begins, ends = await asyncio.gather(self._cluster.begins(partitions), self._cluster.ends(partitions))
        spans = [Span(p, self._start(done, p, begins[p], ends[p]), ends[p]) for p in partitions]
        found = await self._reader.fetch([span for span in spans if span.start < span.end], limit)
        for partition, start, _ in spans:
            done[self._short(partition)] = start
        for message in found:
            done[self._short(message.partition)] = message.offset + 1
        return Batch(entries=list(self._entries(found)), cursor=_encoded(done))

    async def get_head(self) -> str:
        return self._cursor(await self._cluster.ends(await self._partitions(KINDS)))

    async def find_cursor(self, moment: datetime) -> str:
        return self._cursor(await self._cluster.since(await self._partitions(KINDS), to_ms(moment)))

    async def commit(self, consumer: str, cursor: str) -> None:
        await self._commit(consumer, cursor, KINDS)

    async def get_committed(self, consumer: str) -> str:
        return self._cursor(await self._cluster.committed(consumer, await self._partitions(KINDS)))

    async def list_lags(self) -> list[Lag]:
        partitions = await self._partitions((*KINDS, DEAD))
        ends = await self._cluster.ends(partitions)
        found = []
        for consumer in await self._cluster.groups():
            at = await self._cluster.committed(consumer, partitions)
            if at:
                found.append(Lag(consumer=consumer, behind=sum(max(0, ends[p] - offset) for p, offset in at.items())))
        return found

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        await self._producer.send([self._letter(letter, to_ms(letter.at))])

    async def find_dead_letters(self, choice: DeadLetterFilter, *, limit: int) -> list[StoredDeadLetter]:
        partition = Partition(self._cluster.name(DEAD), 0)
        begins, ends = await asyncio.gather(self._cluster.begins([partition]), self._cluster.ends([partition]))
        end, floor = ends[partition], max(begins[partition], ends[partition] - DEAD_LOOK)
        found: list[StoredDeadLetter] = []
        decided: set[tuple[str, str]] = set()
        while floor < end and len(found) < limit:
            span = Span(partition, max(floor, end - DEAD_AT_ONCE), end)
            for one in reversed([kept(message.value) for message in await self._all_of(span)]):
                if one is not None and (one.consumer, one.fact_id) not in decided:
                    decided.add((one.consumer, one.fact_id))
                    found += [one] if not one.again and choice.takes(one) else []
            end = span.start
        return found[:limit]

    async def redeliver(self, letters: list[DeadLetter], *, now: datetime) -> None:
        await self._producer.send([self._letter(again(letter), to_ms(now)) for letter in letters])

    async def follow(
        self, consumer: str, types: tuple[str, ...], *, start: str, handle: Callable[[Entry], Awaitable[None]]
    ) -> None:
        """Be one of those who follow for a consumer, until cancelled."""
        await self._begin(consumer, types, start)
        letters = self._cluster.name(DEAD)

        async def handled(message: Fetched) -> None:
            entry = self._entry(message) if message.partition.topic != letters else handed_over(message.value, consumer)
            if entry is not None:
                await handle(entry)

        topics = [letters, *map(self._cluster.name, types)]
        group = Group(self._cluster, consumer, topics, handled, session_ms=self._session_ms)
        self._groups.add(group)
        try:
            await group.run()
        finally:
            self._groups.discard(group)

    async def _begin(self, consumer: str, types: Iterable[str], start: str) -> None:
        """Commit where a consumer begins that was never heard of, so that it begins there whoever comes first."""
        if not await self._cluster.committed(consumer, await self._partitions(types)):
            with contextlib.suppress(ConsumerInUse):  # somebody else was first
                await self._commit(consumer, start, types)

    async def _commit(self, consumer: str, cursor: str, types: Iterable[str]) -> None:
        wanted = _decoded(cursor)
        partitions = await self._partitions(types)
        at, ends = await self._cluster.committed(consumer, partitions), await self._cluster.ends(partitions)
        offsets = {p: max(at.get(p, 0), min(wanted.get(self._short(p), 0), ends[p])) for p in partitions}
        try:
            await self._cluster.commit(consumer, offsets)
        except GroupInUse as error:
            raise ConsumerInUse(consumer=consumer) from error

    async def _partitions(self, types: Iterable[str]) -> list[Partition]:
        topics = await self._cluster.topics(map(self._cluster.name, types))
        return [Partition(name, n) for name, topic in sorted(topics.items()) for n in range(topic.partitions)]

    def _start(self, done: Mapping[Partition, int], partition: Partition, begin: int, end: int) -> int:
        """Where to go on. What retention has dropped is passed over; a partition that came back empty begins anew."""
        at = done.get(self._short(partition), 0)
        return max(at, begin) if at <= end else begin

    def _short(self, partition: Partition) -> Partition:
        """A partition named by its fact: cursors outlive a change of prefix."""
        return Partition(partition.topic.removeprefix(self._cluster.name("")), partition.number)

    def _cursor(self, offsets: Offsets) -> str:
        return _encoded({self._short(partition): offset for partition, offset in offsets.items()})

    def _message(self, record: FactRecord, now_ms: int) -> Message:
        kind = type(record.fact)
        headers: list[tuple[str, str | bytes | None]] = [
            ("fact_id", record.fact_id),
            ("type", type_name(kind)),
            ("trace_id", record.trace_id),
            ("revision", str(revision(kind))),
        ]
        key = f"{self._region}/{record.key}"
        return Message(self._cluster.name(type_name(kind)), key, _encoder.encode(record), headers, now_ms)

    def _letter(self, letter: DeadLetter, at_ms: int) -> Message:
        key = f"{letter.consumer}/{letter.entry.record.key}"
        headers: list[tuple[str, str | bytes | None]] = [("consumer", letter.consumer), ("reason", letter.reason)]
        return Message(self._cluster.name(DEAD), key, _encoder.encode(letter), headers, at_ms)

    async def _all_of(self, span: Span) -> list[Fetched]:
        found: list[Fetched] = []
        while span.start < span.end and (some := await self._reader.fetch([span], span.end - span.start)):
            found += some
            span = span._replace(start=some[-1].offset + 1)
        return found

    def _entries(self, found: Iterable[Fetched]) -> Iterator[Entry]:
        """What was read, by time, those of each partition in order."""
        lanes: dict[Partition, list[Fetched]] = defaultdict(list)
        for message in found:
            lanes[message.partition].append(message)
        for message in merge(*lanes.values(), key=lambda each: each.at_ms):
            if (entry := self._entry(message)) is not None:
                yield entry

    def _entry(self, message: Fetched) -> Entry | None:
        """What is in a message, or None for what a newer version of Matinee wrote and this one does not know."""
        kind, number = self._short(message.partition)
        place = f"{kind}/{number}/{message.offset}"
        try:
            return Entry(place=place, record=_decoder.decode(message.value))
        except msgspec.MsgspecError as error:
            _log.warning("events.unreadable", place=place, error=str(error))
            return None


class Topics:
    """The topics of a log, and how they are made."""

    def __init__(self, cluster: Cluster, *, partitions: int, replication: int, retention_days: int) -> None:
        self._cluster = cluster
        self._partitions = partitions
        self._replication = replication
        self._in_sync = "2" if replication > 2 else "1"
        self._retention_ms = str(retention_days * _DAY_MS or -1)
        self._known: dict[str, str] = {}

    async def make(self) -> bool:
        """Make those that are not there; tells whether some are others than before. Raises EngineUnavailable."""
        names = {self._cluster.name(kind) for kind in (*KINDS, DEAD)}
        found = await self._cluster.topics(names)
        if missing := names - set(found):
            await self._make_these(missing)
            found = await self._cluster.topics(names, all_of_them=True)
        before, self._known = self._known, {**self._known, **{name: topic.identity for name, topic in found.items()}}
        return any(identity != self._known[name] for name, identity in before.items())

    async def _make_these(self, missing: set[str]) -> None:
        dead = self._cluster.name(DEAD)
        await self._make(missing - {dead}, self._partitions, self._retention_ms)
        # One partition: an operator reads them in the order in which they were buried.
        await self._make(missing & {dead}, 1, "-1")

    async def _make(self, topics: Collection[str], partitions: int, retention_ms: str) -> None:
        await self._cluster.create(
            topics,
            partitions=partitions,
            replication=self._replication,
            min_insync_replicas=self._in_sync,
            retention_ms=retention_ms,
        )


def _encoded(offsets: Mapping[Partition, int]) -> str:
    """A cursor; the same offsets always give the same one."""
    lists: dict[str, list[str]] = defaultdict(list)
    for (kind, number), offset in sorted(offsets.items()):
        if offset > 0:
            numbers = lists[kind]
            numbers += [""] * (number - len(numbers)) + [str(offset)]
    return ";".join(f"{kind}:{','.join(numbers)}" for kind, numbers in lists.items())


def _decoded(cursor: str) -> dict[Partition, int]:
    """The offsets in a cursor, by fact. Raises BadCursor."""
    found = {}
    for part in cursor.split(";") if cursor else []:
        if (said := _PLACES.fullmatch(part)) is None:
            raise BadCursor(detail=f"{cursor[:64]!r} is no place in this log.")
        for number, offset in enumerate(said[2].split(",")):
            found[Partition(said[1], number)] = int(offset or 0)
    return found
