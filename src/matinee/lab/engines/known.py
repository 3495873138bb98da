"""Every engine there is."""

from __future__ import annotations

from matinee.lab.engines.cassandra import Cassandra
from matinee.lab.engines.engine import Engine
from matinee.lab.engines.etcd import Etcd
from matinee.lab.engines.kafka import Kafka
from matinee.lab.engines.kubernetes import Kubernetes
from matinee.lab.engines.mariadb import MariaDB
from matinee.lab.engines.memcached import Memcached
from matinee.lab.engines.redis import Redis
from matinee.lab.engines.s3 import S3

_ALL: tuple[Engine, ...] = (MariaDB(), Redis(), Memcached(), Etcd(), S3(), Kafka(), Cassandra(), Kubernetes())
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ALL}
# Those that take a processor to themselves while they start.
JVMS = ("kafka", "cassandra")
# Those that a deployment on one machine has no use for, and that take long to build: only whoever names them has them.
APART = ("kubernetes",)
