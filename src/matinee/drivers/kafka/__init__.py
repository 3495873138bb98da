"""Kafka by confluent-kafka (librdkafka): its synchronous clients, awaited without blocking the event loop."""

from matinee.drivers.kafka.cluster import Cluster, GroupInUse, Offsets, Partition
from matinee.drivers.kafka.group_member import GroupMember
from matinee.drivers.kafka.partition_queue import BatchLimits
from matinee.drivers.kafka.producer import Message, Producer
from matinee.drivers.kafka.reader import FetchedMessage, OffsetRange, Reader

__all__ = [
    "BatchLimits",
    "Cluster",
    "FetchedMessage",
    "GroupInUse",
    "GroupMember",
    "Message",
    "OffsetRange",
    "Offsets",
    "Partition",
    "Producer",
    "Reader",
]
