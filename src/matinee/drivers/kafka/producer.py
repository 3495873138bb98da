"""The producer: idempotent, acknowledged by all in-sync replicas, in order by key."""

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
from matinee.drivers.kafka.errors import MESSAGE_LIMIT_BYTES, get_kafka_error
from matinee.kit import log

_log = log.get()
# Messages produced within this time share a request.
LINGER_MS: Final = 2
DELIVERY_S: Final = 30.0
POLL_S: Final = 0.2
FULL_PAUSE_S: Final = 0.01


class Message(NamedTuple):
    """A message to send; `at_ms` is its timestamp."""

    topic: str
    key: str
    value: bytes
    headers: list[tuple[str, str | bytes | None]]
    at_ms: int


class Producer:
    """A producer. Use as `async with Producer(cluster) as producer:`.

    `delivery_s` bounds the delivery of a message, with retries; after that `send` fails. The library's retries store a
    message once. When `send` fails, any subset of its messages may be stored.
    """

    def __init__(self, cluster: Cluster, *, delivery_s: float = DELIVERY_S) -> None:
        self._cluster = cluster
        self._delivery_s = delivery_s
        self._producer = self._create_producer()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)

    def _create_producer(self) -> confluent_kafka.Producer:
        return confluent_kafka.Producer(
            self._cluster.build_config(
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=LINGER_MS,
                delivery_timeout_ms=round(self._delivery_s * 1000),
                message_max_bytes=MESSAGE_LIMIT_BYTES,
                # The Java clients' default, so that they choose the same partitions.
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
        """Store messages; return when all in-sync replicas have them.

        Raises EngineUnavailable, EngineReadOnly, StoreFull, TooLarge.
        """
        deadline_s = time.monotonic() + self._cluster.get_timeout_s(self._delivery_s + 1)
        delivery = _Delivery(len(messages))
        for message in messages:
            await self._produce(message, delivery, deadline_s)
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                error = await delivery.done
        except TimeoutError as timeout:
            raise self._to_timeout_problem() from timeout
        if error is not None:
            raise self._to_problem(error)

    async def _produce(self, message: Message, delivery: _Delivery, deadline_s: float) -> None:
        while True:
            try:
                self._producer.produce(
                    message.topic,
                    message.value,
                    message.key,
                    headers=message.headers,
                    timestamp=message.at_ms,
                    on_delivery=delivery.on_delivery,
                )
                return
            except BufferError:  # the local queue is full
                if time.monotonic() > deadline_s:
                    raise self._to_timeout_problem() from None
                await asyncio.sleep(FULL_PAUSE_S)
            except KafkaException as error:
                raise self._to_problem(get_kafka_error(error)) from error

    def _to_problem(self, error: KafkaError) -> Exception:
        """Return the problem for an error. A fatal error breaks the library's producer: create another."""
        if error.fatal() or error.code() == KafkaError._FATAL:
            _log.error("kafka.producer_broken", engine=self._cluster.engine, error=error.str())
            self._producer = self._create_producer()
        return self._cluster.to_problem(error)

    def _to_timeout_problem(self) -> EngineUnavailable:
        detail = f"Kafka at {self._cluster.servers} did not acknowledge in time; it may still store the message."
        return EngineUnavailable(engine="kafka", detail=detail)

    def _poll(self) -> None:
        """Process delivery reports until the end, then the outstanding ones; runs in its own thread."""
        while not self._ending.is_set():
            self._producer.poll(POLL_S)
        self._producer.flush(POLL_S)


class _Delivery:
    """Counts the delivery reports of one `send`; `done` is the first error, or None."""

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = count
        self._error: KafkaError | None = None
        self.done: asyncio.Future[KafkaError | None] = self._loop.create_future()
        if count == 0:
            self.done.set_result(None)

    def on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        """Process one report; called in the polling thread."""
        self._error = self._error or error
        self._left -= 1
        if self._left == 0 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(self._error)
