"""Apache Kafka, one node that is broker and controller (KRaft)."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid

from matinee.lab.engines.engine import EngineFailed, EngineLocation
from matinee.lab.engines.jars import Jars

# slf4j-simple is the binding without which a broker says nothing at all.
JARS = Jars(
    engine="kafka",
    version="4.4.0",
    coordinates=("org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36"),
    javas=(17, 21, 25),
)
ASK_S = 2.0
# One node holds every replica. Few partitions and small indexes and buffers, because each costs memory here. A broker
# that was killed may come back when its session is over; a group may call a member dead after a second.
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
    """Kafka on Java, its jars from Maven. Acknowledged means in the log; nobody may speak to it but this machine."""

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
        shutil.rmtree(location.data, ignore_errors=True)  # half formatted, when a first start was cut off
        _run(*_java(64), "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(config))
        marker.touch()

    def command(self, location: EngineLocation) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [*_java(320), quiet, "kafka.Kafka", str(location.folder / "server.properties")]

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        from confluent_kafka import KafkaException  # only who runs Kafka pays for loading its client
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
    """A random id in Kafka's own form, which may not look like an option."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineFailed(engine="kafka", detail=f"kafka: {(done.stderr or done.stdout).strip()[-600:]}")
