"""The Kubernetes API, the little of it that is needed here: a collection of a namespace, listed and watched.

Its client libraries are larger than the rest of a service, and know hundreds of objects that nobody here asks for.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from matinee.drivers.engine import EngineUnavailable, WrongVersion
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient, Response, ResponseEnded, UnexpectedStatus

# Where a pod finds who it is, and which authority signed the API server's certificate.
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# One question, with its repetitions.
_LIMIT_S: Final = 3.0
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.1
# The server ends a watch after so long; one that is silent for longer than that, and this, has lost its road.
_WATCH_S: Final = 30
_BEYOND_S: Final = 5.0
_LONGEST_BYTES: Final = 4 << 20  # an object comes on one line
_AGAIN: Final = {429, 500, 502, 503, 504}


class Outdated(Exception):
    """What happened since that version is no longer kept: list anew."""


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """Which objects: a resource of an API group, those with these labels (a selector: `key=value,…`)."""

    group: str
    version: str
    resource: str
    labels: str


class Listed(NamedTuple):
    """All objects, and the version of the collection that a watch goes on from."""

    version: str
    objects: list[msgspec.Raw]


class Change(NamedTuple):
    """What became of an object, and the object as it is, or last was."""

    verb: Literal["ADDED", "MODIFIED", "DELETED"]
    object: msgspec.Raw


class _Metadata(msgspec.Struct, frozen=True):
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata


class _List(msgspec.Struct, frozen=True):
    metadata: _Metadata
    items: list[msgspec.Raw]


class _Event(msgspec.Struct, frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    code: int = 0


class Kubernetes:
    """One collection of a namespace. Use as `async with Kubernetes(url, what) as kubernetes:`.

    `kubernetes:` is the cluster and namespace this process runs in, `kubernetes:///namespace` another one there;
    elsewhere it is `kubernetes://host:port/namespace?ca=FILE&token=FILE`. The token is read again for every question,
    because it is replaced all the time. Every method raises EngineUnavailable where nobody answers in time, or lets us in;
    making one raises ValueError where the URL leads nowhere.
    """

    def __init__(self, url: str, what: Collection, *, account: Path = SERVICE_ACCOUNT, watch_s: int = _WATCH_S) -> None:
        self._place = _Place.of(url, account)
        self._what, self._watch_s = what, watch_s
        self.engine = f"kubernetes at {self._place.host}"

    async def __aenter__(self) -> Kubernetes:
        try:
            trusted = self._place.authority.read_text() if self._place.authority else ""
            self._http = await HttpClient(ca_pem=trusted).__aenter__()
        except (OSError, ValueError) as error:
            raise self._away(f"its authority's certificate cannot be used: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def list(self) -> Listed:
        """Every object there is now. Raises WrongVersion where the server does not know the resource."""
        end = time.monotonic() + _LIMIT_S
        why = ""
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(_PAUSE_S * attempt)
            if (left_s := end - time.monotonic()) <= 0:
                break
            try:
                answer = await self._http.request("GET", self._url({}), headers=self._headers(), timeout_s=left_s)
                if answer.status not in _AGAIN:
                    return self._read(answer)
                why = f"HTTP {answer.status}: {_words(answer)}"
            except (ConnectionBroken, ConnectFailed) as error:
                why = str(error)
            except TimeoutError:
                why = ""
        raise self._away(why)

    async def watch(self, version: str) -> AsyncIterator[Change]:
        """Every change since a version, for ever. Raises Outdated, EngineUnavailable: then one has to list anew."""
        while True:
            try:
                async for line in self._lines(version):
                    event = msgspec.json.decode(line, type=_Event)
                    if event.type == "ERROR":
                        raise self._ended(msgspec.json.decode(event.object, type=_Status))
                    version = msgspec.json.decode(event.object, type=_Object).metadata.resource_version
                    if event.type != "BOOKMARK":
                        yield Change(event.type, event.object)
            except UnexpectedStatus as refused:
                hint = f". {self._missing_role()}" if refused.status == 403 else ""
                raise self._away(f"it refuses to be watched: {refused}{hint}") from refused
            except ResponseEnded:  # as watches do; it goes on where it was
                await asyncio.sleep(_PAUSE_S)
            except (ConnectFailed, ConnectionBroken, TimeoutError, msgspec.DecodeError) as error:
                raise self._away(f"its watch broke: {error}") from error

    def _lines(self, version: str) -> AsyncIterator[bytes]:
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(self._watch_s)}
        return self._http.stream_lines(
            self._url({**query, "allowWatchBookmarks": "true"}),
            method="GET",
            headers=self._headers(),
            timeout_s=_LIMIT_S,
            idle_timeout_s=self._watch_s + _BEYOND_S,
            max_line_bytes=_LONGEST_BYTES,
        )

    def _read(self, answer: Response) -> Listed:
        match answer.status:
            case 200:
                try:
                    found = msgspec.json.decode(answer.body, type=_List)
                except msgspec.DecodeError as error:
                    raise self._away(f"what it answers is no list: {error}") from error
                return Listed(found.metadata.resource_version, found.items)
            case 401:
                raise self._away(f"it does not take the token in {self._place.token}")
            case 403:
                raise self._away(f"{_words(answer)}. {self._missing_role()}")
            case 404:
                detail = f"{self.engine} does not know {self._resource}: it is no Kubernetes, or too old a one."
                raise WrongVersion(engine=self.engine, detail=detail)
        raise self._away(f"HTTP {answer.status}: {_words(answer)}")

    def _missing_role(self) -> str:
        return (
            f"The service account needs a Role in {self._place.namespace} with the verbs get, list and watch on "
            f"{self._resource}, and a RoleBinding to it: see the how-to on Kubernetes"
        )

    def _ended(self, status: _Status) -> Exception:
        return Outdated(status.message) if status.code == 410 else self._away(f"its watch ended: {status.message}")

    def _away(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            engine=self.engine, detail=f"{self.engine}: {why}" if why else f"{self.engine} does not answer"
        )

    @property
    def _resource(self) -> str:
        return f"{self._what.resource}.{self._what.group}"

    def _url(self, query: Mapping[str, str]) -> str:
        what = self._what
        path = f"/apis/{what.group}/{what.version}/namespaces/{self._place.namespace}/{what.resource}"
        return f"https://{self._place.host}{path}?{urlencode({'labelSelector': what.labels, **query})}"

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json", "user-agent": "matinee"}
        if self._place.token:
            try:
                headers["authorization"] = f"Bearer {self._place.token.read_text().strip()}"
            except (OSError, ValueError) as error:
                raise self._away(f"its token cannot be read: {error}") from error
        return headers


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an API server is (`host:port`), and what opens it."""

    host: str
    namespace: str
    authority: Path | None
    token: Path | None

    @classmethod
    def of(cls, url: str, account: Path) -> _Place:
        parts = urlsplit(url)
        namespace = parts.path.strip("/")
        if not parts.netloc:
            return cls._own(namespace, account)
        said = {key: Path(values[0]) for key, values in parse_qs(parts.query).items()}
        return cls(
            host=parts.netloc, namespace=namespace or "default", authority=said.get("ca"), token=said.get("token")
        )

    @classmethod
    def _own(cls, namespace: str, account: Path) -> _Place:
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (account / "namespace").exists():
            lack = "KUBERNETES_SERVICE_HOST is not set" if not host else f"{account}/namespace is not there"
            raise ValueError(
                f"this process is in no Kubernetes cluster, or has no service account ({lack}): "
                "elsewhere, name an API server by kubernetes://host:port/namespace?ca=FILE&token=FILE"
            )
        return cls(
            host=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            namespace=namespace or (account / "namespace").read_text().strip(),
            authority=account / "ca.crt",
            token=account / "token",
        )


def _words(answer: Response) -> str:
    """What a refusal says."""
    try:
        return msgspec.json.decode(answer.body, type=_Status).message
    except msgspec.DecodeError:
        return answer.body[:100].decode(errors="replace")
