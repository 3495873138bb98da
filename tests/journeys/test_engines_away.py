"""Engines absent at the start of a deployment, killed, emptied, put ahead of it: what it says and does, from outside."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.deployment import Deployment, Viewer, eventually, make_film
from tests.engines import private_engine

from matinee.lab.engines import EngineProcess

pytestmark = [pytest.mark.timeout(400)]

NAMES = ("etcd", "mariadb", "redis")


class Trial:
    """A deployment in processes of its own, and the engines that it keeps some of its state in."""

    def __init__(self, folder: Path) -> None:
        self.engines: dict[str, EngineProcess] = {name: private_engine(name, folder) for name in NAMES}
        urls = {name: engine.start().url("deployment") for name, engine in self.engines.items()}
        for engine in self.engines.values():
            engine.kill()
        self.deployment = Deployment(
            folder / "data",
            groups="gateway;playback,steering,identity,licensing,catalogue,events;viewing;encoding",
            settings={
                "MATINEE__MESH__REGISTRY": urls["etcd"],
                "MATINEE__VIEWING__STORE": urls["mariadb"],
                "MATINEE__PLAYBACK__STORE": urls["redis"],
                "MATINEE__ENCODING__PROCESSES": "1",
                "MATINEE__EDGE__COUNT": "1",
            },
        )

    def status(self) -> dict[str, Any]:
        """What `matinee status` tells."""
        told: dict[str, Any] = json.loads(self.deployment.matinee("status", "--json").stdout)
        return told

    def waiting(self) -> dict[str, str]:
        """What each process waits for."""
        return {name: seen["waiting"] for name, seen in self.deployment.processes().items() if seen["waiting"]}

    def seen(self, process: str, setting: str) -> str:
        """How a process sees the engine behind a setting."""
        engines = self.deployment.processes()[process]["engines"]
        return next((str(one["state"]) for one in engines if setting in one["used_for"]), "")

    async def readiness(self, process: str) -> tuple[int, dict[str, Any]]:
        """What `/readyz` of a process answers."""
        url = self.deployment.processes()[process]["health_url"].replace("/healthz", "/readyz")
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status, await answer.json()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("engines-away")
    made = Trial(folder)
    yield made
    made.deployment.stop()
    for engine in made.engines.values():
        engine.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def title(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A film that can be played."""
    made = trial.deployment.ingest(
        make_film(tmp_path_factory.mktemp("film") / "film.mp4", seconds=240, size="320x180", rate="6"), "Long Evening"
    )
    return str(made["title_id"])


@pytest.fixture
async def viewer(trial: Trial, title: str, request: pytest.FixtureRequest) -> Any:
    async with aiohttp.ClientSession() as http:
        made = Viewer(http, trial.deployment.url)
        await made.sign_up(f"{request.node.name[:40]}@example.org")
        yield made


async def test_absent_at_the_start_each_is_waited_for_by_name(trial: Trial) -> None:
    up = threading.Thread(target=trial.deployment.start)
    up.start()
    await eventually(lambda: (trial.deployment.data / "run" / "processes.json").exists())
    await eventually(lambda: len(trial.waiting()) == 4)
    assert all("etcd at 127.0.0.1" in why for why in trial.waiting().values())
    told = trial.status()
    assert (told["running"], {seen["state"] for seen in told["processes"]}) == (True, {"waiting"})
    assert "waits: etcd at 127.0.0.1" in (trial.deployment.data / "up.out").read_text()
    trial.engines["etcd"].start()
    await eventually(lambda: "mariadb" in trial.waiting().get("viewing", ""), 60)
    await eventually(lambda: "redis" in trial.waiting().get("playback", ""), 60)
    await eventually(lambda: set(trial.waiting()) == {"viewing", "playback"}, 60)
    trial.engines["mariadb"].start()
    trial.engines["redis"].start()
    await asyncio.to_thread(up.join, 120)
    assert not up.is_alive()
    assert {engine["state"] for engine in trial.status()["engines"]} == {"ok"}
    for process in ("viewing", "playback"):
        assert (await trial.readiness(process))[1]["state"] == "ready"


