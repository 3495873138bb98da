"""A Kafka cluster: its address, its topics, the offsets of partitions and of consumer groups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # missing in its stubs

from matinee.drivers.engine import EngineUnavailable, describe_engine
from matinee.drivers.kafka.errors import TRANSIENT, get_kafka_error, to_problem
from matinee.kit import context
from matinee.kit.problem import Problem

T = TypeVar("T")
TIMEOUT_S: Final = 5.0
# New topics take longer to appear on all brokers.
CREATE_TIMEOUT_S: Final = 30.0
PAUSE_S: Final = 0.1
# The timeout of a request to a broker that hangs; librdkafka's default of a minute would delay closing.
SOCKET_MS: Final = 5000
# How long a commit waits for a group's coordinator; librdkafka's default of ten minutes would delay closing.
COORDINATOR_MS: Final = 2000
# The options allowed in the query of a URL: those of the connection.
ALLOWED_OPTIONS: Final = ("security.", "sasl.", "ssl.", "client.", "broker.address.")
_IN_USE: Final = {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.NON_EMPTY_GROUP,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
}


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Topic(NamedTuple):
    """The number of partitions of a topic, and an id that differs from a later topic of the same name."""

    partitions: int
    identity: str


Offsets: TypeAlias = dict[Partition, int]


class GroupInUse(Problem, status=409):
    """The offsets of a group with members can only be set by its members."""


class Cluster:
    """The brokers behind `kafka://[user:password@]host:port[,host:port…]/prefix[?security.protocol=…]`.

    Topics and groups are named `<prefix>.<name>`. Every call ends within `timeout_s`, or the deadline of the context,
    and raises the problems of `drivers.engine`.
    """

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        credentials, _, self.servers = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        self.prefix = parts.path.strip("/")
        self.engine = describe_engine(url)
        self._timeout_s = timeout_s
        self._options = {key: value for key, value in parse_qsl(parts.query) if key.startswith(ALLOWED_OPTIONS)}
        if user:
            self._options |= {"sasl.username": unquote(user), "sasl.password": unquote(password)}
        self._admin = AdminClient(self.build_config())

    def build_config(self, **more: Any) -> dict[str, Any]:
        """Return a librdkafka configuration; a `_` in a keyword stands for `.`. Logging is off: errors are raised."""
        return {
            "bootstrap.servers": self.servers,
            "log_level": 1,
            "socket.keepalive.enable": True,
            "socket.timeout.ms": SOCKET_MS,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            **self._options,
            **{key.replace("_", "."): value for key, value in more.items()},
        }

    def full_name(self, name: str) -> str:
        """Return the full name of a topic or a group."""
        return f"{self.prefix}.{name}" if self.prefix else name

    def to_problem(self, error: KafkaError) -> Problem:
        """Return the problem for an error."""
        return to_problem(error, self.servers)

    def get_timeout_s(self, at_most_s: float | None = None) -> float:
        """Return the timeout of a call that starts now."""
        remaining_ms = context.current().remaining_ms()
        limit_s = self._timeout_s if at_most_s is None else at_most_s
        return limit_s if remaining_ms is None else max(0.001, min(limit_s, remaining_ms / 1000))

    async def create_topics(self, topics: Iterable[str], *, partitions: int, replication: int, **config: str) -> None:
        """Create topics; an existing topic stays unchanged."""
        new_topics = [
            NewTopic(
                topic,
                num_partitions=partitions,
                replication_factor=replication,
                config={key.replace("_", "."): value for key, value in config.items()},
            )
            for topic in sorted(topics)
        ]
        if new_topics:
            await self._request(
                lambda limit_s: self._admin.create_topics(new_topics, request_timeout=limit_s),
                ignore=KafkaError.TOPIC_ALREADY_EXISTS,
                timeout_s=CREATE_TIMEOUT_S,
            )

    async def describe_topics(self, topics: Iterable[str], *, require_all: bool = False) -> dict[str, Topic]:
        """Return topics by name; a missing one is left out, or awaited with `require_all`."""
        names = sorted(set(topics))
        found = await self._request(
            lambda limit_s: self._admin.describe_topics(TopicCollection(names), request_timeout=limit_s),
            ignore=None if require_all else KafkaError.UNKNOWN_TOPIC_OR_PART,
            timeout_s=CREATE_TIMEOUT_S if require_all else None,
        )
        return {name: Topic(len(each.partitions), str(each.topic_id)) for name, each in found.items()}

    async def fetch_start_offsets(self, partitions: Iterable[Partition]) -> Offsets:
        """Return the first offset of each partition."""
        return await self._list_offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    async def fetch_end_offsets(self, partitions: Iterable[Partition]) -> Offsets:
        """Return the offset after the last message of each partition."""
        return await self._list_offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    async def find_offsets(self, partitions: Iterable[Partition], at_ms: int) -> Offsets:
        """Return the first offset of each partition whose message is not older than a time, else its end."""
        ends = await self.fetch_end_offsets(partitions)
        found = await self._list_offsets(partitions, OffsetSpec.for_timestamp(max(0, at_ms)))
        return {partition: offset if offset >= 0 else ends[partition] for partition, offset in found.items()}

    async def fetch_committed(self, group: str, partitions: Sequence[Partition]) -> Offsets:
        """Return the committed offsets of a group; partitions without one are left out."""
        limit_s = self.get_timeout_s()

        def fetch(consumer: Consumer) -> list[TopicPartition]:
            return consumer.committed(_to_topic_partitions(partitions), timeout=limit_s)

        found = await self._use_consumer(group, fetch)
        return {Partition(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    async def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Set the committed offsets of a group. Raises GroupInUse if it has members."""
        targets = [TopicPartition(*partition, offset) for partition, offset in offsets.items()]

        def commit(consumer: Consumer) -> list[TopicPartition]:
            return consumer.commit(offsets=targets, asynchronous=False)

        for at in await self._use_consumer(group, commit):
            if at.error is not None:
                raise self._to_group_problem(at.error)

    async def _use_consumer(self, group: str, work: Callable[[Consumer], T]) -> T:
        """Call a function with a consumer that names a group without joining it; repeat it after transient errors.

        The admin client crashes when it requests offsets while the coordinator moves (librdkafka issue 5040).
        """
        deadline_s = time.monotonic() + self.get_timeout_s()
        settings = self.build_config(
            group_id=self.full_name(group), enable_auto_commit=False, coordinator_query_interval_ms=COORDINATOR_MS
        )
        while True:
            try:
                return await asyncio.to_thread(_call_with_consumer, settings, work)
            except KafkaException as error:
                await self._wait_for_retry(get_kafka_error(error), deadline_s)

    async def list_groups(self) -> list[str]:
        """Return the names, without the prefix, of the groups that have ever committed."""
        (found,) = (
            await self._request(lambda limit_s: {"": self._admin.list_consumer_groups(request_timeout=limit_s)})
        ).values()
        start = self.full_name("")
        return sorted(each.group_id.removeprefix(start) for each in found.valid if each.group_id.startswith(start))

    async def _list_offsets(self, partitions: Iterable[Partition], spec: OffsetSpec) -> Offsets:
        wanted = {TopicPartition(*partition): spec for partition in partitions}
        if not wanted:
            return {}
        found = await self._request(lambda limit_s: self._admin.list_offsets(wanted, request_timeout=limit_s))
        return {Partition(at.topic, at.partition): answer.offset for at, answer in found.items()}

    async def _request(
        self,
        request: Callable[[float], Mapping[Any, Future[Any]]],
        *,
        ignore: int | None = None,
        timeout_s: float | None = None,
    ) -> dict[Any, Any]:
        """Return the answers of an admin request by key, without those that failed with the `ignore` error.

        Admin requests are idempotent: they are repeated after transient errors, until the timeout.
        """
        deadline_s = time.monotonic() + self.get_timeout_s(timeout_s)
        while True:
            left_s = max(0.001, deadline_s - time.monotonic())
            answers = await self._gather(request(left_s), left_s)
            errors = [e for e in map(_get_error, answers.values()) if e is not None and e.code() != ignore]
            if not errors:
                return {key: answer for key, answer in answers.items() if not isinstance(answer, BaseException)}
            await self._wait_for_retry(errors[0], deadline_s)

    async def _wait_for_retry(self, error: KafkaError, deadline_s: float) -> None:
        """Return when it is time to retry. Raise the problem of an error that is not transient, or at the deadline."""
        if error.code() not in TRANSIENT or time.monotonic() + PAUSE_S > deadline_s:
            raise self._to_group_problem(error)
        await asyncio.sleep(PAUSE_S)

    def _to_group_problem(self, error: KafkaError) -> Problem:
        return GroupInUse() if error.code() in _IN_USE else self.to_problem(error)

    async def _gather(self, futures: Mapping[Any, Future[Any]], limit_s: float) -> dict[Any, Any]:
        # Half a second longer than librdkafka's timeout, whose error has a reason.
        waits = [asyncio.wrap_future(each) for each in futures.values()]
        try:
            async with asyncio.timeout(limit_s + 0.5):
                found = await asyncio.gather(*waits, return_exceptions=True)
        except TimeoutError as error:
            raise EngineUnavailable(engine="kafka", detail=f"Kafka at {self.servers} does not answer.") from error
        return dict(zip(futures, found, strict=True))


def _call_with_consumer(settings: dict[str, Any], work: Callable[[Consumer], T]) -> T:
    consumer = Consumer(settings)
    try:
        return work(consumer)
    finally:
        consumer.close()


def _to_topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]


def _get_error(answer: object) -> KafkaError | None:
    """Return the Kafka error of an answer, if any. Raises any other exception."""
    if not isinstance(answer, BaseException):
        return None
    if isinstance(answer, KafkaException):
        return get_kafka_error(answer)
    raise answer
