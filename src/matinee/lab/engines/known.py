"""All engines: those of a few lines, and those with a module of their own."""

from __future__ import annotations

from matinee.lab.engines.cassandra import describe_node
from matinee.lab.engines.engine import Engine, exchange, to_dns_name
from matinee.lab.engines.kafka import KAFKA
from matinee.lab.engines.kubernetes import KUBERNETES
from matinee.lab.engines.location import EngineLocation
from matinee.lab.engines.mariadb import MARIADB
from matinee.lab.engines.opensearch import OPENSEARCH
from matinee.lab.engines.sources import Go, Source

REDIS = Engine(
    source=Source(name="redis", packages={"redis-server": ("redis-server",)}),
    start=(
        "redis-server", "--port", "{client}", "--bind", "{host}", "--dir", "{data}",
        # Every write is on disk before it is acknowledged; no snapshots.
        "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction",
    ),
    probe=exchange(b"PING\r\n", b"+PONG"),
    path="/0?prefix={namespace}",
)  # fmt: skip
MEMCACHED = Engine(
    source=Source(name="memcached", packages={"memcached": ("memcached",)}),
    start=("memcached", "-l", "{host}", "-p", "{client}", "-U", "0", "-m", "64", "-u", "{user}"),
    probe=exchange(b"version\r\n", b"VERSION"),
)
ETCD = Engine(
    source=Source(name="etcd", packages={"etcd-server": ("etcd",)}),
    ports=("client", "peer"),
    start=(
        "etcd", "--name", "one", "--data-dir", "{data}", "--log-level", "warn",
        "--listen-client-urls", "http://{host}:{client}", "--advertise-client-urls", "http://{host}:{client}",
        "--listen-peer-urls", "http://{host}:{peer}", "--initial-advertise-peer-urls", "http://{host}:{peer}",
        "--initial-cluster", "one=http://{host}:{peer}",
    ),
    variables={"ETCD_UNSUPPORTED_ARCH": "arm64"},
    probe=exchange(b"GET /health HTTP/1.1\r\nHost: etcd\r\n\r\n", b"HTTP/1.1 200"),
)  # fmt: skip


def _create_bucket(location: EngineLocation, name: str) -> None:
    (location.data / name.partition("/")[0]).mkdir(exist_ok=True)


# versitygw on plain files, with object versions in another folder.
S3 = Engine(
    source=Go(
        name="s3",
        program="versitygw",
        version="v1.8.0",
        arguments=("install", "github.com/versity/versitygw/cmd/versitygw@v1.8.0"),
        duration="about two minutes",
    ),
    folders=("versions", "iam"),
    start=(
        "versitygw", "--port", "{host}:{client}", "--iam-dir", "{folder}/iam", "--quiet",
        "posix", "--versioning-dir", "{folder}/versions", "{data}",
    ),
    variables={"ROOT_ACCESS_KEY": "matinee", "ROOT_SECRET_KEY": "{secret}"},
    # It refuses a request without a signature.
    probe=exchange(b"GET / HTTP/1.1\r\nHost: s3\r\n\r\n", b"HTTP/1.1 403"),
    base_url="s3://matinee:{secret}@{namespace}?endpoint=http://{host}:{client}",
    path="",
    normalize=to_dns_name,
    create=_create_bucket,
)  # fmt: skip
_ALL = (MARIADB, REDIS, MEMCACHED, ETCD, S3, KAFKA, describe_node(), OPENSEARCH, KUBERNETES)
ENGINES = {engine.name: engine for engine in _ALL}
# A deployment on one machine does not use these, and they take long to build: they are started only if named.
OPTIONAL = ("kubernetes",)
