"""A Kafka cluster: its address, its topics, where they begin and end, and how far groups have come."""

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
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # its stubs forget

from matinee.drivers.engine import EngineUnavailable, describe_engine
from matinee.drivers.kafka.trouble import SOON, error_of, problem
from matinee.kit import context
from matinee.kit.problem import Problem

T = TypeVar("T")
ASK_S: Final = 5.0
PAUSE_S: Final = 0.1
# A broker that hangs is given up this soon, whatever is asked of it; librdkafka's own minute holds up whoever leaves.
SOCKET_MS: Final = 5000
# How long a commit waits for a group's coordinator; librdkafka's own ten minutes would hold up whoever leaves.
COORDINATOR_MS: Final = 2000
# What may be said after the `?` of a URL: how to speak to the brokers, not how to use them.
ALLOWED: Final = ("security.", "sasl.", "ssl.", "client.", "broker.address.")
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
    """How many partitions a topic has, and what tells it from a later one of the same name."""

    partitions: int
    identity: str


Offsets: TypeAlias = dict[Partition, int]


class GroupInUse(Problem, status=409):
    """A group has members, who alone may say how far it has come."""


class Cluster:
    """The brokers behind `kafka://[user:password@]host:port[,host:port…]/prefix[?security.protocol=…]`.

    Topics and groups are named `<prefix>.<name>`. Every call ends within `ask_s`, or the context's deadline; it raises
    the problems of `drivers.engine`.
    """

    def __init__(self, place: str, *, ask_s: float = ASK_S) -> None:
        parts = urlsplit(place)
        credentials, _, self.servers = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        self.prefix = parts.path.strip("/")
        self.engine = describe_engine(place)
        self._ask_s = ask_s
        self._said = {key: value for key, value in parse_qsl(parts.query) if key.startswith(ALLOWED)}
        if user:
            self._said |= {"sasl.username": unquote(user), "sasl.password": unquote(password)}
        self._admin = AdminClient(self.settings())

    def settings(self, **more: Any) -> dict[str, Any]:
        """A librdkafka configuration; a keyword's `_` stands for `.`. It is quiet: what matters is raised."""
        return {
            "bootstrap.servers": self.servers,
            "log_level": 1,
            "socket.keepalive.enable": True,
            "socket.timeout.ms": SOCKET_MS,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            **self._said,
            **{key.replace("_", "."): value for key, value in more.items()},
        }

    def name(self, name: str) -> str:
        """The full name of a topic or a group."""
        return f"{self.prefix}.{name}" if self.prefix else name

    def problem(self, error: KafkaError) -> Problem:
        """What an error means to whoever asked."""
        return problem(error, self.servers)

    def limit_s(self, at_most_s: float | None = None) -> float:
        """How long a call may take."""
        remaining_ms = context.current().remaining_ms()
        limit_s = self._ask_s if at_most_s is None else at_most_s
        return limit_s if remaining_ms is None else max(0.001, min(limit_s, remaining_ms / 1000))

    async def create(self, topics: Iterable[str], *, partitions: int, replication: int, **config: str) -> None:
        """Make topics; one that is there already stays as it is."""
        news = [
            NewTopic(
                topic,
                num_partitions=partitions,
                replication_factor=replication,
                config={key.replace("_", "."): value for key, value in config.items()},
            )
            for topic in sorted(topics)
        ]
        if news:
            await self._asked(
                lambda limit_s: self._admin.create_topics(news, request_timeout=limit_s),
                fine=KafkaError.TOPIC_ALREADY_EXISTS,
            )

    async def topics(self, topics: Iterable[str], *, all_of_them: bool = False) -> dict[str, Topic]:
        """Topics by their names; one that is not there is left out, or, with `all_of_them`, waited for."""
        names = sorted(set(topics))
        found = await self._asked(
            lambda limit_s: self._admin.describe_topics(TopicCollection(names), request_timeout=limit_s),
            fine=None if all_of_them else KafkaError.UNKNOWN_TOPIC_OR_PART,
        )
        return {name: Topic(len(said.partitions), str(said.topic_id)) for name, said in found.items()}

    async def begins(self, partitions: Iterable[Partition]) -> Offsets:
        """The first offset that each partition still has."""
        return await self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    async def ends(self, partitions: Iterable[Partition]) -> Offsets:
        """The offset after the last message of each partition."""
        return await self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    async def since(self, partitions: Iterable[Partition], at_ms: int) -> Offsets:
        """The first offset of each partition whose message is not older than a time; its end where none is."""
        ends = await self.ends(partitions)
        found = await self._offsets(partitions, OffsetSpec.for_timestamp(max(0, at_ms)))
        return {partition: offset if offset >= 0 else ends[partition] for partition, offset in found.items()}

    async def committed(self, group: str, partitions: Sequence[Partition]) -> Offsets:
        """How far a group has come in some partitions; those in which it never committed are left out."""
        limit_s = self.limit_s()

        def ask(consumer: Consumer) -> list[TopicPartition]:
            return consumer.committed(_places(partitions), timeout=limit_s)

        found = await self._as_member(group, ask)
        return {Partition(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    async def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Set how far a group has come. Raises GroupInUse where it has members."""
        places = [TopicPartition(*partition, offset) for partition, offset in offsets.items()]

        def say(consumer: Consumer) -> list[TopicPartition]:
            return consumer.commit(offsets=places, asynchronous=False)

        for at in await self._as_member(group, say):
            if at.error is not None:
                raise self._refusal(at.error)

    async def _as_member(self, group: str, work: Callable[[Consumer], T]) -> T:
        """Do something with a consumer that names a group and does not join it, again where it must wait a little.

        Not by the admin client: asked for offsets while the coordinator moves, librdkafka dies (its issue 5040).
        """
        end_s = time.monotonic() + self.limit_s()
        settings = self.settings(
            group_id=self.name(group), enable_auto_commit=False, coordinator_query_interval_ms=COORDINATOR_MS
        )
        while True:
            try:
                return await asyncio.to_thread(_with_consumer, settings, work)
            except KafkaException as error:
                await self._again(error_of(error), end_s)

    async def groups(self) -> list[str]:
        """The groups under this prefix that ever committed, by their names without it."""
        (found,) = (
            await self._asked(lambda limit_s: {"": self._admin.list_consumer_groups(request_timeout=limit_s)})
        ).values()
        start = self.name("")
        return sorted(one.group_id.removeprefix(start) for one in found.valid if one.group_id.startswith(start))

    async def _offsets(self, partitions: Iterable[Partition], which: OffsetSpec) -> Offsets:
        wanted = {TopicPartition(*partition): which for partition in partitions}
        if not wanted:
            return {}
        found = await self._asked(lambda limit_s: self._admin.list_offsets(wanted, request_timeout=limit_s))
        return {Partition(at.topic, at.partition): answer.offset for at, answer in found.items()}

    async def _asked(
        self, ask: Callable[[float], Mapping[Any, Future[Any]]], *, fine: int | None = None
    ) -> dict[Any, Any]:
        """The answers of an admin request by their keys, without those that failed in the one `fine` way.

        Every such request may be repeated: it is, until the limit, where a leader is just being chosen.
        """
        end_s = time.monotonic() + self.limit_s()
        while True:
            left_s = max(0.001, end_s - time.monotonic())
            answers = await self._answers(ask(left_s), left_s)
            errors = [e for e in map(_failure, answers.values()) if e is not None and e.code() != fine]
            if not errors:
                return {key: answer for key, answer in answers.items() if not isinstance(answer, BaseException)}
            await self._again(errors[0], end_s)

    async def _again(self, error: KafkaError, end_s: float) -> None:
        """Return when it is time to try again; raise what it means where that is no use, or too late."""
        if error.code() not in SOON or time.monotonic() + PAUSE_S > end_s:
            raise self._refusal(error)
        await asyncio.sleep(PAUSE_S)

    def _refusal(self, error: KafkaError) -> Problem:
        return GroupInUse() if error.code() in _IN_USE else self.problem(error)

    async def _answers(self, asked: Mapping[Any, Future[Any]], limit_s: float) -> dict[Any, Any]:
        # Half a second more than librdkafka has: its own answer says why.
        waits = [asyncio.wrap_future(each) for each in asked.values()]
        try:
            async with asyncio.timeout(limit_s + 0.5):
                found = await asyncio.gather(*waits, return_exceptions=True)
        except TimeoutError as error:
            raise EngineUnavailable(engine="kafka", detail=f"Kafka at {self.servers} does not answer.") from error
        return dict(zip(asked, found, strict=True))


def _with_consumer(settings: dict[str, Any], work: Callable[[Consumer], T]) -> T:
    consumer = Consumer(settings)
    try:
        return work(consumer)
    finally:
        consumer.close()


def _places(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]


def _failure(answer: object) -> KafkaError | None:
    """The error of an answer. Raises what is none of Kafka's."""
    if not isinstance(answer, BaseException):
        return None
    if isinstance(answer, KafkaException):
        return error_of(answer)
    raise answer
