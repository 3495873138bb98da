"""Apache Kafka, one node that is broker and controller (KRaft)."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid

from matinee.lab.engines.engine import EngineFailed, EngineLocation
from matinee.lab.engines.jars import Jars

# Without the binding slf4j-simple a broker logs nothing.
JARS = Jars(
    engine="kafka",
    version="4.4.0",
    coordinates=("org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36"),
    javas=(17, 21, 25),
)
ASK_S = 2.0
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


class Kafka:
    """Kafka on Java, with jars from Maven, open to this machine only."""

    name = "kafka"
    ports = ("client", "controller")

    def check(self) -> None:
        JARS.check()

    def prepare(self, location: EngineLocation) -> None:
        config = location.folder / "server.properties"
        config.write_text(_CONFIG.format(host=location.host, data=location.data, **location.ports))
        marker = location.folder / "formatted"
        if marker.exists():
            return
        shutil.rmtree(location.data, ignore_errors=True)  # left by an interrupted first start
        _run(*_java(64), "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(config))
        marker.touch()

    def command(self, location: EngineLocation) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [*_java(320), quiet, "kafka.Kafka", str(location.folder / "server.properties")]

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        from confluent_kafka import KafkaException  # loaded only when Kafka is used
        from confluent_kafka.admin import AdminClient

        quiet = {"log_level": 0, "socket.timeout.ms": int(ASK_S * 1000)}
        client = AdminClient({"bootstrap.servers": location.client, **quiet})
        try:
            return bool(client.list_topics(timeout=ASK_S).brokers)
        except KafkaException:
            return False

    def version(self) -> str:
        return JARS.version

    def address(self, location: EngineLocation) -> str:
        return f"kafka://{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        return f"{self.address(location)}/{namespace}"


def _java(heap_mb: int) -> list[str]:
    heap = [f"-Xms{heap_mb // 2}m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
    return [JARS.java(), *heap, "-XX:+ExitOnOutOfMemoryError", "-cp", JARS.classpath]


def _cluster_id() -> str:
    """Return a random id in the format of Kafka that does not look like an option."""
    while (cluster_id := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return cluster_id


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise EngineFailed(engine="kafka", detail=f"kafka: {(result.stderr or result.stdout).strip()[-600:]}")
