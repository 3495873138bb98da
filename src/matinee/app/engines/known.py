"""Every engine there is."""

from __future__ import annotations

from matinee.app.engines.cassandra import Cassandra
from matinee.app.engines.engine import Engine
from matinee.app.engines.etcd import Etcd
from matinee.app.engines.kafka import Kafka
from matinee.app.engines.kubernetes import Kubernetes
from matinee.app.engines.mariadb import MariaDB
from matinee.app.engines.memcached import Memcached
from matinee.app.engines.redis import Redis
from matinee.app.engines.s3 import S3

_ALL: tuple[Engine, ...] = (MariaDB(), Redis(), Memcached(), Etcd(), S3(), Kafka(), Cassandra(), Kubernetes())
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ALL}
# Those that take a processor to themselves while they start.
JVMS = ("kafka", "cassandra")
# Those that a house on one machine has no use for, and that take long to build: only whoever names them has them.
APART = ("kubernetes",)
