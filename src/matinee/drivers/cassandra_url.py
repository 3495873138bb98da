"""URLs of Cassandra.

A URL is `cassandra://[user:password@]host:port[,host:port…]/keyspace[?dc=…&replication=…]`. All hosts share one port.
`dc` is the local data centre (by default that of the first host that answers); `replication` is used to create a
missing keyspace: `3`, or `eu:3,us:3` (by default 1).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

PORT: Final = 9042
# A host, or an IPv6 address in brackets, and its port.
_HOST: Final = re.compile(r"([^:\[\]]+|\[[0-9a-f:]+\])(?::(\d+))?")
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")


class CassandraUrl(NamedTuple):
    """The parts of a URL. `copies` is the replication."""

    hosts: list[str]
    port: int
    keyspace: str
    user: str
    password: str
    centre: str
    copies: str

    @classmethod
    def parse(cls, url: str) -> CassandraUrl:
        """Parse a URL. Raises ValueError for one without a keyspace, or with hosts of several ports."""
        parts = urlsplit(url)
        credentials, _, netloc = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        pairs = [_HOST.fullmatch(host) for host in netloc.split(",")]
        ports = {int(pair[2] or 0) for pair in pairs if pair} - {0} or {PORT}
        keyspace = parts.path.strip("/")
        if None in pairs or len(ports) != 1 or not _KEYSPACE.fullmatch(keyspace):
            raise ValueError(
                "cassandra://host:port,host:port/keyspace: one port for all hosts, and a keyspace of lower-case"
                " letters, digits and underscores that begins with a letter."
            )
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return cls(
            hosts=[pair[1].strip("[]") for pair in pairs if pair],
            port=ports.pop(),
            keyspace=keyspace,
            user=unquote(user),
            password=unquote(password),
            centre=options.get("dc", ""),
            copies=options.get("replication", "1"),
        )

    def replication(self, here: str) -> dict[str, int]:
        """Return the number of copies by data centre; `here` is the default."""
        parts = [part.rpartition(":") for part in self.copies.split(",")]
        return {centre or self.centre or here: int(count) for centre, _, count in parts}
