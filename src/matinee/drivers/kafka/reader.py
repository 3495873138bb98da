"""Reading what stands in partitions, from anywhere, as nobody in particular."""

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
LOOK_S: Final = 0.5


class Span(NamedTuple):
    """Some of a partition: from an offset to before another."""

    partition: Partition
    start: int
    end: int


class Fetched(NamedTuple):
    """A message that was read; `at_ms` is its time."""

    partition: Partition
    offset: int
    at_ms: int
    key: bytes
    value: bytes


def fetched(message: Any) -> Fetched:
    """A message of the library, taken apart."""
    return Fetched(
        Partition(message.topic(), message.partition()),
        message.offset(),
        message.timestamp()[1],
        message.key() or b"",
        message.value() or b"",
    )


class Reader:
    """A few consumers that belong to no group, made when they are needed, each used by one call at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="kafka-reader")
        self._turns = asyncio.Semaphore(READERS)
        self._idle: list[confluent_kafka.Consumer] = []

    async def close(self) -> None:
        """Close the consumers."""
        await asyncio.to_thread(self._end)

    async def fetch(self, spans: Sequence[Span], limit: int) -> list[Fetched]:
        """At most `limit` messages out of some spans; those of one partition in order. Raises EngineUnavailable."""
        async with self._turns:
            limit_s = self._cluster.limit_s()
            fetch = asyncio.get_running_loop().run_in_executor(self._threads, self._fetch, spans, limit, limit_s)
            return await asyncio.shield(fetch)

    def _fetch(self, spans: Sequence[Span], limit: int, limit_s: float) -> list[Fetched]:
        consumer = self._idle.pop() if self._idle else self._made()
        try:
            consumer.assign([TopicPartition(*span.partition, span.start) for span in spans])
            return self._taken(consumer, {span.partition: span.end for span in spans}, limit, limit_s)
        finally:
            consumer.unassign()
            self._idle.append(consumer)

    def _taken(
        self, consumer: confluent_kafka.Consumer, ends: dict[Partition, int], limit: int, limit_s: float
    ) -> list[Fetched]:
        until_s = time.monotonic() + limit_s
        found: list[Fetched] = []
        while ends and len(found) < limit:
            if (left_s := until_s - time.monotonic()) <= 0:
                break
            for message in self._some(consumer, limit - len(found), min(LOOK_S, left_s)):
                if message.offset < ends.get(message.partition, -1):
                    found.append(message)
                if message.offset + 1 >= ends.get(message.partition, 0):
                    ends.pop(message.partition, None)
        if ends and not found:
            where = self._cluster.servers
            raise EngineUnavailable(engine="kafka", detail=f"Kafka at {where} does not hand out what it has.")
        return found

    def _some(self, consumer: confluent_kafka.Consumer, limit: int, wait_s: float) -> list[Fetched]:
        """What is there, as soon as anything is: `consume` alone would wait for all of `limit`."""
        first = consumer.poll(wait_s)
        if first is None:
            return []
        messages = [first, *(consumer.consume(limit - 1, 0) if limit > 1 else [])]
        return [fetched(message) for message in messages if message.error() is None]

    def _made(self) -> confluent_kafka.Consumer:
        return confluent_kafka.Consumer(
            self._cluster.settings(
                group_id=self._cluster.name("reader"),  # asked for by the library, and never joined
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_wait_max_ms=50,
                queued_min_messages=1000,
                queued_max_messages_kbytes=4096,
            )
        )

    def _end(self) -> None:
        self._threads.shutdown()
        for consumer in self._idle:
            consumer.close()
