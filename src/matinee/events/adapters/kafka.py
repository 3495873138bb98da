"""The log on Kafka: a topic for each type of fact, partitioned by region and key.

Facts of one type and key are in one partition, in the order of their acknowledgements. A cursor holds the offset of
every partition that was read, `PlaybackStarted:17,,4;TitlePublished:2`; a partition or type that is missing in it is
read from its beginning. The committed cursor of a consumer is the committed offsets of the group of that name.

Dead letters have a topic of one partition, in which the last message for a consumer and a fact gives its state: dead
letter or redelivered. One message both removes a letter and redelivers its fact, because followers subscribe to this
topic as well.
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
    BatchLimits,
    Cluster,
    FetchedMessage,
    GroupInUse,
    GroupMember,
    Message,
    OffsetRange,
    Offsets,
    Partition,
    Producer,
    Reader,
)
from matinee.events.adapters.letters import parse_letter, parse_redelivered, to_redelivered
from matinee.events.api import BadCursor, Batch, ConsumerInUse, DeadLetter, Entry, FactRecord, Lag, type_name
from matinee.events.model import FACT_TYPES, count_fields
from matinee.events.ports import DeadLetterFilter, StoredDeadLetter
from matinee.kit import log
from matinee.kit.clock import to_ms

LETTERS: Final = "DeadLetter"
# How many of the newest messages are searched for dead letters, and how many are read at once.
LETTER_SEARCH_LIMIT: Final = 100_000
LETTER_PAGE: Final = 2_000
_DAY_MS: Final = 86_400_000
_log = log.get()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(FactRecord)
_CURSOR_PART = re.compile(r"([A-Za-z]\w*):((?:\d{0,18},)*[1-9]\d{0,17})", re.ASCII)


class KafkaEventLog:
    """An `EventLog`, `DeadLetterStore` and `ConsumerGroups`. `region` is the prefix of every message key."""

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
        self._members: set[GroupMember] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        region: str,
        partitions: int,
        replication: int,
        retention_days: int = 0,
        session_ms: int = 15_000,
    ) -> AsyncIterator[KafkaEventLog]:
        """Open the log of a `kafka://` URL, and create missing topics. `retention_days` 0 keeps all facts.

        Raises EngineUnavailable, EngineReadOnly, WrongVersion.
        """
        cluster = Cluster(url)
        topics = Topics(cluster, partitions=partitions, replication=replication, retention_days=retention_days)
        await topics.create_missing()
        reader = Reader(cluster)
        async with Producer(cluster) as producer:
            try:
                yield cls(cluster, producer, reader, region=region, topics=topics, session_ms=session_ms)
            finally:
                await reader.close()

    @property
    def engine(self) -> str:
        """The engine and its address."""
        return self._cluster.engine

    async def check(self) -> None:
        """Create topics again after Kafka lost its data, and restart the followers.

        Without a restart librdkafka keeps requesting the lost topics and gets no messages.
        """
        if await self._topics.create_missing():
            _log.warning("events.topics_recreated", engine=self.engine)
            for member in self._members:
                member.fail(StoreEmpty(store="events", detail=f"{self.engine} lost its data."))

    async def append(self, records: list[FactRecord], *, now: datetime) -> None:
        now_ms = to_ms(now)
        await self._producer.send([self._to_message(record, now_ms) for record in records])

    async def read(self, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        offsets = _parse_cursor(after)
        partitions = await self._list_partitions(types or FACT_TYPES)
        ranges = [self._clip(offsets, each) for each in await self._fetch_ranges(partitions)]
        found = await self._reader.fetch([each for each in ranges if each.start < each.end], limit)
        for partition, start, _ in ranges:
            offsets[self._without_prefix(partition)] = start
        for message in found:
            offsets[self._without_prefix(message.partition)] = message.offset + 1
        return Batch(entries=list(self._parse_sorted(found)), cursor=_to_cursor(offsets))

    async def get_head(self) -> str:
        return self._to_cursor(await self._cluster.fetch_end_offsets(await self._list_partitions(FACT_TYPES)))

    async def find_cursor(self, moment: datetime) -> str:
        partitions = await self._list_partitions(FACT_TYPES)
        return self._to_cursor(await self._cluster.find_offsets(partitions, to_ms(moment)))

    async def commit(self, consumer: str, cursor: str) -> None:
        await self._commit(consumer, cursor, FACT_TYPES)

    async def get_committed(self, consumer: str) -> str:
        partitions = await self._list_partitions(FACT_TYPES)
        return self._to_cursor(await self._cluster.fetch_committed(consumer, partitions))

    async def list_lags(self) -> list[Lag]:
        partitions = await self._list_partitions((*FACT_TYPES, LETTERS))
        ends = await self._cluster.fetch_end_offsets(partitions)
        found = []
        for consumer in await self._cluster.list_groups():
            if offsets := await self._cluster.fetch_committed(consumer, partitions):
                behind = sum(max(0, ends[p] - offset) for p, offset in offsets.items())
                found.append(Lag(consumer=consumer, behind=behind))
        return found

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        await self._producer.send([self._to_letter_message(letter, to_ms(letter.at))])

    async def find_dead_letters(self, selection: DeadLetterFilter, *, limit: int) -> list[StoredDeadLetter]:
        ((partition, start, end),) = await self._fetch_ranges([Partition(self._cluster.full_name(LETTERS), 0)])
        first = max(start, end - LETTER_SEARCH_LIMIT)
        found: list[StoredDeadLetter] = []
        decided: set[tuple[str, str]] = set()
        while first < end and len(found) < limit:
            page = OffsetRange(partition, max(first, end - LETTER_PAGE), end)
            for letter in reversed([parse_letter(message.value) for message in await self._fetch_all(page)]):
                if letter is not None and (letter.consumer, letter.fact_id) not in decided:
                    decided.add((letter.consumer, letter.fact_id))
                    found += [letter] if not letter.redelivered and selection.matches(letter) else []
            end = page.start
        return found[:limit]

    async def redeliver(self, letters: list[DeadLetter], *, now: datetime) -> None:
        await self._producer.send([self._to_letter_message(to_redelivered(each), to_ms(now)) for each in letters])

    async def follow(
        self,
        consumer: str,
        types: tuple[str, ...],
        *,
        start: str,
        handle: Callable[[list[Entry]], Awaitable[None]],
        max_batch: int,
        max_wait_ms: int,
    ) -> None:
        """Follow as a member of the consumer's group, until cancelled."""
        await self._initialise(consumer, types, start)
        letters = self._cluster.full_name(LETTERS)

        def parse(message: FetchedMessage) -> Entry | None:
            if message.partition.topic == letters:
                return parse_redelivered(message.value, consumer)
            return self._parse(message)

        async def handle_messages(messages: list[FetchedMessage]) -> None:
            if entries := [entry for message in messages if (entry := parse(message)) is not None]:
                await handle(entries)

        member = GroupMember(
            self._cluster,
            consumer,
            [letters, *map(self._cluster.full_name, types)],
            handle_messages,
            limits=BatchLimits(size=max_batch, wait_s=max_wait_ms / 1000),
            session_ms=self._session_ms,
        )
        self._members.add(member)
        try:
            await member.run()
        finally:
            self._members.discard(member)

    async def _initialise(self, consumer: str, types: Iterable[str], start: str) -> None:
        """Commit the start of a new consumer, so that it is the same whichever member comes first."""
        if not await self._cluster.fetch_committed(consumer, await self._list_partitions(types)):
            with contextlib.suppress(ConsumerInUse):  # another member was first
                await self._commit(consumer, start, types)

    async def _commit(self, consumer: str, cursor: str, types: Iterable[str]) -> None:
        wanted = _parse_cursor(cursor)
        partitions = await self._list_partitions(types)
        committed = await self._cluster.fetch_committed(consumer, partitions)
        ends = await self._cluster.fetch_end_offsets(partitions)
        offsets = {
            p: max(committed.get(p, 0), min(wanted.get(self._without_prefix(p), 0), ends[p])) for p in partitions
        }
        try:
            await self._cluster.commit(consumer, offsets)
        except GroupInUse as error:
            raise ConsumerInUse(consumer=consumer) from error

    async def _list_partitions(self, types: Iterable[str]) -> list[Partition]:
        topics = await self._cluster.describe_topics(map(self._cluster.full_name, types))
        return [Partition(name, n) for name, topic in sorted(topics.items()) for n in range(topic.partitions)]

    async def _fetch_ranges(self, partitions: list[Partition]) -> list[OffsetRange]:
        """Return the range of all messages in each partition."""
        starts, ends = await asyncio.gather(
            self._cluster.fetch_start_offsets(partitions), self._cluster.fetch_end_offsets(partitions)
        )
        return [OffsetRange(p, starts[p], ends[p]) for p in partitions]

    def _clip(self, offsets: Mapping[Partition, int], existing: OffsetRange) -> OffsetRange:
        """Return what is left to read of a partition; all of one that was created again."""
        offset = offsets.get(self._without_prefix(existing.partition), 0)
        return existing._replace(start=max(offset, existing.start) if offset <= existing.end else existing.start)

    def _without_prefix(self, partition: Partition) -> Partition:
        """Return a partition named by its fact, so that cursors survive a change of prefix."""
        return Partition(partition.topic.removeprefix(self._cluster.full_name("")), partition.number)

    def _to_cursor(self, offsets: Offsets) -> str:
        return _to_cursor({self._without_prefix(partition): offset for partition, offset in offsets.items()})

    def _to_message(self, record: FactRecord, now_ms: int) -> Message:
        fact_type = type(record.fact)
        headers: list[tuple[str, str | bytes | None]] = [
            ("fact_id", record.fact_id),
            ("type", type_name(fact_type)),
            ("trace_id", record.trace_id),
            ("revision", str(count_fields(fact_type))),
        ]
        topic, key = self._cluster.full_name(type_name(fact_type)), f"{self._region}/{record.key}"
        return Message(topic, key, _encoder.encode(record), headers, now_ms)

    def _to_letter_message(self, letter: DeadLetter, at_ms: int) -> Message:
        headers: list[tuple[str, str | bytes | None]] = [("consumer", letter.consumer), ("reason", letter.reason)]
        topic, key = self._cluster.full_name(LETTERS), f"{letter.consumer}/{letter.entry.record.key}"
        return Message(topic, key, _encoder.encode(letter), headers, at_ms)

    async def _fetch_all(self, messages: OffsetRange) -> list[FetchedMessage]:
        found: list[FetchedMessage] = []
        while messages.start < messages.end and (
            page := await self._reader.fetch([messages], messages.end - messages.start)
        ):
            found += page
            messages = messages._replace(start=page[-1].offset + 1)
        return found

    def _parse_sorted(self, messages: Iterable[FetchedMessage]) -> Iterator[Entry]:
        """Yield entries by time, those of each partition in order."""
        by_partition: dict[Partition, list[FetchedMessage]] = defaultdict(list)
        for message in messages:
            by_partition[message.partition].append(message)
        for message in merge(*by_partition.values(), key=lambda each: each.at_ms):
            if (entry := self._parse(message)) is not None:
                yield entry

    def _parse(self, message: FetchedMessage) -> Entry | None:
        """Return the entry of a message, or None for one that this version cannot read."""
        fact_type, number = self._without_prefix(message.partition)
        offset = f"{fact_type}/{number}/{message.offset}"
        try:
            return Entry(offset=offset, record=_decoder.decode(message.value))
        except msgspec.MsgspecError as error:
            _log.warning("events.unreadable", offset=offset, error=str(error))
            return None


