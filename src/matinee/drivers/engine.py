"""The health of an engine, and the problems that every client of an engine raises."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias
from urllib.parse import parse_qs, urlsplit

import msgspec

from matinee.kit import url as urls
from matinee.kit.problem import Problem
from matinee.kit.tracing import Operation

EngineHealth: TypeAlias = Literal[
    "ok", "slow", "unavailable", "read-only", "full", "empty", "wrong-version", "schema-ahead"
]


class EngineUnavailable(Problem, status=503):
    """An engine does not answer."""

    engine: str
    retry_after_ms: int = 1000


class EngineReadOnly(Problem, status=503):
    """An engine takes no writes."""

    engine: str
    retry_after_ms: int = 1000


class StoreFull(Problem, status=507):
    """The disk that holds this store is full."""


class WrongVersion(Problem, status=500):
    """An engine is of a version that Matinee does not work with."""

    engine: str


class SchemaAhead(Problem, status=500):
    """A store was written by a newer Matinee than this one."""

    store: str


class StoreEmpty(Problem, status=503):
    """A store has lost its tables: its engine came back without its data."""

    store: str
    retry_after_ms: int = 5000


_HEALTH: Final[Mapping[type[Problem], EngineHealth]] = {
    EngineUnavailable: "unavailable",
    EngineReadOnly: "read-only",
    StoreFull: "full",
    StoreEmpty: "empty",
    WrongVersion: "wrong-version",
    SchemaAhead: "schema-ahead",
}
# For an `except` of every problem of an engine.
ENGINE_PROBLEMS: Final = tuple(_HEALTH)
_NAMES: Final = {"mysql": "mariadb", "file": "disk"}


class EngineClient(Protocol):
    """A client that can check its engine."""

    @property
    def engine(self) -> str:
        """The engine's kind and location, as `describe_engine` returns them: `mariadb at 127.0.0.1:3306`."""

    async def check(self) -> None:
        """Make a cheap request that fails where the engine is not usable. Raises one of `ENGINE_PROBLEMS`."""


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """The health of an engine since a time. Without a `needed` one requests fail; without others they are slower."""

    engine: str
    state: EngineHealth
    since: datetime
    detail: str = ""
    used_for: tuple[str, ...] = ()
    needed: bool = True


@functools.cache
def to_operation(engine: str, name: str) -> Operation:
    """Describe a call of an engine (as `describe_engine` names it) in a trace."""
    system, _, location = engine.partition(" at ")
    attributes = {"db.system.name": system, "db.operation.name": name, "server.address": location}
    return Operation(f"{system} {name}", "client", attributes)


def to_health(problem: Problem) -> EngineHealth:
    """Return the health that a problem reports. Raises KeyError for a problem that is not one of `ENGINE_PROBLEMS`."""
    return _HEALTH[type(problem)]


def describe_engine(url: str) -> str:
    """Describe an engine by its URL, without the password: `sqlite at data/identity.db`."""
    parts = urlsplit(urls.mask(url))
    engine = urls.scheme(url)
    host = parts.netloc.rpartition("@")[2]
    if engine == "memcached":  # several `zone@host:port`
        host = ",".join(node.rpartition("@")[2] for node in parts.netloc.split(","))
    if engine == "s3":
        host = urlsplit(parse_qs(parts.query).get("endpoint", [f"s3://{host}"])[0]).netloc
    location = host or (parts.path.removeprefix("/") if engine == "sqlite" else parts.path)
    return f"{_NAMES.get(engine, engine)} at {location}" if location else engine
