"""Kafka's errors as the problems of `drivers.engine`."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException

from matinee.drivers.engine import EngineReadOnly, EngineUnavailable, StoreFull, WrongVersion
from matinee.kit.problem import Problem, TooLarge

MESSAGE_LIMIT_BYTES: Final = 1_000_000
# Errors that pass by themselves, such as a leader election or metadata that is not yet loaded: the call is repeated.
TRANSIENT: Final = frozenset(
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
_READ_ONLY: Final = {
    KafkaError.NOT_ENOUGH_REPLICAS: "too few replicas are in sync for a safe write",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "too few replicas are in sync for a safe write",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user may not write to the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "this user may not write to the cluster",
    KafkaError.POLICY_VIOLATION: "a policy of the cluster forbids the write",
}
_TOO_LARGE: Final = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
_TOO_OLD: Final = {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE}


def get_kafka_error(error: KafkaException) -> KafkaError:
    """Return the KafkaError inside an exception of the library."""
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def to_problem(error: KafkaError, servers: str) -> Problem:
    """Return the problem for an error; `servers` are the brokers' `host:port`."""
    code = error.code()
    if code in _READ_ONLY:
        return EngineReadOnly(engine="kafka", detail=f"Kafka at {servers} refuses writes: {_READ_ONLY[code]}.")
    if code in _TOO_LARGE:
        return TooLarge(limit_bytes=MESSAGE_LIMIT_BYTES)
    if code == KafkaError.KAFKA_STORAGE_ERROR:
        return StoreFull(detail=f"Kafka at {servers} cannot write to its disk: free some space, then restart it.")
    if code in _TOO_OLD:
        return WrongVersion(engine="kafka", detail=f"Kafka at {servers} is too old: Matinee needs 2.4 or newer.")
    return EngineUnavailable(engine="kafka", detail=f"Kafka at {servers} does not answer: {error.str()}")
