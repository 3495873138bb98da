"""The controllers and the administrator that a bare API server lacks, for tests."""

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
    """A client of one namespace with administrator rights. `url` is the same URL as in the settings."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.namespace = parts.path.strip("/")
        self._root = f"https://{parts.netloc}"
        self._bearer = f"Bearer {Path(self.query['token']).read_text()}"
        self._ca_pem = Path(self.query["ca"]).read_text()

    async def __aenter__(self) -> Api:
        self._http = await HttpClient(ca_pem=self._ca_pem).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request that must succeed, `{namespace}` in the path replaced; return the object in the response."""
        return msgspec.json.decode(await self.request_text(path, method, body, **headers))

    async def request_text(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> str:
        """Send a request that must succeed, a body of type str unchanged; return the text of the response."""
        url = self._root + path.replace("{namespace}", self.namespace)
        sent_headers = {"authorization": self._bearer, "content-type": "application/json"} | headers
        data = b"" if body is None else body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        response = await self._http.request(method, url, body=data, headers=sent_headers, timeout_s=30)
        assert response.status in (200, 201, 202), f"{method} {path}: {response.status} {response.body!r}"
        return response.body.decode()

    async def put_slice(self, one: dict[str, Any]) -> None:
        """Create or replace a slice."""
        path = f"{SLICES}/{one['metadata']['name']}?{urlencode({'fieldManager': 'test', 'force': 'true'})}"
        await self.request("PATCH", path, one, **APPLY)

    async def list_slices(self, labels: str = "") -> list[dict[str, Any]]:
        """Return the slices with these labels."""
        found: list[dict[str, Any]] = (await self.request("GET", f"{SLICES}?{urlencode({'labelSelector': labels})}"))[
            "items"
        ]
        return found

    async def delete_slice(self, name: str) -> None:
        """Delete a slice."""
        await self.request("DELETE", f"{SLICES}/{name}")

    async def create_account(self, name: str, *verbs: str) -> None:
        """Create a service account whose Role has these verbs on endpoint slices."""
        await self.request("POST", "/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
        await self.request("POST", f"{RBAC}/roles", {"metadata": {"name": name}})
        await self.request("POST", f"{RBAC}/rolebindings", binding)
        await self.allow(name, *verbs)

    async def allow(self, name: str, *verbs: str) -> None:
        """Give a service account these verbs on endpoint slices."""
        rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs}
        role = {"metadata": {"name": name}, "rules": [rule] if verbs else []}
        await self.request("PUT", f"{RBAC}/roles/{name}", role)

    async def create_token(self, name: str) -> str:
        """Create a token of a service account."""
        path = f"/api/v1/namespaces/{{namespace}}/serviceaccounts/{name}/token"
        token: str = (await self.request("POST", path, {"spec": {"expirationSeconds": 600}}))["status"]["token"]
        return token


class Controller:
    """Registers, drains and removes pods as a cluster does, each in one slice per Service."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        pod = _pod(instance.instance_id)
        wanted = [slice_of(service, pod, instance.address, draining=instance.draining) for service in instance.services]
        if instance.app_address:
            app = {"name": "app", "port": urlsplit(instance.app_address).port}
            wanted = [{**one, "ports": [app, *one["ports"]]} for one in wanted]
        names = {one["metadata"]["name"] for one in wanted}
        for one in wanted:
            await self._api.put_slice(one)
        for existing in await self._list_slices(pod):
            if existing["metadata"]["name"] not in names:
                await self._api.delete_slice(existing["metadata"]["name"])

    async def drain(self, *, instance_id: InstanceId) -> None:
        for one in await self._list_slices(_pod(instance_id)):
            conditions = {"ready": False, "serving": True, "terminating": True}
            slice_ = {key: one[key] for key in ("addressType", "ports")}
            slice_ |= {"endpoints": [{**each, "conditions": conditions} for each in one["endpoints"]]}
            await self._api.put_slice({**_HEAD, "metadata": _metadata(one), **slice_})

    async def deregister(self, *, instance_id: InstanceId) -> None:
        for one in await self._list_slices(_pod(instance_id)):
            await self._api.delete_slice(one["metadata"]["name"])

    async def _list_slices(self, pod: str) -> list[dict[str, Any]]:
        return await self._api.list_slices(f"pod={pod}")


class ControlledRegistry(KubernetesRegistry):
    """A registry with the controller of its cluster."""

    controller: Controller


_HEAD = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}


def _metadata(one: dict[str, Any]) -> dict[str, Any]:
    return {key: one["metadata"][key] for key in ("name", "labels")}


def _pod(instance_id: InstanceId) -> str:
    return instance_id.removeprefix("ins_")


def endpoint(pod: str, *addresses: str, **conditions: bool) -> dict[str, Any]:
    """Return a pod's endpoint."""
    target = {"kind": "Pod", "name": f"pod-{pod}", "uid": pod}
    return {"addresses": addresses, "conditions": conditions, "targetRef": target}


def slice_of(service: str, pod: str, address: str, *, draining: bool = False) -> dict[str, Any]:
    """Return a slice of a Service with one pod."""
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
    """Return the labels that a cluster gives to the slices of one of our Services."""
    return {
        "kubernetes.io/service-name": service,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "app.kubernetes.io/part-of": "matinee",
        SERVICE: service,
    }
