"""Kafka's troubles in the words of `drivers.engine`."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException

from matinee.drivers.engine import EngineReadOnly, EngineUnavailable, StoreFull, WrongVersion
from matinee.kit.problem import Problem, TooLarge

MESSAGE_LIMIT_BYTES: Final = 1_000_000
# A leader that is just being chosen, metadata that is on its way: ask again.
SOON: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_CONTROLLER,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError._NOENT,  # "no leaders found"
    }
)
_NO_WRITES: Final = {
    KafkaError.NOT_ENOUGH_REPLICAS: "too few replicas are in step to take a write safely",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "too few replicas are in step to take a write safely",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user may not do that to the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "this user may not do that in the cluster",
    KafkaError.POLICY_VIOLATION: "a policy of the cluster forbids it",
}
_TOO_LARGE: Final = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
_TOO_OLD: Final = {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE}


def error_of(error: KafkaException) -> KafkaError:
    """The KafkaError inside an exception of the library."""
    inside = error.args[0] if error.args else None
    return inside if isinstance(inside, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def problem(error: KafkaError, where: str) -> Problem:
    """What an error means to whoever asked; `where` is `host:port` of the brokers."""
    code = error.code()
    if code in _NO_WRITES:
        return EngineReadOnly(engine="kafka", detail=f"Kafka at {where} takes no writes: {_NO_WRITES[code]}.")
    if code in _TOO_LARGE:
        return TooLarge(limit_bytes=MESSAGE_LIMIT_BYTES)
    if code == KafkaError.KAFKA_STORAGE_ERROR:
        return StoreFull(
            detail=f"Kafka at {where} cannot write to its disk: free some room there, then start it again."
        )
    if code in _TOO_OLD:
        return WrongVersion(engine="kafka", detail=f"Kafka at {where} is too old: Matinee works with 2.4 and newer.")
    return EngineUnavailable(engine="kafka", detail=f"Kafka at {where} does not answer: {error.str()}")
