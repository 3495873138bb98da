"""The registry of a Kubernetes cluster: the endpoints of its Services, which the cluster maintains.

The pods of a Service with the labels `app.kubernetes.io/part-of: matinee` and `app.kubernetes.io/component: SERVICE`
serve that service; the cluster copies both labels to the EndpointSlices. A pod is one instance, however many Services
lead to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar, Final, Self

import msgspec

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.kubernetes import Collection, Kubernetes, ResourceVersionExpired
from matinee.kit.ids import PREFIXES, InstanceId
from matinee.mesh.api import Instance

SERVICE: Final = "app.kubernetes.io/component"
SLICES: Final = Collection(
    group="discovery.k8s.io",
    version="v1",
    resource="endpointslices",
    labels=f"app.kubernetes.io/part-of=matinee,{SERVICE}",
)
# The names of the port to call, where a Service has several, and of the port of an application.
PORT: Final = "mesh"
APP_PORT: Final = "app"
# While a watch is open, `wait_for_change` returns after this time without a change: reading the watched state is free.
_POLL_S: Final = 1.5
# Changes come in groups: a pod is in a slice of every Service that leads to it. One read covers those within this time.
_DEBOUNCE_S: Final = 0.05


class _Conditions(msgspec.Struct, frozen=True):
    ready: bool | None = None
    terminating: bool | None = None


class _Target(msgspec.Struct, frozen=True):
    uid: str = ""


class _Endpoint(msgspec.Struct, frozen=True, rename="camel"):
    addresses: tuple[str, ...]
    conditions: _Conditions = _Conditions()
    target_ref: _Target | None = None

    @property
    def is_listed(self) -> bool:
        """Whether it is ready or terminating. An unknown readiness counts as ready."""
        return self.conditions.ready is not False or self.draining

    @property
    def draining(self) -> bool:
        return bool(self.conditions.terminating)

    @property
    def instance_id(self) -> InstanceId:
        """The id of its pod; an endpoint that was created by hand has none, and is identified by its address."""
        pod = self.target_ref.uid if self.target_ref else ""
        return InstanceId(f"{PREFIXES[InstanceId]}_{pod or self.addresses[0]}")


class _Port(msgspec.Struct, frozen=True):
    name: str | None = None
    port: int | None = None


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    labels: dict[str, str] = {}


class _Slice(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _Metadata
    address_type: str
    endpoints: tuple[_Endpoint, ...] | None = None
    ports: tuple[_Port, ...] | None = None

    def instances(self) -> Iterator[Instance]:
        """Yield an instance for each listed endpoint, with the service of this slice."""
        if not (port := self._find_port()):
            return
        app_port = next((each.port for each in self.ports or () if each.name == APP_PORT), None)
        for endpoint in self.endpoints or ():
            if endpoint.is_listed:
                host = endpoint.addresses[0]
                yield Instance(
                    instance_id=endpoint.instance_id,
                    address=_format_address(host, port),
                    app_address=_format_address(host, app_port) if app_port else "",
                    services=(self.metadata.labels[SERVICE],),
                    draining=endpoint.draining,
                )

    def _find_port(self) -> int:
        ports = sorted(self.ports or (), key=lambda each: each.name != PORT)
        return next((each.port for each in ports if each.port and each.name != APP_PORT), 0)


def _format_address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


_decoder = msgspec.json.Decoder(_Slice)


class KubernetesRegistry:
    """A `Registry` that is only read: the cluster registers and deregisters pods. `close` ends its watch.

    While a watch is open, reads return what it has delivered. Otherwise each read lists the collection.
    """

    uses_engine_clock: ClassVar[bool] = True
    registers_itself: ClassVar[bool] = False

    def __init__(self, kubernetes: Kubernetes) -> None:
        self.engine = kubernetes.engine
        self._kubernetes = kubernetes
        self._slices: dict[str, _Slice] = {}
        self._version = ""
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._watch_problem: EngineUnavailable | None = None

    @classmethod
    async def open(cls, kubernetes: Kubernetes) -> Self:
        """Check a cluster and return its registry. Raises EngineUnavailable, WrongVersion."""
        registry = cls(kubernetes)
        await registry.check()
        return registry

    async def close(self) -> None:
        """End the watch."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def check(self) -> None:
        """Check the cluster, without a request while a watch is open. Raises EngineUnavailable, WrongVersion."""
        if self._watch_open:
            return
        await self._kubernetes.list()
        if self._watch_problem is not None and not self._watch_open:  # listing is allowed, watching is not
            raise self._watch_problem

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        """Do nothing: the cluster lists a pod once its readiness probe (`/readyz`) succeeds."""

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        """Return True: the cluster lists a pod as long as its readiness probe succeeds."""
        return True

    async def drain(self, *, instance_id: InstanceId) -> None:
        """Do nothing: a pod is draining from the moment it is deleted."""

    async def deregister(self, *, instance_id: InstanceId) -> None:
        """Do nothing: the cluster removes a pod that has ended."""

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        if not self._watch_open:
            self._version = ""  # no watch can start until the list has succeeded
            listed = await self._kubernetes.list()
            if not self._watch_open:  # another caller may have opened a watch, which is newer than this list
                found = [_decoder.decode(each) for each in listed.objects]
                self._slices = {each.metadata.name: each for each in found}
                self._version = listed.version
        return _merge(self._slices.values())

    async def wait_for_change(self, *, poll_s: float) -> None:
        if self._version and not self._watch_open:
            self._watching = asyncio.create_task(self._watch(self._version), name="kubernetes-watch")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S if self._watch_open else poll_s):
                await self._changed.wait()
                await asyncio.sleep(_DEBOUNCE_S)
        self._changed.clear()

    @property
    def _watch_open(self) -> bool:
        return self._watching is not None and not self._watching.done()

    async def _watch(self, version: str) -> None:
        try:
            async for change in self._kubernetes.watch(version):
                found = _decoder.decode(change.object)
                self._slices.pop(found.metadata.name, None)
                if change.verb != "DELETED":
                    self._slices[found.metadata.name] = found
                self._changed.set()
        except EngineUnavailable as problem:
            self._watch_problem = problem
        except ResourceVersionExpired:
            self._watch_problem = None
        finally:  # the next read lists again, and its caller logs a failure
            self._changed.set()


def _merge(slices: Iterable[_Slice]) -> tuple[Instance, ...]:
    """Return the instances of all slices by pod. A pod with an IPv4 and an IPv6 address has the IPv4 address."""
    found: dict[InstanceId, Instance] = {}
    for each in sorted(slices, key=lambda each: (each.address_type, each.metadata.name)):
        for instance in each.instances():
            known = found.get(instance.instance_id, instance)
            found[instance.instance_id] = msgspec.structs.replace(
                known,
                app_address=known.app_address or instance.app_address,
                services=tuple(sorted({*known.services, *instance.services})),
                draining=known.draining or instance.draining,
            )
    return tuple(found[instance_id] for instance_id in sorted(found))
