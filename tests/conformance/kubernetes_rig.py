"""What a bare API server lacks: somebody who writes its objects. A test is its controllers, and its administrator."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from matinee.drivers.http import HttpClient
from matinee.kit.ids import InstanceId
from matinee.mesh.adapters.kubernetes import SERVICE, KubernetesRegistry
from matinee.mesh.api import Instance

SLICES = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
APPLY = {"content-type": "application/apply-patch+yaml"}


class Api:
    """One namespace of an API server, as its administrator. `url` is the settings' own."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.namespace = parts.path.strip("/")
        self._root = f"https://{parts.netloc}"
        self._bearer = f"Bearer {Path(self.query['token']).read_text()}"
        self._trusted = Path(self.query["ca"]).read_text()

    async def __aenter__(self) -> Api:
        self._http = await HttpClient(ca_pem=self._trusted).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The object it answers with to a question that it must like; `{namespace}` stands for ours."""
        return msgspec.json.decode(await self.words(path, method, body, **headers))

    async def words(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> str:
        """What it answers to a question that it must like; a body that is text is sent as it is."""
        url = self._root + path.replace("{namespace}", self.namespace)
        said = {"authorization": self._bearer, "content-type": "application/json"} | headers
        data = b"" if body is None else body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        answer = await self._http.request(method, url, body=data, headers=said, timeout_s=30)
        assert answer.status in (200, 201, 202), f"{method} {path}: {answer.status} {answer.body!r}"
        return answer.body.decode()

    async def put_slice(self, one: dict[str, Any]) -> None:
        """Make a slice, or make it this."""
        path = f"{SLICES}/{one['metadata']['name']}?{urlencode({'fieldManager': 'test', 'force': 'true'})}"
        await self.ask("PATCH", path, one, **APPLY)

    async def slices(self, labels: str = "") -> list[dict[str, Any]]:
        """The slices with these labels."""
        found: list[dict[str, Any]] = (await self.ask("GET", f"{SLICES}?{urlencode({'labelSelector': labels})}"))[
            "items"
        ]
        return found

    async def drop_slice(self, name: str) -> None:
        """Take a slice out."""
        await self.ask("DELETE", f"{SLICES}/{name}")

    async def account(self, name: str, *verbs: str) -> None:
        """A service account whose Role has these verbs on endpoint slices."""
        await self.ask("POST", "/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
        await self.ask("POST", f"{RBAC}/roles", {"metadata": {"name": name}})
        await self.ask("POST", f"{RBAC}/rolebindings", binding)
        await self.allow(name, *verbs)

    async def allow(self, name: str, *verbs: str) -> None:
        """Let a service account do this with endpoint slices."""
        rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs}
        role = {"metadata": {"name": name}, "rules": [rule] if verbs else []}
        await self.ask("PUT", f"{RBAC}/roles/{name}", role)

    async def token(self, name: str) -> str:
        """A new token of a service account."""
        path = f"/api/v1/namespaces/{{namespace}}/serviceaccounts/{name}/token"
        token: str = (await self.ask("POST", path, {"spec": {"expirationSeconds": 600}}))["status"]["token"]
        return token


class Controller:
    """Enters, drains and takes out pods as a cluster does, each in a slice of its own for every Service."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        pod = _pod(instance.instance_id)
        wanted = [slice_of(service, pod, instance.address, draining=instance.draining) for service in instance.services]
        names = {one["metadata"]["name"] for one in wanted}
        for one in wanted:
            await self._api.put_slice(one)
        for left in await self._slices(pod):
            if left["metadata"]["name"] not in names:
                await self._api.drop_slice(left["metadata"]["name"])

    async def drain(self, *, instance_id: InstanceId) -> None:
        for one in await self._slices(_pod(instance_id)):
            conditions = {"ready": False, "serving": True, "terminating": True}
            kept = {key: one[key] for key in ("addressType", "ports")}
            kept |= {"endpoints": [{**each, "conditions": conditions} for each in one["endpoints"]]}
            await self._api.put_slice({**_HEAD, "metadata": _metadata(one), **kept})

    async def deregister(self, *, instance_id: InstanceId) -> None:
        for one in await self._slices(_pod(instance_id)):
            await self._api.drop_slice(one["metadata"]["name"])

    async def _slices(self, pod: str) -> list[dict[str, Any]]:
        return await self._api.slices(f"pod={pod}")


class Governed(KubernetesRegistry):
    """A registry, and the controller of its cluster."""

    controller: Controller


_HEAD = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}


def _metadata(one: dict[str, Any]) -> dict[str, Any]:
    return {key: one["metadata"][key] for key in ("name", "labels")}


def _pod(instance_id: InstanceId) -> str:
    return instance_id.removeprefix("ins_")


def endpoint(pod: str, *addresses: str, **conditions: bool) -> dict[str, Any]:
    """A pod's entry in a slice."""
    target = {"kind": "Pod", "name": f"pod-{pod}", "uid": pod}
    return {"addresses": addresses, "conditions": conditions, "targetRef": target}


def slice_of(service: str, pod: str, address: str, *, draining: bool = False) -> dict[str, Any]:
    """A slice of a Service with one pod."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    conditions = {"ready": not draining, "serving": True, "terminating": draining}
    return {
        **_HEAD,
        "metadata": {"name": f"{service}-{pod}", "labels": {**labels(service), "pod": pod}},
        "addressType": f"IPv{ipaddress.ip_address(host).version}",
        "ports": [{"name": "mesh", "port": parts.port}],
        "endpoints": [endpoint(pod, host, **conditions)],
    }


def labels(service: str) -> dict[str, str]:
    """The labels that a cluster gives to the slices of a Service of ours."""
    return {
        "kubernetes.io/service-name": service,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "app.kubernetes.io/part-of": "matinee",
        SERVICE: service,
    }