async def test_without_positions_there_is_picture_all_the_same(trial: Trial, viewer: Viewer, title: str) -> None:
    await position(viewer, await press(viewer, title), 90_000)
    assert (await press(viewer, title))["resume_ms"] > 0
    trial.engines["mariadb"].kill()
    await eventually(lambda: trial.seen("viewing", "viewing.store") == "unavailable")
    status, told = await trial.readiness("viewing")
    assert (status, told["state"]) == (200, "degraded"), "nobody else could do better"

    home = await viewer.call("GET", "/home")
    assert set(home["missing"]) == {"continue-watching", "progress"}
    assert {card["name"] for row in home["rows"] for card in row["cards"]} == {"Long Evening"}
    assert (await press(viewer, title))["resume_ms"] == 0
    async with viewer.session.get(f"{viewer.url}/history", headers=viewer.headers) as answer:
        assert (answer.status, (await answer.json())["type"]) == (503, "/problems/engine-away")
        assert int(answer.headers["Retry-After"]) >= 1

    trial.engines["mariadb"].start()
    await eventually(lambda: trial.seen("viewing", "viewing.store") == "ok")
    await eventually(lambda: resumes(viewer, title))
    await eventually(lambda: whole(viewer))


async def test_where_correctness_needs_it_play_is_refused_and_comes_back(
    trial: Trial, viewer: Viewer, title: str
) -> None:
    trial.engines["redis"].kill()
    await eventually(lambda: trial.seen("playback", "playback.store") == "unavailable")
    refused = await viewer.call("POST", "/playback", {"title_id": title, "capabilities": {}}, status=503)
    assert refused["type"] == "/problems/engine-away"
    assert not (await viewer.call("GET", "/home"))["missing"], "what does not need it goes on"
    trial.engines["redis"].start()
    await eventually(lambda: trial.seen("playback", "playback.store") == "ok")
    await eventually(lambda: plays(viewer, title))


async def test_without_a_registry_everybody_is_still_found(trial: Trial, viewer: Viewer, title: str) -> None:
    trial.engines["etcd"].kill()
    await eventually(lambda: trial.seen("gateway", "mesh.registry") == "unavailable")
    await asyncio.sleep(6)  # longer than a lease
    await press(viewer, title)
    assert not (await viewer.call("GET", "/home"))["missing"]
    shutil.rmtree(trial.engines["etcd"].location.data)
    trial.engines["etcd"].start()
    await eventually(lambda: trial.seen("gateway", "mesh.registry") == "ok")
    await press(viewer, title)
    await eventually(lambda: not trial.status()["unknown"])  # whoever comes new finds everybody again


async def test_a_store_ahead_of_the_code_is_told_and_nobody_starts_on_it(
    trial: Trial, viewer: Viewer, title: str
) -> None:
    of_now = said(trial.engines["mariadb"], "SELECT version_num FROM viewing_version").split()[-1]
    said(trial.engines["mariadb"], "UPDATE viewing_version SET version_num = '9999'")
    await eventually(lambda: trial.seen("viewing", "viewing.store") == "schema-ahead")
    await press(viewer, title)
    process = trial.deployment.processes()["viewing"]
    os.kill(process["pid"], signal.SIGKILL)
    await eventually(lambda: "newer" in trial.waiting().get("viewing", ""))
    said(trial.engines["mariadb"], f"UPDATE viewing_version SET version_num = '{of_now}'")
    await eventually(lambda: trial.seen("viewing", "viewing.store") == "ok")
    await eventually(lambda: whole(viewer))


async def whole(viewer: Viewer) -> bool:
    return not (await viewer.call("GET", "/home"))["missing"]


async def resumes(viewer: Viewer, title: str) -> bool:
    """Whether play goes on where it was left."""
    return int((await press(viewer, title))["resume_ms"]) > 0


async def plays(viewer: Viewer, title: str) -> bool:
    """Whether play is no longer refused."""
    body = {"title_id": title, "capabilities": {}}
    async with viewer.session.post(f"{viewer.url}/playback", json=body, headers=viewer.headers) as answer:
        assert answer.ok or answer.status == 503, await answer.text()
        return answer.ok


async def press(viewer: Viewer, title: str) -> dict[str, Any]:
    """Press play."""
    play: dict[str, Any] = await viewer.call("POST", "/playback", {"title_id": title, "capabilities": {}})
    return play


async def position(viewer: Viewer, play: dict[str, Any], at_ms: int) -> None:
    """Tell how far one is."""
    heartbeat = {"position_ms": at_ms, "state": "playing", "at": datetime.now(UTC).isoformat()}
    await viewer.call("POST", f"/playback/{play['session_id']}/heartbeat", heartbeat)


def said(mariadb: EngineProcess, statement: str) -> str:
    """Say something to the deployment's database."""
    place = mariadb.location
    access = ["--no-defaults", "--protocol=tcp", f"--host={place.host}", f"--port={place.port}", "--user=matinee"]
    command = ["mariadb", *access, f"--password={place.secret}", "deployment", "-N", "-e", statement]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
