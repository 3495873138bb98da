"""The sections of the settings that all processes share, and the container of all sections."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from matinee.kit import url
from matinee.kit.bounds import Bytes, Count, CountOrZero, Milliseconds
from matinee.kit.problem import Problem

Section = TypeVar("Section", bound=msgspec.Struct)
_PUBLIC_URL = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?(?P<path>/[^?#\s]*[^?#\s/])?/?"
)


class BadSettings(Problem, status=422):
    """The settings cannot be used."""


def check_public_url(key: str, value: str, *, is_edge: bool = False) -> None:
    """Check a URL that viewers use. Raises BadSettings."""
    example = f"{key} must be like https://films.example.org:8443, not {value!r}"
    parts = _PUBLIC_URL.fullmatch(value.replace("{edge}", "edge") if is_edge else value)
    if not parts or not 0 < int(parts["port"] or 1) < 65536:
        raise BadSettings(detail=f"{example}.")
    if parts["path"] and not is_edge:
        raise BadSettings(detail=f"{example}: Matinee has to be at the root of a name or port, not below a path.")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """The whole deployment. `data` is the directory of all state; `lan` opens gateway and edges to the network, by TLS.

    `profile`: state in files, or in real engines that `up` starts. `groups`: the targets that share a process; `a,b;c`
    is one process for a and b and one for c. Targets that are not named share one more. `instances`: the number of
    processes of each group.

    `host`: the name or address by which devices reach this machine. `listen`: the address on which gateway and edges
    listen, `0.0.0.0` or `::` for all; empty means all with `lan`, else 127.0.0.1. `public_url`: the URL that viewers
    open where a reverse proxy is in front (`https://films.example.org:8443`); the edges are then below its `/edge/`.
    """

    data: str = "data"
    region: str = "local"
    territory: str = "ZZ"
    lan: bool = False
    host: str = ""
    listen: str = ""
    public_url: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    demo: bool = True
    profile: Literal["embedded", "distributed"] = "embedded"
    instances: Count = 1
    groups: str = ""

    def __post_init__(self) -> None:
        if self.public_url:
            check_public_url("deployment.public_url", self.public_url)
        if self.listen and not _is_address(self.listen):
            raise BadSettings(detail=f"deployment.listen must be an address of this machine, not {self.listen!r}.")

    @property
    def folder(self) -> Path:
        """The data directory, absolute."""
        return Path(self.data)

    @property
    def secrets(self) -> Path:
        """The directory of generated keys."""
        return self.folder / "secrets"


class Mesh(msgspec.Struct, frozen=True, kw_only=True):
    """How services find and call each other. `call_ms` limits a call that has no deadline of its own.

    `registry`: the list of instances: a folder on one machine, a SQL store, `etcd://host:port,…/prefix`, or
    `kubernetes:` for the cluster's endpoints. `schedules`: the SQL store of scheduled work, which runs once per
    deployment. `host`: the address of this machine on which services listen and are called; with `0.0.0.0` (`::`) they
    listen on all addresses and are called on this machine's address in its network. `workers`: how many worker
    processes each process may start for CPU-bound work; 0 means one for each core.
    """

    registry: str = "file://{data}/run/instances"
    schedules: str = "sqlite:///{data}/schedules.db"
    host: str = "127.0.0.1"
    call_ms: Milliseconds = 5000
    force_wire: bool = False
    workers: CountOrZero = 0


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """The cache of pages: the last whole home page of each profile, for when one cannot be composed whole.

    `engine`: `memory://` (each process has its own), `redis://…`, or a ring of Memcached servers
    (`memcached://zone@host:port,zone@host:port,…/name?near=zone`). `call_ms` limits one call to it.
    """

    engine: str = "memory://"
    call_ms: Milliseconds = 50


class Objects(msgspec.Struct, frozen=True, kw_only=True):
    """The object store of sources, segments and artwork: `file:///…` or `s3://KEY:SECRET@bucket/prefix?endpoint=…`."""

    store: str = "file://{data}/objects"

    def __post_init__(self) -> None:
        if url.scheme(self.store) not in {"file", "s3"}:
            raise BadSettings(detail=f"objects.store cannot be {url.mask(self.store)}: use file:///… or s3://….")


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """Traces of requests. `sampling`: the share of requests that are traced, 0 to 1; 0 turns tracing off.

    Requests that fail, or take `slow_ms` or longer, are kept although they are not sampled. `otlp_url`: a collector
    (`http://host:4318`), which receives spans by OTLP/HTTP. Without one they are written to files in `folder`, of at
    most twice `file_bytes` for each process. `honour_sampled`: trace every request whose client asks for it by the
    sampled flag of `traceparent`; for debugging only.
    """

    otlp_url: str = ""
    sampling: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    slow_ms: Milliseconds = 2000
    folder: str = "{data}/traces"
    file_bytes: Bytes = 16 << 20
    honour_sampled: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings: the shared sections, and each domain's own section by its name."""

    deployment: Deployment = Deployment()
    mesh: Mesh = Mesh()
    cache: Cache = Cache()
    objects: Objects = Objects()
    telemetry: Telemetry = Telemetry()
    domains: dict[str, msgspec.Struct] = {}

    @property
    def data(self) -> Path:
        """The data directory, absolute."""
        return self.deployment.folder

    def of(self, kind: type[Section]) -> Section:
        """Return a domain's section by its type."""
        return next(section for section in self.domains.values() if isinstance(section, kind))
