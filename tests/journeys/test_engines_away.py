"""Engines that are unavailable at the start of a deployment, killed, emptied, or newer than the code."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.deployment import Viewer, create_deployment, eventually, make_film
from tests.engines import private_engine

from matinee.lab.engines import EngineProcess

pytestmark = [pytest.mark.timeout(400)]

NAMES = ("etcd", "mariadb", "redis")
LEASE_S = 5


class Trial:
    """A deployment in several processes, and the engines of some of its state."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.engines: dict[str, EngineProcess] = {name: private_engine(name, folder) for name in NAMES}
        for engine in self.engines.values():
            stack.callback(engine.stop)
        urls = {name: engine.start().url("deployment") for name, engine in self.engines.items()}
        for engine in self.engines.values():
            engine.kill()
        self.deployment = stack.enter_context(
            create_deployment(
                folder / "data",
                groups="gateway;playback,steering,identity,licensing,catalogue,events,search;viewing;encoding",
                settings={
                    "MATINEE__MESH__REGISTRY": urls["etcd"],
                    "MATINEE__VIEWING__STORE": urls["mariadb"],
                    "MATINEE__PLAYBACK__STORE": urls["redis"],
                    "MATINEE__ENCODING__PROCESSES": "1",
                    "MATINEE__EDGE__COUNT": "1",
                },
            )
        )

    def status(self) -> dict[str, Any]:
        """Return the output of `matinee status`."""
        status: dict[str, Any] = json.loads(self.deployment.matinee("status", "--json").stdout)
        return status

    def waiting(self) -> dict[str, str]:
        """Return the engine that each process waits for."""
        processes = self.deployment.processes()
        return {name: process["waiting"] for name, process in processes.items() if process["waiting"]}

    def engine_state(self, process: str, setting: str) -> str:
        """Return the state that a process reports of the engine of a setting."""
        return str(self._engine(process, setting).get("state", ""))

    def unavailable_s(self, process: str, setting: str) -> float:
        """Return for how long a process has reported that engine as unavailable."""
        engine = self._engine(process, setting)
        since = datetime.fromisoformat(engine["since"])
        return (datetime.now(UTC) - since).total_seconds() if engine["state"] == "unavailable" else 0

    def _engine(self, process: str, setting: str) -> dict[str, Any]:
        engines = self.deployment.processes()[process]["engines"]
        return next((engine for engine in engines if setting in engine["used_for"]), {})

    async def readiness(self, process: str) -> tuple[int, dict[str, Any]]:
        """Return the response of `/readyz` of a process."""
        url = self.deployment.processes()[process]["health_url"].replace("/healthz", "/readyz")
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return response.status, await response.json()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("engines-away")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield Trial(folder, stack)