class Topics:
    """The topics of a log, and their creation."""

    def __init__(self, cluster: Cluster, *, partitions: int, replication: int, retention_days: int) -> None:
        self._cluster = cluster
        self._partitions = partitions
        self._replication = replication
        self._min_in_sync = "2" if replication > 2 else "1"
        self._retention_ms = str(retention_days * _DAY_MS or -1)
        self._identities: dict[str, str] = {}

    async def create_missing(self) -> bool:
        """Create missing topics; return whether a topic known before was replaced. Raises EngineUnavailable."""
        names = {self._cluster.full_name(name) for name in (*FACT_TYPES, LETTERS)}
        found = await self._cluster.describe_topics(names)
        if missing := names - set(found):
            letters = {self._cluster.full_name(LETTERS)}
            await self._create(missing - letters, self._partitions, self._retention_ms)
            await self._create(missing & letters, 1, "-1")  # one partition keeps the letters in order
            found = await self._cluster.describe_topics(names, require_all=True)
        before, self._identities = self._identities, self._identities | {n: t.identity for n, t in found.items()}
        return any(identity != self._identities[name] for name, identity in before.items())

    async def _create(self, topics: Collection[str], partitions: int, retention_ms: str) -> None:
        await self._cluster.create_topics(
            topics,
            partitions=partitions,
            replication=self._replication,
            min_insync_replicas=self._min_in_sync,
            retention_ms=retention_ms,
        )


def _to_cursor(offsets: Mapping[Partition, int]) -> str:
    """Return a cursor; equal offsets give equal cursors."""
    lists: dict[str, list[str]] = defaultdict(list)
    for (fact_type, number), offset in sorted(offsets.items()):
        if offset > 0:
            numbers = lists[fact_type]
            numbers += [""] * (number - len(numbers)) + [str(offset)]
    return ";".join(f"{fact_type}:{','.join(numbers)}" for fact_type, numbers in lists.items())


def _parse_cursor(cursor: str) -> dict[Partition, int]:
    """Return the offsets in a cursor, by fact. Raises BadCursor."""
    found = {}
    for part in cursor.split(";") if cursor else []:
        if (match := _CURSOR_PART.fullmatch(part)) is None:
            raise BadCursor(detail=f"{cursor[:64]!r} is not a cursor of this log.")
        for number, offset in enumerate(match[2].split(",")):
            found[Partition(match[1], number)] = int(offset or 0)
    return found
