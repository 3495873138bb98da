"""The registry of a Kubernetes cluster: the endpoints of its Services, which the cluster itself keeps.

A Service with the labels `app.kubernetes.io/part-of: matinee` and `app.kubernetes.io/component: <service>` says that
its pods serve that service; the cluster copies both labels to its EndpointSlices. A pod is one instance, whatever the
number of Services that lead to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar, Final, Self

import msgspec

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.kubernetes import Collection, Kubernetes, Outdated
from matinee.kit.ids import PREFIXES, InstanceId
from matinee.mesh.api import Instance

SERVICE: Final = "app.kubernetes.io/component"
SLICES: Final = Collection(
    group="discovery.k8s.io",
    version="v1",
    resource="endpointslices",
    labels=f"app.kubernetes.io/part-of=matinee,{SERVICE}",
)
# Of several ports of a Service, the one that is called.
PORT: Final = "mesh"
# So often who follows looks at what the watch has brought: it costs nothing, and the list may have aged meanwhile.
_LOOK_S: Final = 1.5
# After a change others often follow at once: a pod stands in a slice of every Service that leads to it.
_TOGETHER_S: Final = 0.05


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
    def is_there(self) -> bool:
        """Ready, which is also what not to know means, or about to end."""
        return self.conditions.ready is not False or self.draining

    @property
    def draining(self) -> bool:
        return bool(self.conditions.terminating)

    @property
    def instance_id(self) -> InstanceId:
        """That of its pod; what was entered by hand has none, and goes by its address."""
        pod = self.target_ref.uid if self.target_ref is not None else ""
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
        """One for each endpoint that is there, as far as this slice knows it."""
        if not (port := self._port()):
            return
        for endpoint in self.endpoints or ():
            if endpoint.is_there:
                host = endpoint.addresses[0]
                yield Instance(
                    instance_id=endpoint.instance_id,
                    address=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
                    services=(self.metadata.labels[SERVICE],),
                    draining=endpoint.draining,
                )

    def _port(self) -> int:
        ports = self.ports or ()
        named = [one for one in ports if one.name == PORT]
        return next((one.port for one in (*named, *ports) if one.port), 0)


_decoder = msgspec.json.Decoder(_Slice)


class KubernetesRegistry:
    """Fulfils `Registry` for whoever reads it: to enter and to leave are the cluster's. `close` ends its watch.

    While a watch stands the list is what it has brought, and nobody is asked; without one every look is a question.
    """

    uses_engine_clock: ClassVar[bool] = True
    registers_itself: ClassVar[bool] = False

    def __init__(self, kubernetes: Kubernetes) -> None:
        self.engine = kubernetes.engine
        self._kubernetes = kubernetes
        self._slices: dict[str, _Slice] = {}
        self._version = ""
        self._moved = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._trouble: EngineUnavailable | None = None

    @classmethod
    async def open(cls, kubernetes: Kubernetes) -> Self:
        """The registry of a cluster that answers. Raises EngineUnavailable, WrongVersion."""
        registry = cls(kubernetes)
        await registry.check()
        return registry

    async def close(self) -> None:
        """End the watch."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def check(self) -> None:
        """Raises EngineUnavailable, WrongVersion. While a watch stands nobody is asked: a cluster has many processes."""
        if self._stands:
            return
        await self._kubernetes.list()
        if self._trouble is not None and not self._stands:  # it lists, and lets nobody watch
            raise self._trouble

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        """Nothing: a pod is entered when its readiness probe, on `/readyz`, is answered."""

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        """Nothing, which always holds: a pod stays for as long as its readiness probe is answered."""
        return True

    async def drain(self, *, instance_id: InstanceId) -> None:
        """Nothing: a pod drains from the moment that it is deleted."""

    async def deregister(self, *, instance_id: InstanceId) -> None:
        """Nothing: a pod is taken out when it has ended."""

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        if not self._stands:
            self._version = ""  # no watch before there is a list that it goes on from
            listed = await self._kubernetes.list()
            if not self._stands:  # else what it has brought meanwhile is newer
                found = [_decoder.decode(each) for each in listed.objects]
                self._slices = {each.metadata.name: each for each in found}
                self._version = listed.version
        return _merged(self._slices.values())

    async def wait_for_change(self, *, poll_s: float) -> None:
        if self._version and not self._stands:
            self._watching = asyncio.create_task(self._watch(self._version), name="kubernetes-watch")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S if self._stands else poll_s):
                await self._moved.wait()
                await asyncio.sleep(_TOGETHER_S)
        self._moved.clear()

    @property
    def _stands(self) -> bool:
        return self._watching is not None and not self._watching.done()

    async def _watch(self, version: str) -> None:
        try:
            async for change in self._kubernetes.watch(version):
                found = _decoder.decode(change.object)
                self._slices.pop(found.metadata.name, None)
                if change.verb != "DELETED":
                    self._slices[found.metadata.name] = found
                self._moved.set()
        except EngineUnavailable as trouble:
            self._trouble = trouble
        except Outdated:
            self._trouble = None
        finally:  # who looks next lists anew, and says so in the log where that fails
            self._moved.set()


def _merged(slices: Iterable[_Slice]) -> tuple[Instance, ...]:
    """The instances of all slices, by pod: where one has several addresses, that of the older protocol."""
    found: dict[InstanceId, Instance] = {}
    for one in sorted(slices, key=lambda each: (each.address_type, each.metadata.name)):
        for instance in one.instances():
            known = found.get(instance.instance_id, instance)
            found[instance.instance_id] = msgspec.structs.replace(
                known,
                services=tuple(sorted({*known.services, *instance.services})),
                draining=known.draining or instance.draining,
            )
    return tuple(found[instance_id] for instance_id in sorted(found))