@pytest.fixture(scope="module")
def title(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A film that can be played."""
    film = make_film(tmp_path_factory.mktemp("film") / "film.mp4", seconds=240, size="160x90", rate="6")
    return trial.deployment.ingest(film, "Long Evening")


@pytest.fixture
async def viewer(trial: Trial, title: str, request: pytest.FixtureRequest) -> Any:
    async with aiohttp.ClientSession() as http:
        viewer = Viewer(http, trial.deployment.url)
        await viewer.sign_up(f"{request.node.name[:40]}@example.org")
        yield viewer


async def test_processes_wait_for_unavailable_engines_by_name(trial: Trial) -> None:
    up = threading.Thread(target=trial.deployment.start)
    up.start()
    await eventually(lambda: (trial.deployment.data / "run" / "processes.json").exists())
    await eventually(lambda: len(trial.waiting()) == 4)
    assert all("etcd at 127.0.0.1" in why for why in trial.waiting().values())
    status = trial.status()
    assert (status["running"], {process["state"] for process in status["processes"]}) == (True, {"waiting"})
    assert "waits: etcd at 127.0.0.1" in (trial.deployment.data / "up.out").read_text()
    trial.engines["etcd"].start()
    await eventually(lambda: "mariadb" in trial.waiting().get("viewing", ""))
    await eventually(lambda: "redis" in trial.waiting().get("playback", ""))
    await eventually(lambda: set(trial.waiting()) == {"viewing", "playback"})
    trial.engines["mariadb"].start()
    trial.engines["redis"].start()
    await asyncio.to_thread(up.join, 240)
    assert not up.is_alive()
    assert {engine["state"] for engine in trial.status()["engines"]} <= {"ok", "slow"}  # slow on a busy machine
    for process in ("viewing", "playback"):
        assert (await trial.readiness(process))[1]["state"] == "ready"


async def test_play_works_without_the_viewing_store(trial: Trial, viewer: Viewer, title: str) -> None:
    await send_position(viewer, await start_play(viewer, title), 90_000)
    assert (await start_play(viewer, title))["resume_ms"] > 0
    trial.engines["mariadb"].kill()
    await eventually(lambda: trial.engine_state("viewing", "viewing.store") == "unavailable")
    status, readiness = await trial.readiness("viewing")
    assert (status, readiness["state"]) == (200, "degraded"), "another instance would not be better"

    home = await viewer.call("GET", "/home")
    assert set(home["missing"]) == {"continue-watching", "progress"}
    assert {card["name"] for row in home["rows"] for card in row["cards"]} == {"Long Evening"}
    assert (await start_play(viewer, title))["resume_ms"] == 0
    async with viewer.session.get(f"{viewer.url}/history", headers=viewer.headers) as response:
        assert (response.status, (await response.json())["type"]) == (503, "/problems/engine-unavailable")
        assert int(response.headers["Retry-After"]) >= 1

    trial.engines["mariadb"].start()
    await eventually(lambda: trial.engine_state("viewing", "viewing.store") == "ok")
    await eventually(lambda: resumes_play(viewer, title))
    await eventually(lambda: is_complete(viewer))


async def test_play_is_refused_without_the_session_store_and_recovers(trial: Trial, viewer: Viewer, title: str) -> None:
    trial.engines["redis"].kill()
    await eventually(lambda: trial.engine_state("playback", "playback.store") == "unavailable")
    refused = await viewer.call("POST", "/playback", {"title_id": title, "capabilities": {}}, status=503)
    assert refused["type"] == "/problems/engine-unavailable"
    assert not (await viewer.call("GET", "/home"))["missing"], "home does not need the engine"
    trial.engines["redis"].start()
    await eventually(lambda: trial.engine_state("playback", "playback.store") == "ok")
    await eventually(lambda: plays(viewer, title))


async def test_services_find_each_other_without_a_registry(trial: Trial, viewer: Viewer, title: str) -> None:
    trial.engines["etcd"].kill()
    await eventually(lambda: trial.engine_state("gateway", "mesh.registry") == "unavailable")
    await eventually(lambda: trial.unavailable_s("gateway", "mesh.registry") > LEASE_S)  # all leases have expired
    await start_play(viewer, title)
    assert not (await viewer.call("GET", "/home"))["missing"]
    shutil.rmtree(trial.engines["etcd"].location.data)
    trial.engines["etcd"].start()
    await eventually(lambda: trial.engine_state("gateway", "mesh.registry") == "ok")
    await start_play(viewer, title)
    await eventually(lambda: not trial.status()["unknown"])  # every instance has registered again


async def test_schema_newer_than_the_code_is_reported_and_prevents_a_start(
    trial: Trial, viewer: Viewer, title: str
) -> None:
    revision = query(trial.engines["mariadb"], "SELECT version_num FROM viewing_version").split()[-1]
    query(trial.engines["mariadb"], "UPDATE viewing_version SET version_num = '9999'")
    await eventually(lambda: trial.engine_state("viewing", "viewing.store") == "schema-ahead")
    await start_play(viewer, title)
    process = trial.deployment.processes()["viewing"]
    os.kill(process["pid"], signal.SIGKILL)
    await eventually(lambda: "newer" in trial.waiting().get("viewing", ""))
    query(trial.engines["mariadb"], f"UPDATE viewing_version SET version_num = '{revision}'")
    await eventually(lambda: trial.engine_state("viewing", "viewing.store") == "ok")
    await eventually(lambda: is_complete(viewer))


async def is_complete(viewer: Viewer) -> bool:
    return not (await viewer.call("GET", "/home"))["missing"]


async def resumes_play(viewer: Viewer, title: str) -> bool:
    """Tell whether play resumes at a stored position."""
    return int((await start_play(viewer, title))["resume_ms"]) > 0


async def plays(viewer: Viewer, title: str) -> bool:
    """Tell whether play is no longer refused."""
    body = {"title_id": title, "capabilities": {}}
    async with viewer.session.post(f"{viewer.url}/playback", json=body, headers=viewer.headers) as answer:
        assert answer.ok or answer.status == 503, await answer.text()
        return answer.ok


async def start_play(viewer: Viewer, title: str) -> dict[str, Any]:
    """Press play."""
    play: dict[str, Any] = await viewer.call("POST", "/playback", {"title_id": title, "capabilities": {}})
    return play


async def send_position(viewer: Viewer, play: dict[str, Any], at_ms: int) -> None:
    """Send a heartbeat with a position."""
    heartbeat = {"position_ms": at_ms, "state": "playing", "at": datetime.now(UTC).isoformat()}
    await viewer.call("POST", f"/playback/{play['session_id']}/heartbeat", heartbeat)


def query(mariadb: EngineProcess, statement: str) -> str:
    """Run a statement on the database of the deployment."""
    location = mariadb.location
    access = ["--no-defaults", "--protocol=tcp", f"--host={location.host}", f"--port={location.port}", "--user=matinee"]
    command = ["mariadb", *access, f"--password={location.secret}", "deployment", "-N", "-e", statement]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
