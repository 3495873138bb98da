"""Reading ranges of partitions, outside any consumer group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import confluent_kafka
from confluent_kafka import TopicPartition

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.kafka.cluster import Cluster, Partition

READERS: Final = 4
POLL_S: Final = 0.5


class OffsetRange(NamedTuple):
    """The messages of a partition from `start` to before `end`."""

    partition: Partition
    start: int
    end: int


class FetchedMessage(NamedTuple):
    """A message that was read; `at_ms` is its timestamp."""

    partition: Partition
    offset: int
    at_ms: int
    key: bytes
    value: bytes


def to_fetched(message: Any) -> FetchedMessage:
    """Return a message of the library as a `FetchedMessage`."""
    return FetchedMessage(
        Partition(message.topic(), message.partition()),
        message.offset(),
        message.timestamp()[1],
        message.key() or b"",
        message.value() or b"",
    )


class Reader:
    """A pool of consumers without a group, created on demand; a call uses one of them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._executor = ThreadPoolExecutor(READERS, thread_name_prefix="kafka-reader")
        self._slots = asyncio.Semaphore(READERS)
        self._idle: list[confluent_kafka.Consumer] = []

    async def close(self) -> None:
        """Close the consumers."""
        await asyncio.to_thread(self._close)

    async def fetch(self, ranges: Sequence[OffsetRange], limit: int) -> list[FetchedMessage]:
        """Return at most `limit` messages of some ranges, in order by partition. Raises EngineUnavailable."""
        async with self._slots:
            limit_s = self._cluster.get_timeout_s()
            fetch = asyncio.get_running_loop().run_in_executor(self._executor, self._fetch, ranges, limit, limit_s)
            return await asyncio.shield(fetch)

    def _fetch(self, ranges: Sequence[OffsetRange], limit: int, limit_s: float) -> list[FetchedMessage]:
        consumer = self._idle.pop() if self._idle else self._create_consumer()
        try:
            consumer.assign([TopicPartition(*each.partition, each.start) for each in ranges])
            return self._consume(consumer, {each.partition: each.end for each in ranges}, limit, limit_s)
        finally:
            consumer.unassign()
            self._idle.append(consumer)

    def _consume(
        self, consumer: confluent_kafka.Consumer, ends: dict[Partition, int], limit: int, limit_s: float
    ) -> list[FetchedMessage]:
        deadline_s = time.monotonic() + limit_s
        found: list[FetchedMessage] = []
        while ends and len(found) < limit:
            if (left_s := deadline_s - time.monotonic()) <= 0:
                break
            for message in self._poll(consumer, limit - len(found), min(POLL_S, left_s)):
                if message.offset < ends.get(message.partition, -1):
                    found.append(message)
                if message.offset + 1 >= ends.get(message.partition, 0):
                    ends.pop(message.partition, None)
        if ends and not found:
            where = self._cluster.servers
            raise EngineUnavailable(engine="kafka", detail=f"Kafka at {where} does not return its messages.")
        return found

    def _poll(self, consumer: confluent_kafka.Consumer, limit: int, wait_s: float) -> list[FetchedMessage]:
        """Return the available messages as soon as there is one: `consume` by itself would wait for `limit`."""
        first = consumer.poll(wait_s)
        if first is None:
            return []
        messages = [first, *(consumer.consume(limit - 1, 0) if limit > 1 else [])]
        return [to_fetched(message) for message in messages if message.error() is None]

    def _create_consumer(self) -> confluent_kafka.Consumer:
        return confluent_kafka.Consumer(
            self._cluster.build_config(
                group_id=self._cluster.full_name("reader"),  # required by the library; the group is never joined
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_wait_max_ms=50,
                queued_min_messages=1000,
                queued_max_messages_kbytes=4096,
            )
        )

    def _close(self) -> None:
        self._executor.shutdown()
        for consumer in self._idle:
            consumer.close()
