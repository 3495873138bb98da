"""Every setting: its name, default, unit and meaning. Read from `matinee.toml`, then `MATINEE__SECTION__KEY`.

Engines are URLs; `{data}` in a value stands for the data directory. An unknown key is an error that names the
nearest known one. Beneath all that is said lies `deployment.toml` in the data directory: what an earlier start settled.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_type_hints

import msgspec

from matinee.kit import url
from matinee.kit.problem import Problem

Source: TypeAlias = Literal["default", "deployment", "file", "environment", "command line"]
PREFIX = "MATINEE__"
STORED_FILE = "deployment.toml"
# Names that earlier versions used: they are read, never written.
_EARLIER_SETTLED = "house.toml"
_EARLIER_SECTIONS = {"house": "deployment"}


class BadSettings(Problem, status=422):
    """The settings cannot be used."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment as a whole. `data` holds all state; `lan` opens gateway and edges to the network, under TLS.

    `profile`: where state lives, in files or in real engines that `up` starts beside it. `groups`: which targets share
    a process; `a,b;c` is one process for a and b and one for c. `instances`: how many processes of each group.
    """

    data: str = "data"
    region: str = "local"
    territory: str = "ZZ"
    lan: bool = False
    host: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    demo: bool = True
    profile: Literal["embedded", "distributed"] = "embedded"
    instances: int = 1
    groups: str = "gateway,playback,viewing,steering,catalogue,identity,licensing,events;encoding"


class Mesh(msgspec.Struct, frozen=True, kw_only=True):
    """How services find and call each other. `call_ms` limits one call that has no deadline of its own.

    `registry`: who serves what: a SQL store, `etcd://host:port,…/prefix`, or `kubernetes:` for the cluster's endpoints.
    `host`: the address of this machine that services listen at and are called at; with `0.0.0.0` (`::`) they listen at
    all of them, and are called at the one that this machine has on its network.
    """

    registry: str = "sqlite:///{data}/registry.db"
    host: str = "127.0.0.1"
    call_ms: int = 5000
    force_wire: bool = False


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """The log of facts: `sqlite:///…`, or `kafka://[user:password@]host:port[,host:port…]/prefix`.

    On Kafka each fact's topic is made with so many `partitions` and replicas (`replication`), where it is not there;
    facts are kept for `retention_days`, 0 meaning for ever.
    """

    log: str = "sqlite:///{data}/events.db"
    partitions: int = 6
    replication: int = 1
    retention_days: int = 0


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts and tokens; times in seconds.

    `sessions`: where sign-ins and their devices are kept, `throttle`: where wrong tries are counted; empty is `store`.
    """

    store: str = "sqlite:///{data}/identity.db"
    sessions: str = ""
    throttle: str = ""
    access_token_s: int = 600
    refresh_token_s: int = 60 * 86_400


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Titles. `read_model`: `memory://`, or `cassandra://…`, where they are kept too; `cache.engine` is above both."""

    store: str = "sqlite:///{data}/catalogue.db"
    read_model: str = "memory://"


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """What instances share of what they have read. Without it they are slower, and nothing else.

    `engine`: `memory://`, where each has only its own; `redis://…`; or a ring of Memcached
    (`memcached://zone@host:port,zone@host:port,…/name?near=zone`). `call_ms`: how long it may take to answer.
    """

    engine: str = "memory://"
    call_ms: int = 50


class Licensing(msgspec.Struct, frozen=True, kw_only=True):
    """Content keys."""

    store: str = "sqlite:///{data}/licensing.db"


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """Encoding. `processes` 0 means one for each core; `preset` is x264's."""

    store: str = "sqlite:///{data}/encoding.db"
    work: str = "{data}/work"
    processes: int = 0
    preset: str = "veryfast"


class Viewing(msgspec.Struct, frozen=True, kw_only=True):
    """Positions and history."""

    store: str = "sqlite:///{data}/viewing.db"


