"""What every engine can be in instead of well, in the same words whichever engine it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias
from urllib.parse import parse_qs, urlsplit

import msgspec

from matinee.kit import url
from matinee.kit.problem import Problem

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
# What an `except` needs to catch every trouble of an engine.
ENGINE_PROBLEMS: Final = tuple(_HEALTH)
_NAMES: Final = {"mysql": "mariadb", "file": "disk"}


class EngineClient(Protocol):
    """A client that can say how its engine is. `engine` is its name for a person: `mariadb at 127.0.0.1:3306`."""

    @property
    def engine(self) -> str:
        """The engine and where it is, without a password; `describe_engine` makes it of a URL."""

    async def check(self) -> None:
        """Ask the engine something cheap that it could not answer if it were not well. Raises one of `ENGINE_PROBLEMS`."""


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine is, and since when. Without a `needed` one some answers are wrong or refused; else only slower."""

    engine: str
    state: EngineHealth
    since: datetime
    detail: str = ""
    used_for: tuple[str, ...] = ()
    needed: bool = True


def to_health(trouble: Problem) -> EngineHealth:
    """What a trouble says of its engine. Raises KeyError for a problem that is not one of `ENGINE_PROBLEMS`."""
    return _HEALTH[type(trouble)]


def describe_engine(place: str) -> str:
    """The engine behind a URL as a person knows it: `mariadb at 127.0.0.1:3306`, `sqlite at data/identity.db`."""
    parts = urlsplit(url.mask(place))
    engine = url.scheme(place)
    host = parts.netloc.rpartition("@")[2]
    if engine == "memcached":  # `zone@host:port`, several of them
        host = ",".join(each.rpartition("@")[2] for each in parts.netloc.split(","))
    if engine == "s3":
        host = urlsplit(parse_qs(parts.query).get("endpoint", [f"s3://{host}"])[0]).netloc
    where = host or (parts.path.removeprefix("/") if engine == "sqlite" else parts.path)
    return f"{_NAMES.get(engine, engine)} at {where}" if where else engine
