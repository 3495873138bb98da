"""The manifests in the how-to: an API server accepts them, and services that use them find each other."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

from tests.conformance.kubernetes_rig import APPLY, Api, Controller
from tests.deployment import eventually, find_free_port
from tests.engines import shared_engine

from matinee.app.clients import open_clients
from matinee.app.settings import load
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient
from matinee.events.api import Events
from matinee.kit.clock import SystemClock
from matinee.kit.ids import InstanceId
from matinee.kit.problem import Problem
from matinee.mesh.api import Instance
from matinee.mesh.hosting.addresses import own_address

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "engines" / "kubernetes.md"
GROUPS = {
    "ServiceAccount": "/api/v1",
    "Service": "/api/v1",
    "Role": "/apis/rbac.authorization.k8s.io/v1",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1",
    "Deployment": "/apis/apps/v1",
    "NetworkPolicy": "/apis/networking.k8s.io/v1",
}
NOW = SystemClock().now()


def read_manifests() -> list[str]:
    """Return the manifests of the page, as YAML."""
    return "\n---\n".join(re.findall(r"```yaml\n(.*?)```", HOWTO.read_text(), re.DOTALL)).split("---\n")


async def apply(api: Api, text: str) -> dict[str, Any]:
    """Apply a manifest as `kubectl apply --server-side` does; an unknown field is an error."""
    kind = re.search(r"^kind: (\w+)$", text, re.MULTILINE)
    name = re.search(r"^  name: (.+)$", text, re.MULTILINE)
    assert kind is not None
    assert name is not None
    plural = kind[1].lower().replace("policy", "policie") + "s"
    path = f"{GROUPS[kind[1]]}/namespaces/{{namespace}}/{plural}/{name[1]}?fieldManager=howto&fieldValidation=Strict"
    applied: dict[str, Any] = await api.request(
        "PATCH", path, text.replace("namespace: matinee", f"namespace: {api.namespace}"), **APPLY
    )
    return applied


async def test_api_server_accepts_every_manifest_of_the_page() -> None:
    async with Api(shared_engine("kubernetes").url("howto")) as api:
        applied = [await apply(api, text) for text in read_manifests()]
        assert {one["kind"] for one in applied} == set(GROUPS)
        services = {one["metadata"]["name"]: one for one in applied if one["kind"] == "Service"}
        (deployment,) = (one for one in applied if one["kind"] == "Deployment")
        pod = deployment["spec"]["template"]
        for name, service in services.items():
            assert service["metadata"]["labels"]["app.kubernetes.io/component"] == name
            assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
            assert name in pod["spec"]["containers"][0]["args"]


class Pods:
    """Processes of one service that run as if they were pods of a cluster."""

    def __init__(self, api: Api, settings: dict[str, str]) -> None:
        self._controller = Controller(api)
        self._environment = {**os.environ, **settings}
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    async def start(self) -> int:
        """Start a pod and register it once it is ready."""
        port = find_free_port()
        command = [sys.executable, "-m", "matinee", "serve", "events", "--port", str(port)]
        self._processes[port] = await asyncio.create_subprocess_exec(*command, env=self._environment)
        await eventually(lambda: is_ready(port))
        await self._controller.register(instance=instance(port), lease_s=0, now=NOW)
        return port

    async def delete(self, port: int) -> None:
        """Delete a pod: mark it as terminating while it ends, and remove it afterwards."""
        process = self._processes.pop(port)
        process.terminate()
        await self._controller.drain(instance_id=instance(port).instance_id)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
        await self._controller.deregister(instance_id=instance(port).instance_id)

    async def kill(self) -> None:
        for process in self._processes.values():
            process.kill()
            await process.wait()


def instance(port: int) -> Instance:
    address = f"http://{own_address()}:{port}"
    return Instance(instance_id=InstanceId(f"ins_{port}"), address=address, services=("events",))


async def is_ready(port: int) -> bool:
    """Probe the readiness at the pod's address, as a kubelet does."""
    async with HttpClient() as http:
        try:
            return (await http.request("GET", f"{instance(port).address}/readyz", timeout_s=2)).status == 200
        except (ConnectFailed, ConnectionBroken, TimeoutError):
            return False


async def test_replacing_pods_fails_no_call(tmp_path: Path) -> None:
    async with Api(shared_engine("kubernetes").url("howto")) as api:
        for text in read_manifests():
            await apply(api, text)
        (tmp_path / "token").write_text(await api.create_token("matinee"))
        settings = {
            "MATINEE__DEPLOYMENT__DATA": str(tmp_path / "data"),
            "MATINEE__MESH__REGISTRY": api.url.replace(api.query["token"], str(tmp_path / "token")),
            "MATINEE__MESH__HOST": "0.0.0.0",
        }
        pods = Pods(api, settings)
        try:
            old = [await pods.start() for _ in range(2)]
            async with open_clients(load(None, settings)) as clients:
                replaced = asyncio.Event()
                calling = asyncio.create_task(call_until(replaced, clients.get(Events)))
                for port in old:
                    await pods.start()
                    await pods.delete(port)
                replaced.set()
                assert await calling == []
        finally:
            await pods.kill()


async def call_until(done: asyncio.Event, events: Events) -> list[Problem]:
    """Call a service again and again; return the failures."""
    failures = []
    while not done.is_set():
        try:
            await events.get_head()
        except Problem as problem:
            failures.append(problem)
        await asyncio.sleep(0.01)
    return failures