class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """The edges."""

    store: str = "sqlite:///{data}/steering.db"


class Playback(msgspec.Struct, frozen=True, kw_only=True):
    """Play sessions. `link_s`: how long a signed URL is good; `start_ms`: the deadline of pressing play.

    `start_bandwidth_bps`: what a player begins with on a network that nobody was heard from.
    """

    store: str = "sqlite:///{data}/playback.db"
    link_s: int = 6 * 3600
    session_s: int = 12 * 3600
    idle_s: int = 600
    heartbeat_ms: int = 30_000
    start_ms: int = 2000
    start_bandwidth_bps: int = 3_000_000


class Objects(msgspec.Struct, frozen=True, kw_only=True):
    """Where sources, segments and artwork are kept: `file:///…` or `s3://KEY:SECRET@bucket/prefix?endpoint=…`."""

    store: str = "file://{data}/objects"


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """The edges that `up` starts: `count` of them on `port`, `port` + 1, …; `workers` processes each.

    `data_plane`: what moves the bytes, our own reactor, or nginx in front of it.
    """

    count: int = 2
    port: int = 8090
    workers: int = 1
    data_plane: Literal["reactor", "nginx"] = "reactor"
    cache: str = "{data}/edge"
    cache_limit_bytes: int = 20 << 30


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """The front door. `port` is Envoy's; `web` the built web client.

    `uploads`: where uploads wait: a folder, or, for gateways on several machines, a place below `objects.store` in S3.
    """

    port: int = 8080
    trust_port: int = 8081
    web: str = "web/dist"
    uploads: str = "{data}/uploads"
    upload_limit_bytes: int = 200 << 30
    requests_per_minute: int = 1200
    sign_ins_per_minute: int = 30


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings."""

    deployment: Deployment = Deployment()
    mesh: Mesh = Mesh()
    events: Events = Events()
    identity: Identity = Identity()
    catalogue: Catalogue = Catalogue()
    cache: Cache = Cache()
    licensing: Licensing = Licensing()
    encoding: Encoding = Encoding()
    viewing: Viewing = Viewing()
    steering: Steering = Steering()
    playback: Playback = Playback()
    objects: Objects = Objects()
    edge: Edge = Edge()
    gateway: Gateway = Gateway()

    @property
    def data(self) -> Path:
        """The data directory, absolute."""
        return Path(self.deployment.data)

    @property
    def secrets(self) -> Path:
        """Where keys made on the spot are kept."""
        return self.data / "secrets"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as `matinee config show` prints it."""

    key: str
    value: Any
    default: Any
    source: Source


