"""A member of a consumer group. It handles its partitions concurrently, each in order, and commits after the effect.

The library's consumer runs in one thread; partitions are assigned and revoked by cooperative rebalances, which leave
the member's other partitions undisturbed. When a partition is revoked during a batch, its handler may finish within
`finish_s`, and the batch is committed before the partition is given up. Otherwise the handler is cancelled, and the
next owner of the partition handles the batch again. An unhandled message is never committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from matinee.drivers.kafka.cluster import COORDINATOR_MS, Cluster, Partition
from matinee.drivers.kafka.errors import TRANSIENT, get_kafka_error
from matinee.drivers.kafka.partition_queue import BatchHandler, BatchLimits, PartitionQueue
from matinee.drivers.kafka.reader import FetchedMessage, to_fetched
from matinee.drivers.kafka.worker_thread import WorkerThread
from matinee.kit import log
from matinee.kit.problem import Problem

_log = log.get()
POLL_S: Final = 0.2
CONSUME_LIMIT: Final = 2000
# A partition with more than `PAUSE_BATCHES` queued batches is paused until less than one is queued.
PAUSE_BATCHES: Final = 4
SESSION_MS: Final = 15_000
FINISH_S: Final = 10.0
# How long the event loop may take to answer the consumer's thread.
CALLBACK_S: Final = 30.0
LEAVE_S: Final = 5.0
_TRANSIENT: Final = {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._MAX_POLL_EXCEEDED}


class GroupMember:
    """One member. `session_ms` is its session timeout; the broker limits the range."""

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        topics: Sequence[str],
        handle: BatchHandler,
        *,
        limits: BatchLimits,
        session_ms: int = SESSION_MS,
        finish_s: float = FINISH_S,
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._topics = list(topics)
        self._handle = handle
        self._limits = limits
        self._session_ms = session_ms
        self._finish_s = finish_s
        self._queues: dict[Partition, PartitionQueue] = {}
        self._polled: list[FetchedMessage] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, problem: Problem) -> None:
        """Make `run` raise a problem."""
        if not self._failure.done():
            self._failure.set_exception(problem)

    async def run(self) -> None:
        """Be a member until cancelled. `handle` must not raise.

        Raises the problems of `drivers.engine` if the brokers refuse; while they are unavailable, it waits.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = WorkerThread("kafka-group")
        self._consumer = self._create_consumer()
        try:
            await self._call(self._subscribe)
            while not self._failure.done():
                for message in await self._call(self._poll, self._list_offsets(), *self._choose_paused()):
                    if (queue := self._queues.get(message.partition)) is not None:
                        queue.put(message)
            await self._failure
        finally:
            await asyncio.shield(asyncio.ensure_future(self._leave()))

    async def _leave(self) -> None:
        """Cancel the handlers, commit what is handled and leave the group, within `LEAVE_S`."""
        handled = await self._close_queues(list(self._queues), 0)
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._call(self._close, handled)
        except TimeoutError:  # the broker hangs: the session expires there
            _log.warning("kafka.leave_timed_out", group=self._group)
        finally:
            self._thread.end()
            if self._failure.done():
                self._failure.exception()  # retrieved, so that asyncio does not report it

    async def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await self._thread.call(partial(work, *arguments))
        except KafkaException as error:
            raise self._cluster.to_problem(get_kafka_error(error)) from error

    # Methods called in the event loop.

    def _list_offsets(self) -> list[TopicPartition]:
        offsets = []
        for partition, queue in self._queues.items():
            if queue.next_offset is not None and queue.next_offset != queue.committed_offset:
                queue.committed_offset = queue.next_offset
                offsets.append(TopicPartition(*partition, queue.next_offset))
        return offsets

    def _choose_paused(self) -> tuple[list[Partition], list[Partition]]:
        low, high = self._limits.size, self._limits.size * PAUSE_BATCHES
        pause = [p for p, queue in self._queues.items() if not queue.is_paused and queue.length > high]
        resume = [p for p, queue in self._queues.items() if queue.is_paused and queue.length < low]
        for partition in (*pause, *resume):
            self._queues[partition].is_paused = partition in pause
        return pause, resume

    async def _open_queues(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._queues[partition] = PartitionQueue(self._handle, self._limits, self._failure)

    async def _close_queues(self, partitions: Sequence[Partition], limit_s: float) -> list[TopicPartition]:
        """Close the queues of some partitions; return the offsets that they reached."""
        queues = {p: self._queues.pop(p) for p in partitions if p in self._queues}
        await asyncio.gather(*(queue.close(limit_s) for queue in queues.values()))
        return [TopicPartition(*p, q.next_offset) for p, q in queues.items() if q.next_offset is not None]

    # Methods called in the consumer's thread.

    def _create_consumer(self) -> confluent_kafka.Consumer:
        config = self._cluster.build_config(
            group_id=self._cluster.full_name(self._group),
            partition_assignment_strategy="cooperative-sticky",
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=self._session_ms // 5,
            queued_max_messages_kbytes=16_384,
            coordinator_query_interval_ms=COORDINATOR_MS,
        )
        return confluent_kafka.Consumer({**config, "on_commit": self._on_commit})

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _close(self, handled: list[TopicPartition]) -> None:
        if handled:
            self._consumer.commit(offsets=handled, asynchronous=True)
        self._consumer.close()

    def _poll(
        self, commit: list[TopicPartition], pause: list[Partition], resume: list[Partition]
    ) -> list[FetchedMessage]:
        """Commit, pause, resume and return the available messages. Rebalances are called back from here."""
        if places := self._filter_assigned(pause):
            self._consumer.pause(places)
        if places := self._filter_assigned(resume):
            self._consumer.resume(places)
        if commit:
            self._consumer.commit(offsets=commit, asynchronous=True)
        self._polled = []
        self._collect([self._consumer.poll(POLL_S)])
        if self._polled:
            self._collect(self._consumer.consume(CONSUME_LIMIT, 0))
        return self._polled

    def _filter_assigned(self, partitions: Iterable[Partition]) -> list[TopicPartition]:
        return [TopicPartition(*p) for p in partitions if p in self._queues]

    def _collect(self, messages: Iterable[Any]) -> None:
        for message in messages:
            if message is None:
                continue
            error = message.error()
            if error is None:
                self._polled.append(to_fetched(message))
            elif error.code() not in _TRANSIENT:
                raise self._cluster.to_problem(error)

    def _on_assign(self, consumer: confluent_kafka.Consumer, places: list[TopicPartition]) -> None:
        """Start at the committed offsets; a partition without one starts at its beginning.

        librdkafka would request the offsets once: while the coordinator moves there is no answer, and the
        partition delivers no more messages (its issue 5586).
        """
        for place in (found := self._fetch_committed(consumer, places)):
            if place.offset < 0:
                place.offset = OFFSET_BEGINNING
        self._run_in_loop(self._open_queues(_to_partitions(found)))
        consumer.incremental_assign(found)

    def _fetch_committed(
        self, consumer: confluent_kafka.Consumer, places: list[TopicPartition]
    ) -> list[TopicPartition]:
        deadline_s = time.monotonic() + CALLBACK_S
        while True:
            try:
                return consumer.committed(places, timeout=CALLBACK_S)
            except KafkaException as error:
                if get_kafka_error(error).code() not in TRANSIENT or time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)

    def _on_revoke(self, _consumer: object, places: list[TopicPartition]) -> None:
        partitions = _to_partitions(places)
        self._drop_polled(partitions)
        if handled := self._run_in_loop(self._close_queues(partitions, self._finish_s)):
            try:
                self._consumer.commit(offsets=handled, asynchronous=False)
            except KafkaException as error:  # the next owner handles these messages again
                _log.warning("kafka.commit_failed", group=self._group, error=str(error))

    def _on_lost(self, _consumer: object, places: list[TopicPartition]) -> None:
        """Close the queues without a commit: other members already have the partitions."""
        partitions = _to_partitions(places)
        self._drop_polled(partitions)
        self._run_in_loop(self._close_queues(partitions, 0))

    def _on_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        if error is not None:
            _log.warning("kafka.commit_failed", group=self._group, error=error.str())
            self._loop.call_soon_threadsafe(self._mark_uncommitted, _to_partitions(places))

    def _mark_uncommitted(self, partitions: list[Partition]) -> None:
        for partition in partitions:
            if partition in self._queues:
                self._queues[partition].committed_offset = None

    def _drop_polled(self, partitions: list[Partition]) -> None:
        """Drop the messages of revoked partitions that the current poll returned."""
        self._polled[:] = [message for message in self._polled if message.partition not in partitions]

    def _run_in_loop(self, work: Any) -> Any:
        """Run a coroutine in the event loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._finish_s + CALLBACK_S)


def _to_partitions(places: Iterable[TopicPartition]) -> list[Partition]:
    return [Partition(place.topic, place.partition) for place in places]
