"""Kafka by confluent-kafka (librdkafka): its plain clients, each waited for without blocking the event loop."""

from matinee.drivers.kafka.cluster import Cluster, GroupInUse, Offsets, Partition
from matinee.drivers.kafka.group import Group
from matinee.drivers.kafka.producer import Message, Producer
from matinee.drivers.kafka.reader import Fetched, Reader, Span

__all__ = ["Cluster", "Fetched", "Group", "GroupInUse", "Message", "Offsets", "Partition", "Producer", "Reader", "Span"]