def load(
    file: Path | None, environment: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read the settings. Raises BadSettings naming the key, what is wrong with it and where it was said."""
    return _build(_merged(file, os.environ if environment is None else environment, overrides or {}))


def show(
    file: Path | None, environment: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> list[Shown]:
    """Every setting with its value, default and source; passwords in URLs are hidden."""
    said = _merged(file, os.environ if environment is None else environment, overrides or {})
    settings, defaults = flatten(_build(said)), flatten(Settings())
    return [
        Shown(
            key=key,
            value=url.mask(value) if isinstance(value, str) and "://" in value else value,
            default=defaults[key],
            source=said[key][1] if key in said else "default",
        )
        for key, value in settings.items()
    ]


def replace_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other values for some keys."""
    return _build({key: (value, "deployment") for key, value in {**flatten(settings), **values}.items()})


def default_keys(settings: Settings) -> set[str]:
    """The keys whose value is the default one of this data directory."""
    defaults = flatten(_build({"deployment.data": (settings.deployment.data, "default")}))
    return {key for key, value in flatten(settings).items() if value == defaults[key]}


def read_stored(data: Path) -> dict[str, Any]:
    """What an earlier start of the deployment in a data directory has settled, by key."""
    file = data / STORED_FILE
    stored = _file_values(file if file.exists() else data / _EARLIER_SETTLED)
    return {_current(key): value for key, value in stored}


def store_values(data: Path, values: Mapping[str, Any]) -> None:
    """Settle values for every later command on a data directory. They may hold passwords: only we may read them."""
    sections: dict[str, list[str]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(f"{name} = {msgspec.json.encode(value).decode()}\n")
    text = "\n".join(f"[{section}]\n{''.join(lines)}" for section, lines in sections.items())
    fresh = data / f"{STORED_FILE}.new"
    fresh.touch(mode=0o600)
    fresh.write_text(
        f"# Settled by the first start of this deployment; whatever is said elsewhere comes before it.\n{text}"
    )
    fresh.replace(data / STORED_FILE)


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as environment variables: what a supervised process is started with."""
    return {
        PREFIX + key.replace(".", "__").upper(): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in flatten(settings).items()
    }


def _merged(
    file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any]
) -> dict[str, tuple[Any, Source]]:
    said: dict[str, tuple[Any, Source]] = {}
    known = set(flatten(Settings()))
    for key, value in _file_values(file):
        said[_known(key, known, f"in {file}")] = (value, "file")
    for name, text in environment.items():
        if name.upper().startswith(PREFIX):
            key = name[len(PREFIX) :].lower().replace("__", ".")
            said[_known(key, known, f"in the environment variable {name}")] = (text, "environment")
    for key, value in overrides.items():
        said[_known(key, known, "on the command line")] = (value, "command line")
    data = _data(said)
    before: dict[str, tuple[Any, Source]] = {
        _known(key, known, f"in {data / STORED_FILE}"): (value, "deployment")
        for key, value in read_stored(data).items()
    }
    return before | said


def _data(said: Mapping[str, tuple[Any, Source]]) -> Path:
    return Path(str(said.get("deployment.data", (Deployment().data, "default"))[0])).expanduser().absolute()


def _file_values(file: Path | None) -> Iterator[tuple[str, Any]]:
    if file is None or not file.exists():
        return
    try:
        document = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(detail=f"{file} is not TOML: {error}") from error
    for section, values in document.items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            yield f"{section}.{key}".rstrip("."), value


def _current(key: str) -> str:
    """Return the name that a key has today."""
    section, dot, name = key.partition(".")
    return _EARLIER_SECTIONS.get(section, section) + dot + name


def _known(key: str, known: set[str], where: str) -> str:
    key = _current(key)
    if key in known:
        return key
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    raise BadSettings(
        detail=f"There is no setting {key!r} ({where})." + (f" Did you mean {near[0]!r}?" if near else "")
    )


def _build(said: Mapping[str, tuple[Any, Source]]) -> Settings:
    sections: dict[str, dict[str, Any]] = {}
    for key, (value, _) in said.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = _converted(key, value)
    data = _data(said)
    sections.setdefault("deployment", {})["data"] = str(data)
    parts = {
        name: _placed(msgspec.convert(sections.get(name, {}), kind), data)
        for name, kind in get_type_hints(Settings).items()
    }
    return Settings(**parts)


def _converted(key: str, value: Any) -> Any:
    section, _, name = key.partition(".")
    kind = get_type_hints(get_type_hints(Settings)[section])[name]
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadSettings(detail=f"The setting {key!r} cannot be {value!r}: {error}") from error


def _placed(section: msgspec.Struct, data: Path) -> Any:
    values = msgspec.structs.asdict(section)
    return msgspec.structs.replace(
        section, **{k: v.replace("{data}", str(data)) for k, v in values.items() if isinstance(v, str)}
    )


def flatten(settings: Settings) -> dict[str, Any]:
    """Every setting's value by its key, `section.name`."""
    return {
        f"{section}.{name}": value
        for section, values in msgspec.structs.asdict(settings).items()
        for name, value in msgspec.structs.asdict(values).items()
    }
