"""Every engine there is."""

from __future__ import annotations

from matinee.app.engines.engine import Engine
from matinee.app.engines.etcd import Etcd
from matinee.app.engines.mariadb import MariaDB
from matinee.app.engines.memcached import Memcached
from matinee.app.engines.redis import Redis
from matinee.app.engines.s3 import S3

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (MariaDB(), Redis(), Memcached(), Etcd(), S3())}
