"""Messages to Kafka: idempotent, acknowledged by all replicas in step, in the order of their keys."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.kafka.cluster import Cluster
from matinee.drivers.kafka.trouble import MESSAGE_LIMIT_BYTES, error_of
from matinee.kit import log

_log = log.get()
# What is handed over within this time travels together.
LINGER_MS: Final = 2
DELIVERY_S: Final = 30.0
POLL_S: Final = 0.2
FULL_PAUSE_S: Final = 0.01


class Message(NamedTuple):
    """One message; `at_ms` is its time."""

    topic: str
    key: str
    value: bytes
    headers: list[tuple[str, str | bytes | None]]
    at_ms: int


class Producer:
    """One process's way of writing. Use as `async with Producer(cluster) as producer:`.

    `delivery_s`: how long a message may be on its way, its repeats included; after that its `send` fails. Repeats of
    the library's own are stored once. When a `send` fails, none, some or all of its messages may be stored.
    """

    def __init__(self, cluster: Cluster, *, delivery_s: float = DELIVERY_S) -> None:
        self._cluster = cluster
        self._delivery_s = delivery_s
        self._producer = self._made()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)

    def _made(self) -> confluent_kafka.Producer:
        return confluent_kafka.Producer(
            self._cluster.settings(
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=LINGER_MS,
                delivery_timeout_ms=round(self._delivery_s * 1000),
                message_max_bytes=MESSAGE_LIMIT_BYTES,
                # The Java clients' choice, so that what they mirror or write lies in the same partitions.
                partitioner="murmur2_random",
            )
        )

    async def __aenter__(self) -> Producer:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await asyncio.to_thread(self._thread.join)

    async def send(self, messages: Sequence[Message]) -> None:
        """Store messages; returns once all replicas in step have them all.

        Raises EngineUnavailable, EngineReadOnly, StoreFull, TooLarge.
        """
        end_s = time.monotonic() + self._cluster.limit_s(self._delivery_s + 1)
        delivery = _Delivery(len(messages))
        for message in messages:
            await self._hand_over(message, delivery, end_s)
        try:
            async with asyncio.timeout(end_s - time.monotonic()):
                error = await delivery.done
        except TimeoutError as late:
            raise self._late() from late
        if error is not None:
            raise self._failed(error)

    async def _hand_over(self, message: Message, delivery: _Delivery, end_s: float) -> None:
        while True:
            try:
                self._producer.produce(
                    message.topic,
                    message.value,
                    message.key,
                    headers=message.headers,
                    timestamp=message.at_ms,
                    on_delivery=delivery.told,
                )
                return
            except BufferError:  # the queue is full: the brokers are slower than we are
                if time.monotonic() > end_s:
                    raise self._late() from None
                await asyncio.sleep(FULL_PAUSE_S)
            except KafkaException as error:
                raise self._failed(error_of(error)) from error

    def _failed(self, error: KafkaError) -> Exception:
        """The problem behind an error. After a fatal one the library's producer is good for nothing: have another."""
        if error.fatal() or error.code() == KafkaError._FATAL:
            _log.error("kafka.producer_broken", engine=self._cluster.engine, error=error.str())
            self._producer = self._made()
        return self._cluster.problem(error)

    def _late(self) -> EngineUnavailable:
        where = self._cluster.servers
        return EngineUnavailable(
            engine="kafka", detail=f"Kafka at {where} has not acknowledged in time; it may yet store it."
        )

    def _poll(self) -> None:
        """Take deliveries, in a thread of its own, until the end; then whatever is still under way."""
        while not self._ending.is_set():
            self._producer.poll(POLL_S)
        self._producer.flush(POLL_S)


class _Delivery:
    """Counts the deliveries of one `send`; `done` is the first error, or None."""

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = count
        self._error: KafkaError | None = None
        self.done: asyncio.Future[KafkaError | None] = self._loop.create_future()
        if count == 0:
            self.done.set_result(None)

    def told(self, error: KafkaError | None, _message: Any) -> None:
        """One was delivered, or was not; called in the polling thread."""
        self._error = self._error or error
        self._left -= 1
        if self._left == 0 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(self._error)
