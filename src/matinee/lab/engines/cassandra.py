"""Apache Cassandra: one node, or a ring on neighbouring loopback addresses."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor

from matinee.lab.engines.engine import Engine
from matinee.lab.engines.location import EngineFailed, EngineLocation, is_free
from matinee.lab.engines.sources import Jars

DATACENTRE = "datacenter1"  # of SimpleSnitch
QUERY_S = 3.0
_JARS = Jars(
    name="cassandra",
    version="5.0.9",
    coordinates=("org.apache.cassandra:cassandra-all:5.0.9",),
    javas=(17,),  # it needs the security manager, which Java 24 removed
    heap_mb=512,
)
# Buffers and threads for a small heap; a commit log that works on every file system.
_CONFIG = """\
cluster_name: matinee
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
auto_bootstrap: false
num_tokens: 4
initial_token: "{tokens}"
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{seeds}"
listen_address: {{host}}
rpc_address: {{host}}
storage_port: {{storage}}
native_transport_port: {{client}}
commitlog_sync: {sync}
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
data_file_directories: ["{{data}}/data"]
commitlog_directory: "{{data}}/commitlog"
hints_directory: "{{data}}/hints"
saved_caches_directory: "{{data}}/saved_caches"
cdc_raw_directory: "{{data}}/cdc_raw"
"""
_LOGBACK = """\
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{{ISO8601}} %-5level %logger{{20}} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
"""
# Internals of Java 17 that Cassandra 5.0 uses.
_EXPORTS = """
java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch java.sql/java.sql jdk.unsupported/sun.misc
java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server
"""
_OPENS = """
java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.net
java.base/java.nio java.base/java.util java.base/java.util.concurrent java.base/java.util.concurrent.atomic
java.base/jdk.internal.loader java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.ref
java.base/jdk.internal.reflect java.base/jdk.internal.util java.base/jdk.internal.util.jar java.base/sun.nio.ch
jdk.management/com.sun.management.internal jdk.compiler/com.sun.tools.javac
"""
# No other node joins these rings, so starts need not wait for gossip. A thread reads the clock for all others: by
# default every 2 ms, which is most of an idle node's time. A start measures the memory of a row: by default with
# 100,000 rows, which is a third of its time.
_PROPERTIES = """
jdk.attach.allowAttachSelf=true
io.netty.tryReflectionSetAccessible=true
cassandra.skip_wait_for_gossip_to_settle=0
cassandra.ring_delay_ms=2000
cassandra.superuser_setup_delay_ms=0
cassandra.shutdown_announce_in_ms=100
cassandra.approximate_time_precision_ms=20
cassandra.memtable_row_overhead_computation_step=1000
cassandra.jmx.local.port={jmx}
cassandra.storagedir={data}
cassandra.config=file://{folder}/cassandra.yaml
logback.configurationFile={folder}/logback.xml
java.io.tmpdir={folder}/tmp
"""


def describe_node(node: int = 0, size: int = 1) -> Engine:
    """Return a node of a ring of `size`; node n is on 127.0.0.(n+1)."""
    hosts = list_hosts(size)
    config = _CONFIG.format(
        tokens=",".join(map(str, _list_tokens(node, size))),
        seeds=",".join(f"{host}:{{storage}}" for host in hosts),
        # A single node syncs before it acknowledges; in a ring the other nodes have the data.
        sync="batch" if size == 1 else "periodic\ncommitlog_sync_period: 10000ms",
    )
    return Engine(
        source=_JARS,
        ports=("client", "storage", "jmx"),
        files={"cassandra.yaml": config, "logback.xml": _LOGBACK},
        start=(
            "java",
            *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS.split()),
            *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS.split()),
            *(f"-D{line}" for line in _PROPERTIES.split()),
            "org.apache.cassandra.service.CassandraDaemon",
        ),
        probe=functools.partial(_has_peers, count=size - 1),
        base_url="cassandra://" + ",".join(f"{host}:{{client}}" for host in hosts),
        path=f"/{{namespace}}?dc={DATACENTRE}",
        create=functools.partial(_create_keyspace, replicas=size),
    )


def list_hosts(size: int) -> tuple[str, ...]:
    """Return the addresses of the nodes of a ring."""
    return tuple(f"127.0.0.{number}" for number in range(1, size + 1))


def has_keyspace(location: EngineLocation, keyspace: str) -> bool:
    """Tell whether a node knows a keyspace."""
    statement = f"SELECT * FROM system_schema.keyspaces WHERE keyspace_name = '{keyspace}'"  # noqa: S608  # not user input
    return _count_rows(location, statement) > 0


def _list_tokens(node: int, size: int, count: int = 4) -> list[int]:
    """Return the tokens of a node such that those of all nodes are spread evenly and alternate."""
    distance = 2**64 // (count * size)
    return [-(2**63) + distance * (turn * size + node) for turn in range(count)]


def _has_peers(location: EngineLocation, *, count: int) -> bool:
    if is_free(location.host, location.port):  # spare a driver, which takes much longer to find this out
        return False
    with contextlib.suppress(EngineFailed):
        return _count_rows(location, "SELECT peer FROM system.peers_v2") >= count
    return False


def _create_keyspace(location: EngineLocation, keyspace: str, *, replicas: int) -> None:
    replication = f"{{'class': 'NetworkTopologyStrategy', '{DATACENTRE}': {replicas}}}"
    _count_rows(location, f'CREATE KEYSPACE IF NOT EXISTS "{keyspace}" WITH replication = {replication}', limit_s=30)


def _count_rows(location: EngineLocation, statement: str, *, limit_s: float = QUERY_S) -> int:
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
