"""nginx in front of an edge: exits, restarts, metrics, and the same path tokens as the built-in server."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.conformance.edge_rig import Rig, link, run_edge, run_origin, wait_until
from tests.deployment import eventually

from matinee.drivers.nginx import Nginx
from matinee.edge.ports import Metric
from matinee.kit.hashing import verify_path_token

SEGMENT = os.urandom(300_000)
VECTORS: dict[str, Any] = msgspec.json.decode((Path(__file__).parents[1] / "vectors/path_tokens.json").read_bytes())


def read_pid(rig: Rig) -> int:
    return int((rig.settings.cache_dir / "nginx" / "nginx.pid").read_text())


async def is_replaced(rig: Rig, pid: int) -> bool:
    """Return whether another process than this one answers."""
    try:
        return read_pid(rig) != pid and (await rig.request("/healthz")).status == 200
    except (OSError, EOFError, ValueError):
        return False


async def test_nginx_is_restarted_and_keeps_its_cache(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin, data_plane="nginx") as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
        killed = read_pid(rig)
        os.kill(killed, signal.SIGTERM)
        await eventually(lambda: is_replaced(rig, killed))
        assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
        assert origin.requests.total() == 1
        await wait_until(lambda: rig.total(Metric.HITS) == 1)


async def test_one_client_cannot_take_all_connections(tmp_path: Path) -> None:
    async with (
        run_origin() as origin,
        run_edge(tmp_path, origin, data_plane="nginx", max_connections_per_client=2) as rig,
    ):
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        origin.pause_at = 1000
        running = [asyncio.create_task(rig.request(link("v/1.m4s"))) for _ in range(2)]
        await wait_until(lambda: rig.origin.requests)
        await eventually(lambda: is_busy(rig))
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        other = await asyncio.open_connection("127.0.0.1", rig.port, local_addr=("127.0.0.2", 0))
        other[1].write(request)
        assert b" 200 " in await other[0].readline()
        other[1].close()
        origin.resume.set()
        assert [(await response).body for response in running] == [SEGMENT] * 2
        # The server behind nginx gets all requests from one address.
        assert [(await rig.request("/healthz")).status for _ in range(5)] == [200] * 5


async def is_busy(rig: Rig) -> bool:
    """Return whether a request is refused with the problem of a busy edge."""
    response = await rig.request("/healthz")
    return response.status == 503 and msgspec.json.decode(response.body)["type"].endswith("edge-busy")


async def test_restarted_deployment_stops_the_nginx_it_left_behind(tmp_path: Path) -> None:
    async with run_origin() as origin:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        async with run_edge(tmp_path, origin, data_plane="nginx") as first:
            left_behind, port = read_pid(first), first.port
            first.job.cancel()  # so that it is not restarted
            async with run_edge(tmp_path, origin, data_plane="nginx", port=port) as second:
                assert read_pid(second) != left_behind
                assert (await second.request(link("v/1.m4s"))).body == SEGMENT


async def test_start_waits_until_the_nginx_left_behind_has_exited(tmp_path: Path) -> None:
    async def exit_slowly() -> asyncio.subprocess.Process:
        """Run a process named nginx that takes half a second to stop, and record it in the pid file."""
        script = "trap 'sleep 0.5; exit' TERM; echo ready; while :; do sleep 0.05; done"
        process = await asyncio.create_subprocess_exec("bash", "-c", script, "nginx", stdout=asyncio.subprocess.PIPE)
        assert process.stdout
        await process.stdout.readline()
        (tmp_path / "nginx.pid").write_text(f"{process.pid}\n")
        return process

    stale = await exit_slowly()
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid nginx.pid; error_log stderr; events {{}} http {{ {TEMPORARY} }}"
    )
    nginx = Nginx(tmp_path)
    await nginx.start()
    assert stale.returncode == 0
    await nginx.stop(0)


TEMPORARY = " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


async def test_metrics_include_connections_cpu_and_disk(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin, data_plane="nginx") as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        await rig.request(link("v/1.m4s"))
        await wait_until(lambda: rig.total(Metric.CONNECTIONS) >= 1)
        await wait_until(lambda: rig.total(Metric.DISK_USED_BYTES) >= len(SEGMENT))
        writer.close()


async def test_hits_are_served_while_the_built_in_server_is_unavailable(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin, data_plane="nginx") as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
        await rig.server.stop(0)
        assert (await rig.request(link("v/1.m4s"))).body == SEGMENT
        assert (await rig.request(link("v/2.m4s"))).status == 502


# Test vectors for path tokens: the same file for Python and for njs.


@pytest.mark.parametrize("vector", VECTORS["tokens"], ids=lambda vector: vector["name"])
def test_python_verifies_the_token_vectors(vector: dict[str, Any]) -> None:
    keys = [bytes.fromhex(key) for key in VECTORS["keys"]]
    valid = any(verify_path_token(key, vector["scope"], vector["token"], VECTORS["now_s"]) for key in keys)
    assert valid == vector["valid"]


async def test_njs_verifies_the_token_vectors(tmp_path: Path) -> None:
    """Only nginx answers hits, so a token is valid for it if the object is served without the built-in server."""
    keys = tuple(bytes.fromhex(key) for key in VECTORS["keys"])
    async with run_origin() as origin, run_edge(tmp_path, origin, data_plane="nginx", token_keys=keys) as rig:
        for scope in {vector["scope"] for vector in VECTORS["tokens"]}:
            origin.objects[f"{scope}/v/1.m4s"] = SEGMENT
            assert (await rig.request(link("v/1.m4s", scope=scope, key=keys[0]))).status == 200
        await rig.server.stop(0)
        for vector in VECTORS["tokens"]:
            status = (await rig.request(f"/t/{vector['token']}/{vector['scope']}/v/1.m4s")).status
            assert (status == 200) == vector["valid"], (vector["name"], status)
