"""A client of the Kubernetes API that lists and watches a collection of a namespace (ADR 18: why not a library)."""

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

# Where a pod finds its token, its namespace and the API server's certificate authority.
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# For a list with its retries.
_TIMEOUT_S: Final = 3.0
_ATTEMPTS: Final = 3
_BACKOFF_S: Final = 0.1
_RETRYABLE: Final = {429, 500, 502, 503, 504}
# The server ends a watch after this time. A watch that is silent for longer, by the grace, has lost its connection.
_WATCH_S: Final = 30
_WATCH_GRACE_S: Final = 5.0
_MAX_LINE_BYTES: Final = 4 << 20  # each event is one line with the whole object


class ResourceVersionExpired(Exception):
    """The server no longer keeps the changes since this version: list again."""


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A resource of an API group, and the label selector of its objects."""

    group: str
    version: str
    resource: str
    labels: str


class ObjectList(NamedTuple):
    """The objects of a collection, and the version from which a watch continues."""

    version: str
    objects: list[msgspec.Raw]


class Change(NamedTuple):
    """A change of an object. `object` is its new state, or its last one if it was deleted."""

    verb: Literal["ADDED", "MODIFIED", "DELETED"]
    object: msgspec.Raw


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata


class _List(_Object, frozen=True):
    items: list[msgspec.Raw]


class _Event(msgspec.Struct, frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    code: int = 0


class Kubernetes:
    """A collection of a namespace. Use as `async with Kubernetes(url, collection) as kubernetes:`.

    `kubernetes:` is the cluster and namespace of this pod, and `kubernetes:///namespace` another namespace of it.
    Elsewhere the URL is `kubernetes://host:port/namespace?ca=FILE&token=FILE`. Every request reads the token file,
    because the cluster replaces tokens. Methods raise EngineUnavailable if the server does not answer in time or
    refuses access; the constructor raises ValueError if `kubernetes:` is used outside a cluster.
    """

    def __init__(
        self, url: str, collection: Collection, *, account: Path = SERVICE_ACCOUNT, watch_s: int = _WATCH_S
    ) -> None:
        self._cluster = _Cluster.parse(url, account)
        self._collection, self._watch_s = collection, watch_s
        self.engine = f"kubernetes at {self._cluster.host}"

    async def __aenter__(self) -> Kubernetes:
        try:
            ca_pem = self._cluster.ca_file.read_text() if self._cluster.ca_file else ""
            self._http = await HttpClient(ca_pem=ca_pem).__aenter__()
        except (OSError, ValueError) as error:
            raise self._unavailable(f"the certificate of its authority cannot be used: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def list(self) -> ObjectList:
        """List the objects. Raises WrongVersion if the server does not know the resource."""
        deadline = time.monotonic() + _TIMEOUT_S
        reason = ""
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(_BACKOFF_S * attempt)
            if (left_s := deadline - time.monotonic()) <= 0:
                break
            try:
                response = await self._http.request(
                    "GET", self._build_url({}), headers=self._build_headers(), timeout_s=left_s
                )
                if response.status not in _RETRYABLE:
                    return self._parse(response)
                reason = f"HTTP {response.status}: {_read_message(response)}"
            except (ConnectionBroken, ConnectFailed) as error:
                reason = str(error)
            except TimeoutError:
                reason = ""
        raise self._unavailable(reason)

    async def watch(self, version: str) -> AsyncIterator[Change]:
        """Yield the changes since a version. Ends by ResourceVersionExpired or EngineUnavailable: then list again."""
        while True:
            try:
                async for line in self._stream(version):
                    event = msgspec.json.decode(line, type=_Event)
                    if event.type == "ERROR":
                        status = msgspec.json.decode(event.object, type=_Status)
                        if status.code == 410:
                            raise ResourceVersionExpired(status.message)
                        raise self._unavailable(f"the watch ended: {status.message}")
                    version = msgspec.json.decode(event.object, type=_Object).metadata.resource_version
                    if event.type != "BOOKMARK":
                        yield Change(event.type, event.object)
            except UnexpectedStatus as error:
                hint = f". {self._missing_role()}" if error.status == 403 else ""
                raise self._unavailable(f"it refuses the watch: {error}{hint}") from error
            except ResponseEnded:  # after `watch_s`: continue from the last version
                await asyncio.sleep(_BACKOFF_S)
            except (ConnectFailed, ConnectionBroken, TimeoutError, msgspec.DecodeError) as error:
                raise self._unavailable(f"the watch failed: {error}") from error

    def _stream(self, version: str) -> AsyncIterator[bytes]:
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(self._watch_s)}
        return self._http.stream_lines(
            self._build_url({**query, "allowWatchBookmarks": "true"}),
            method="GET",
            headers=self._build_headers(),
            timeout_s=_TIMEOUT_S,
            idle_timeout_s=self._watch_s + _WATCH_GRACE_S,
            max_line_bytes=_MAX_LINE_BYTES,
        )

    def _parse(self, response: Response) -> ObjectList:
        match response.status:
            case 200:
                try:
                    found = msgspec.json.decode(response.body, type=_List)
                except msgspec.DecodeError as error:
                    raise self._unavailable(f"its response is not a list: {error}") from error
                return ObjectList(found.metadata.resource_version, found.items)
            case 401:
                raise self._unavailable(f"it refuses the token in {self._cluster.token_file}")
            case 403:
                raise self._unavailable(f"{_read_message(response)}. {self._missing_role()}")
            case 404:
                reason = f"it does not know {self._collection.resource}: it is too old, or not a Kubernetes"
                raise WrongVersion(engine=self.engine, detail=f"{self.engine}: {reason}.")
        raise self._unavailable(f"HTTP {response.status}: {_read_message(response)}")

    def _missing_role(self) -> str:
        resource = f"{self._collection.resource}.{self._collection.group}"
        return (
            f"The service account needs a Role in {self._cluster.namespace} with the verbs get, list and watch on "
            f"{resource}, and a RoleBinding to it: see the how-to on Kubernetes"
        )

    def _unavailable(self, reason: str) -> EngineUnavailable:
        detail = f"{self.engine}: {reason}" if reason else f"{self.engine} does not answer"
        return EngineUnavailable(engine=self.engine, detail=detail)

    def _build_url(self, query: Mapping[str, str]) -> str:
        wanted = self._collection
        path = f"/apis/{wanted.group}/{wanted.version}/namespaces/{self._cluster.namespace}/{wanted.resource}"
        return f"https://{self._cluster.host}{path}?{urlencode({'labelSelector': wanted.labels, **query})}"

    def _build_headers(self) -> dict[str, str]:
        headers = {"accept": "application/json", "user-agent": "matinee"}
        if self._cluster.token_file:
            try:
                headers["authorization"] = f"Bearer {self._cluster.token_file.read_text().strip()}"
            except (OSError, ValueError) as error:
                raise self._unavailable(f"its token cannot be read: {error}") from error
        return headers


class _Cluster(NamedTuple):
    """The `host:port` of an API server, a namespace, and the files that give access to it."""

    host: str
    namespace: str
    ca_file: Path | None
    token_file: Path | None

    @classmethod
    def parse(cls, url: str, account: Path) -> _Cluster:
        parts = urlsplit(url)
        namespace = parts.path.strip("/")
        if parts.netloc:
            files = {key: Path(values[0]) for key, values in parse_qs(parts.query).items()}
            return cls(parts.netloc, namespace or "default", files.get("ca"), files.get("token"))
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (account / "namespace").exists():
            reason = f"{account}/namespace does not exist" if host else "KUBERNETES_SERVICE_HOST is not set"
            raise ValueError(
                f"this process is not in a Kubernetes cluster, or has no service account ({reason}): "
                "elsewhere, use kubernetes://host:port/namespace?ca=FILE&token=FILE"
            )
        namespace = namespace or (account / "namespace").read_text().strip()
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return cls(address, namespace, account / "ca.crt", account / "token")


def _read_message(response: Response) -> str:
    try:
        return msgspec.json.decode(response.body, type=_Status).message
    except msgspec.DecodeError:
        return response.body[:100].decode(errors="replace")
