"""Apache Cassandra: one node, or a ring on neighbouring loopback addresses."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor

import msgspec

from matinee.lab.engines.engine import LOOPBACK, EngineFailed, EngineLocation
from matinee.lab.engines.jars import Jars

JARS = Jars(
    engine="cassandra",
    version="5.0.9",
    coordinates=("org.apache.cassandra:cassandra-all:5.0.9",),
    javas=(17,),  # it needs the security manager, which Java 24 removed
)
DATACENTRE = "datacenter1"  # of SimpleSnitch
TOKENS = 4
QUERY_S = 3.0
# Buffers and threads for a small heap; a commit log that works on every file system.
_CONFIG = """\
cluster_name: matinee
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
auto_bootstrap: false
num_tokens: {tokens}
initial_token: "{initial}"
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{seeds}"
listen_address: {host}
rpc_address: {host}
storage_port: {storage}
native_transport_port: {client}
{sync}
disk_failure_policy: die
commit_failure_policy: die
commitlog_segment_size: 8MiB
commitlog_disk_access_mode: legacy
memtable_heap_space: 128MiB
file_cache_size: 32MiB
concurrent_reads: 8
concurrent_writes: 8
concurrent_compactors: 1
auto_snapshot: false
data_file_directories: ["{data}/data"]
commitlog_directory: "{data}/commitlog"
hints_directory: "{data}/hints"
saved_caches_directory: "{data}/saved_caches"
cdc_raw_directory: "{data}/cdc_raw"
"""
# A single node syncs before it acknowledges, a node of a ring every ten seconds: the other nodes have the data.
_SYNC = ("commitlog_sync: batch", "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms")
_LOGBACK = """\
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %-5level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
"""
# Internals of Java 17 that Cassandra 5.0 uses.
_EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
)
_OPENS = (
    *(f"java.base/java.{part}" for part in ("io", "lang", "lang.module", "lang.reflect", "net", "nio", "util")),
    *(f"java.base/java.util.{part}" for part in ("concurrent", "concurrent.atomic")),
    *(f"java.base/jdk.internal.{part}" for part in ("loader", "math", "module", "ref", "reflect", "util", "util.jar")),
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
    "jdk.compiler/com.sun.tools.javac",
)
# No other node joins these rings, so starts need not wait for gossip.
_PROPERTIES = {
    "jdk.attach.allowAttachSelf": "true",
    "io.netty.tryReflectionSetAccessible": "true",
    "cassandra.skip_wait_for_gossip_to_settle": "0",
    "cassandra.ring_delay_ms": "2000",
    "cassandra.superuser_setup_delay_ms": "0",
    "cassandra.shutdown_announce_in_ms": "100",
}


class Cassandra(msgspec.Struct, frozen=True, kw_only=True):
    """Cassandra on Java, with jars from Maven: node `node` of a ring of `size`, node n on 127.0.0.(n+1)."""

    node: int = 0
    size: int = 1

    @property
    def name(self) -> str:
        return "cassandra"

    @property
    def ports(self) -> tuple[str, ...]:
        return ("client", "storage", "jmx")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses of all nodes."""
        return tuple(host(node) for node in range(self.size))

    def check(self) -> None:
        JARS.check()

    def prepare(self, location: EngineLocation) -> None:
        (location.folder / "conf").mkdir(exist_ok=True)
        location.data.mkdir(exist_ok=True)
        shutil.rmtree(location.folder / "tmp", ignore_errors=True)  # native libraries unpacked by a killed node
        (location.folder / "tmp").mkdir()
        (location.folder / "conf" / "cassandra.yaml").write_text(self._config(location))
        (location.folder / "conf" / "logback.xml").write_text(_LOGBACK)

    def command(self, location: EngineLocation) -> list[str]:
        conf = location.folder / "conf"
        properties = _PROPERTIES | {
            "java.io.tmpdir": location.folder / "tmp",
            "cassandra.jmx.local.port": location.ports["jmx"],
            "cassandra.storagedir": location.data,
            "cassandra.config": (conf / "cassandra.yaml").as_uri(),
            "logback.configurationFile": conf / "logback.xml",
        }
        return [
            JARS.java(), "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError",
            *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS),
            *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS),
            *(f"-D{key}={value}" for key, value in properties.items()),
            "-cp", f"{conf}:{JARS.classpath}", "org.apache.cassandra.service.CassandraDaemon",
        ]  # fmt: skip

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        with contextlib.suppress(EngineFailed):
            return _count_rows(location, "SELECT peer FROM system.peers_v2", limit_s=QUERY_S) >= self.size - 1
        return False

    def version(self) -> str:
        return JARS.version

    def address(self, location: EngineLocation) -> str:
        return f"cassandra://{','.join(f'{host}:{location.port}' for host in self.hosts)}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        replication = f"{{'class': 'NetworkTopologyStrategy', '{DATACENTRE}': {self.size}}}"
        _count_rows(
            location, f'CREATE KEYSPACE IF NOT EXISTS "{namespace}" WITH replication = {replication}', limit_s=30
        )
        return f"{self.address(location)}/{namespace}?dc={DATACENTRE}"

    def _config(self, location: EngineLocation) -> str:
        seeds = ",".join(f"{host}:{location.ports['storage']}" for host in self.hosts)
        values = {
            "sync": _SYNC[self.size > 1],
            "tokens": TOKENS,
            "initial": _tokens(self.node, self.size),
            "seeds": seeds,
        }
        return _CONFIG.format(host=location.host, data=location.data, **values, **location.ports)


def host(node: int) -> str:
    """Return the address of a node of a ring."""
    return LOOPBACK[: LOOPBACK.rindex(".") + 1] + str(node + 1)


def has_keyspace(location: EngineLocation, keyspace: str) -> bool:
    """Tell whether a node knows a keyspace."""
    statement = f"SELECT * FROM system_schema.keyspaces WHERE keyspace_name = '{keyspace}'"  # noqa: S608  # not user input
    return _count_rows(location, statement, limit_s=QUERY_S) > 0


def _tokens(node: int, size: int) -> str:
    """Return the tokens of a node such that those of all nodes are spread evenly and alternate."""
    distance = 2**64 // (TOKENS * size)
    return ",".join(str(-(2**63) + distance * (turn * size + node)) for turn in range(TOKENS))


def _count_rows(location: EngineLocation, statement: str, *, limit_s: float) -> int:
    """Return the number of rows that this node returns for a query. Raises EngineFailed."""
    # In a thread, because the caller may run in an event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _query(location, statement, limit_s)).result()


async def _query(location: EngineLocation, statement: str, limit_s: float) -> int:
    import acsylla  # loaded only when Cassandra is used
    from acsylla.errors import CassException

    cluster = acsylla.create_cluster(
        [location.host],
        port=location.port,
        whitelist_hosts=location.host,
        connect_timeout=limit_s,
        request_timeout=limit_s,
        log_level="disabled",
    )
    try:
        session = await cluster.create_session()
        try:
            return len(list(await session.query(statement)))
        finally:
            await session.close()
    except CassException as error:
        raise EngineFailed(engine="cassandra", detail=f"cassandra: {error}") from error
