"""All engines."""

from __future__ import annotations

from matinee.lab.engines.cassandra import Cassandra
from matinee.lab.engines.engine import Engine
from matinee.lab.engines.etcd import Etcd
from matinee.lab.engines.kafka import Kafka
from matinee.lab.engines.kubernetes import Kubernetes
from matinee.lab.engines.lines import MEMCACHED, REDIS
from matinee.lab.engines.mariadb import MariaDB
from matinee.lab.engines.s3 import S3

_ALL: tuple[Engine, ...] = (MariaDB(), REDIS, MEMCACHED, Etcd(), S3(), Kafka(), Cassandra(), Kubernetes())
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _ALL}
# These take a whole processor while they start.
JVMS = ("kafka", "cassandra")
# A deployment on one machine does not use these, and they take long to build: they are started only if named.
OPTIONAL = ("kubernetes",)
