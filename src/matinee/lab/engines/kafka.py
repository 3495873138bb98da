"""Apache Kafka, one node that is broker and controller (KRaft)."""

from __future__ import annotations

from matinee.lab.engines.engine import Engine
from matinee.lab.engines.location import EngineLocation
from matinee.lab.engines.sources import Jars

ANSWER_S = 2.0
# One node has every replica. Few partitions and small indexes and buffers save memory. Short session timeouts, because
# a killed broker can register again only when its session has expired, and a group may drop a member after a second.
_CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{client},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{client}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=2
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=250
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
background.threads=4
"""


def _answers(location: EngineLocation) -> bool:
    from confluent_kafka import KafkaException  # loaded only when Kafka is used
    from confluent_kafka.admin import AdminClient

    quiet = {"log_level": 0, "socket.timeout.ms": int(ANSWER_S * 1000)}
    client = AdminClient({"bootstrap.servers": location.client, **quiet})
    try:
        return bool(client.list_topics(timeout=ANSWER_S).brokers)
    except KafkaException:
        return False


KAFKA = Engine(
    source=Jars(
        name="kafka",
        version="4.4.0",
        # Without the binding slf4j-simple a broker logs nothing.
        coordinates=("org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36"),
        javas=(17, 21, 25),
        heap_mb=320,
    ),
    ports=("client", "controller"),
    files={"server.properties": _CONFIG},
    # The id of the cluster: 16 bytes in base 64. The secret is not used otherwise, because the broker is open.
    install=(
        "java", "kafka.tools.StorageTool", "format", "--cluster-id={secret:.22}", "-c", "{folder}/server.properties",
    ),
    marker="formatted",
    start=("java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.Kafka", "{folder}/server.properties"),
    probe=_answers,
)  # fmt: skip
