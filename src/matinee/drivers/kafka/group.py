"""A member of a consumer group: its partitions handled side by side, each in order, committed after the effect.

The library's consumer lives in one thread; partitions come and go by cooperative rebalances, so that what stays with
this member is not disturbed. A partition that is taken away while one of its messages is being handled: the handler may
end, within `finish_s`, and what was done is committed before the partition goes; else the handler is cancelled, and
whoever has the partition next handles that message again. What was not done is never committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from matinee.drivers.kafka.cluster import COORDINATOR_MS, Cluster, Partition
from matinee.drivers.kafka.lane import Lane
from matinee.drivers.kafka.reader import Fetched, fetched
from matinee.drivers.kafka.thread import Worker
from matinee.drivers.kafka.trouble import SOON, error_of
from matinee.kit import log
from matinee.kit.problem import Problem

_log = log.get()
POLL_S: Final = 0.2
TAKE: Final = 500
# A partition with this many messages waiting is paused, and goes on when few are left.
MANY: Final = 1000
FEW: Final = 200
SESSION_MS: Final = 15_000
FINISH_S: Final = 10.0
# How long the event loop may take over what the consumer's thread asks of it.
ASK_S: Final = 30.0
LEAVE_S: Final = 5.0
_PASSING: Final = {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._MAX_POLL_EXCEEDED}


class Group:
    """One member. `session_ms`: how long it may be silent before others take over; the broker has its own bounds."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        topics: Sequence[str],
        handle: Callable[[Fetched], Awaitable[None]],
        *,
        session_ms: int = SESSION_MS,
        finish_s: float = FINISH_S,
    ) -> None:
        self._cluster = cluster
        self._name = name
        self._topics = list(topics)
        self._handle = handle
        self._session_ms = session_ms
        self._finish_s = finish_s
        self._lanes: dict[Partition, Lane] = {}
        self._taken: list[Fetched] = []
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, problem: Problem) -> None:
        """Have `run` end with a problem."""
        if not self._broken.done():
            self._broken.set_exception(problem)

    async def run(self) -> None:
        """Be a member until cancelled. `handle` must not fail.

        Raises the problems of `drivers.engine` where the brokers refuse; while they are only away, it waits for them.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = Worker("kafka-group")
        self._consumer = self._made()
        try:
            await self._call(self._subscribe)
            while not self._broken.done():
                for message in await self._call(self._turn, self._to_commit(), *self._to_pause()):
                    if (lane := self._lanes.get(message.partition)) is not None:
                        lane.put(message)
            await self._broken
        finally:
            await asyncio.shield(asyncio.ensure_future(self._leave()))

    async def _leave(self) -> None:
        """Cancel what is being handled, commit what is done, tell the others; not for longer than `LEAVE_S`."""
        done = await self._let_go(list(self._lanes), 0)
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._call(self._close, done)
        except TimeoutError:  # the broker hangs: our session there ends by itself
            _log.warning("kafka.left_unheard", group=self._name)
        finally:
            self._thread.end()
            if self._broken.done():
                self._broken.exception()  # asked for, so that nobody is told that it never was

    async def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await self._thread.call(partial(work, *arguments))
        except KafkaException as error:
            raise self._cluster.problem(error_of(error)) from error

    # What the event loop decides.

    def _to_commit(self) -> list[TopicPartition]:
        places = []
        for partition, lane in self._lanes.items():
            if lane.done is not None and lane.done != lane.told:
                lane.told = lane.done
                places.append(TopicPartition(*partition, lane.done))
        return places

    def _to_pause(self) -> tuple[list[Partition], list[Partition]]:
        pause = [p for p, lane in self._lanes.items() if not lane.paused and lane.length > MANY]
        resume = [p for p, lane in self._lanes.items() if lane.paused and lane.length < FEW]
        for partition in (*pause, *resume):
            self._lanes[partition].paused = partition in pause
        return pause, resume

    async def _take_on(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._lanes[partition] = Lane(self._handle, self._broken)

    async def _let_go(self, partitions: Sequence[Partition], limit_s: float) -> list[TopicPartition]:
        """End the lanes of some partitions; tells where they came to."""
        lanes = {p: self._lanes.pop(p) for p in partitions if p in self._lanes}
        await asyncio.gather(*(lane.close(limit_s) for lane in lanes.values()))
        return [TopicPartition(*p, lane.done) for p, lane in lanes.items() if lane.done is not None]

    # What the consumer's thread does.

    def _made(self) -> confluent_kafka.Consumer:
        config = self._cluster.settings(
            group_id=self._cluster.name(self._name),
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

    def _close(self, done: list[TopicPartition]) -> None:
        if done:
            self._consumer.commit(offsets=done, asynchronous=True)
        self._consumer.close()

    def _turn(self, commit: list[TopicPartition], pause: list[Partition], resume: list[Partition]) -> list[Fetched]:
        """Commit, pause, resume, and take what is there. Rebalances happen in here."""
        if places := self._still_ours(pause):
            self._consumer.pause(places)
        if places := self._still_ours(resume):
            self._consumer.resume(places)
        if commit:
            self._consumer.commit(offsets=commit, asynchronous=True)
        self._taken = []
        self._keep([self._consumer.poll(POLL_S)])
        if self._taken:
            self._keep(self._consumer.consume(TAKE, 0))
        return self._taken

    def _still_ours(self, partitions: Iterable[Partition]) -> list[TopicPartition]:
        return [TopicPartition(*p) for p in partitions if p in self._lanes]

    def _keep(self, messages: Iterable[Any]) -> None:
        for message in messages:
            if message is None:
                continue
            error = message.error()
            if error is None:
                self._taken.append(fetched(message))
            elif error.code() not in _PASSING:
                raise self._cluster.problem(error)

    def _on_assign(self, consumer: confluent_kafka.Consumer, places: list[TopicPartition]) -> None:
        """Begin where the group has come to; a partition that nobody ever committed begins at its beginning.

        Left to itself, librdkafka asks once: while the coordinator moves that is not answered, and the partition
        stays silent for ever (its issue 5586).
        """
        for place in (found := self._committed(consumer, places)):
            if place.offset < 0:
                place.offset = OFFSET_BEGINNING
        self._ask(self._take_on(_partitions(found)))
        consumer.incremental_assign(found)

    def _committed(self, consumer: confluent_kafka.Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
        end_s = time.monotonic() + ASK_S
        while True:
            try:
                return consumer.committed(places, timeout=ASK_S)
            except KafkaException as error:
                if error_of(error).code() not in SOON or time.monotonic() > end_s:
                    raise
                time.sleep(POLL_S)

    def _on_revoke(self, _consumer: object, places: list[TopicPartition]) -> None:
        partitions = _partitions(places)
        self._forget(partitions)
        if done := self._ask(self._let_go(partitions, self._finish_s)):
            try:
                self._consumer.commit(offsets=done, asynchronous=False)
            except KafkaException as error:  # they will be handled again
                _log.warning("kafka.commit_failed", group=self._name, error=str(error))

    def _on_lost(self, _consumer: object, places: list[TopicPartition]) -> None:
        """Others have the partitions already: nothing may be committed any more."""
        partitions = _partitions(places)
        self._forget(partitions)
        self._ask(self._let_go(partitions, 0))

    def _on_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        if error is not None:
            _log.warning("kafka.commit_failed", group=self._name, error=error.str())
            self._loop.call_soon_threadsafe(self._untold, _partitions(places))

    def _untold(self, partitions: list[Partition]) -> None:
        for partition in partitions:
            if partition in self._lanes:
                self._lanes[partition].told = None

    def _forget(self, partitions: list[Partition]) -> None:
        """Drop what was taken in this turn of partitions that go in this turn."""
        self._taken[:] = [message for message in self._taken if message.partition not in partitions]

    def _ask(self, work: Any) -> Any:
        """Have the event loop do something, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._finish_s + ASK_S)


def _partitions(places: Iterable[TopicPartition]) -> list[Partition]:
    return [Partition(place.topic, place.partition) for place in places]
